"""Tables at a terminal: whole at any width, harmless whatever they hold, and no failure of the work they show."""

import io
import os
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tracer_agents.cli import status_of
from tracer_agents.training import terminal
from tracer_agents.training.report import StepReport
from tracer_agents.training.terminal import RichDisplay, print_certificate, print_gaps, print_summary

NAMES = ["self_consistency@10", "self_consistency@11", "best_fixed:stop_on_agreement", "best_fixed:stop_on_verdict"]


def metrics(method: str, value: float) -> dict[str, Any]:
    return {
        "method": method, "accuracy": value, "accuracy_ci95": [value - 0.01, value + 0.01], "greedy_accuracy": None,
        "utility": value, "generated_tokens_per_question": 12345.6, "correction_rate": value, "preservation_rate": None,
        "speak_rate": value, "n": 500, "samples": 1, "unanswered": 0, "unmatched": 0,
    }  # fmt: skip


def summary(names: list[str] = NAMES, task: str = "arithmetic") -> dict[str, Any]:
    figures = {name: metrics(name, 0.5 + index / 1000) for index, name in enumerate(names)}
    return {
        "task": task, "seed": 0, "before": None, "after": metrics("team", 0.987), "baselines": {},
        "models": figures, "controllers": {"play": "current"}, "stage_seconds": {"load": 1.0},
        "comparisons": [{"metric": "accuracy", "b": names[0], "difference": 0.1, "ci95": [0, 0.2], "p": 0.01}],
    }  # fmt: skip


GAP = {"plug_in": 0.1, "ci95": [0.0, 0.2]}
CERTIFICATE = {
    "play": "current", "questions": 8, "pass_at_k": 0.9, "run": None,
    **{name: {"mean": 0.5, "ci95": [0.4, 0.6]} for name in ("utility", "accuracy", "generated_tokens")},
    **{name: GAP for name in ("nash_gap", "kkt_gap", "team_gap", "oracle_gap")},
}  # fmt: skip


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_every_name_and_figure_is_whole_at_any_width(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    print_summary(summary(), Path("out"))
    printed = capsys.readouterr().out
    tables = [row for row in printed.splitlines() if row[:1] in "┃│┡╇┏└├"]
    assert max(map(len, tables)) <= width
    assert "…" not in printed
    first = "".join(row.split("│")[1].strip() for row in printed.splitlines() if row.startswith("│"))
    assert all(name in first for name in NAMES)
    for index in range(len(NAMES)):
        assert f"{0.5 + index / 1000:.3f}" in printed
        assert f"[{0.49 + index / 1000:.3f}, {0.51 + index / 1000:.3f}]" in printed
    assert f"minus {NAMES[0]}: accuracy +0.100" in printed
    assert "unmatched" in printed


@pytest.mark.parametrize(("rate", "warned"), [(0.1, False), (0.59, True)])
def test_many_utterances_that_were_cut_off_are_told(rate, warned, capsys):
    cut = {**summary(), "models": {}, "baselines": {"single": {**metrics("single", 0.5), "truncation_rate": rate}}}
    print_summary(cut, Path("out"))
    printed = capsys.readouterr().out
    assert ("0.590" in printed, "raise speakers.proposer_max_new_tokens" in printed) == (warned, warned)


@pytest.mark.parametrize(("cost", "shown"), [(20.0, False), (55.5, True)])
def test_a_team_with_prices_has_a_column_of_its_cost(cost, shown, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    row = {**metrics("single", 0.5), "generated_tokens_per_question": 20.0, "cost_per_question": cost}
    print_summary({**summary(), "models": {}, "baselines": {"single": row}}, Path("out"))
    printed = capsys.readouterr().out
    assert ("cost" in printed, "55.5" in printed) == (shown, shown)


@pytest.mark.parametrize("width", [60, 80])
def test_certificates_and_gaps_are_whole(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    print_certificate(CERTIFICATE)
    print_gaps([{"step": 4, "certificate": CERTIFICATE}, {"step": 5, "certificate": None}])
    printed = capsys.readouterr().out
    assert "…" not in printed
    for heading in ("oracle gap", "0.1000", "[0.0000, 0.2000]", "CCE gap of the run", "generated tokens"):
        assert heading in printed


def test_what_comes_from_outside_has_no_power_over_the_terminal(capsys):
    hostile = ["\x1b[2J\x1b]0;owned\x07model", "a\rb", "\u202eright to left", "[bold]markup[/]"]
    print_summary(summary(hostile, task="hub:\x1b[31m/x"), Path("out\x1b[5m"))
    with RichDisplay() as display:
        display.note("\x1b[31mnote")
    printed = "".join(capsys.readouterr())
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", printed) if sys.stderr.isatty() else printed
    assert not set(plain) & {"\x1b", "\r", "\x07", "\u202e"}
    assert "\\x1b[2J" in plain
    assert "[bold]markup[/]" in plain


@pytest.mark.parametrize(("steps", "printed"), [(3, 3), (18, 18), (200, 21)])
def test_a_log_shows_how_a_training_of_any_length_gets_on(steps, printed, capsys):
    with RichDisplay() as display:
        for step in range(1, steps + 1):
            figures = {"accuracy": 0.5, "utility": 0.1, "generated_tokens": 60.0, "speak_rate": None}
            display.step(cast(StepReport, SimpleNamespace(step=step, **figures)), steps)
    shown = re.findall(rf"^step (\d+)/{steps}  accuracy 0.50", capsys.readouterr().err, flags=re.M)
    assert len(shown) == printed
    assert shown[0] == "1"
    assert shown[-1] == str(steps)


@pytest.mark.parametrize(
    ("seconds", "left"), [(40, "60 s left"), (240, "6 min left"), (36000, "15.0 h left"), (10, None)]
)
def test_a_log_says_how_much_of_a_stage_is_done_and_what_time_is_left(seconds, left, capsys, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    with RichDisplay() as display:
        display.stage("before")
        now += seconds
        display.utterances(800, 2000)
        display.utterances(801, 2000)
    lines = re.findall(r"^(\d+)/2,000 utterances, (.*) at most$", capsys.readouterr().err, flags=re.M)
    assert lines == ([("800", left)] if left else [])


def test_a_terminal_of_few_characters_shows_what_it_can(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    assert status_of(lambda: print_summary(summary(["日本", "λ-model"]), Path("out"))) == 0
    printed = raw.getvalue().decode("latin-1")
    assert "[0.490, 0.510]" in printed
    assert "files: out" in printed


def test_a_reader_that_has_gone_is_no_failure(monkeypatch):
    reader, writer = os.pipe()
    os.close(reader)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(open(writer, "wb"), encoding="utf-8"))  # noqa: SIM115
    assert status_of(lambda: print_summary(summary(), Path("out"))) == 0
    sys.stdout.close()
