"""What a person sees at the terminal: progress while a run works, a table when it is done."""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text
from transformers.utils import logging

from tracer_agents.config import Config
from tracer_agents.evaluation.forecast import Forecast, Range
from tracer_agents.evaluation.summary import row_label, team_label
from tracer_agents.training.report import StepReport
from tracer_env.rendering import escape

_FRAME = 3  # columns of a table that a cell takes beside its text
_LINE_EVERY = 30.0  # seconds between lines about utterances where no progress bar can be shown
_LOGGED_STEPS = 20  # about as many of a training are printed where no progress bar can be shown
_STAGES = {
    "load": "loading",
    "parity": "comparing the engine with the learner",
    "before": "measuring the untrained team",
    "record": "recording what speakers say",
    "pool": "drawing a pool",
    "train": "training",
    "validate": "choosing on validation questions",
    "after": "measuring the trained team",
    "baselines": "measuring the baselines",
    "certify": "certifying",
    "grade": "grading",
}


class _Terminal(Console):
    """A terminal whose reader may go away: what is printed afterwards goes nowhere, and work goes on."""

    def on_broken_pipe(self) -> None:
        """Nobody reads any more."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def _output() -> Console:
    """Standard output: as wide as the terminal or COLUMNS say, 120 where neither does."""
    wide = Console().is_terminal or os.environ.get("COLUMNS", "").isdigit()
    return _Terminal(width=None if wide else 120)


def _print_table(console: Console, title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Rows under headings; where they are too wide, in several tables that all begin with the first column.

    Texts may come from outside: they are shown without power over the terminal, and names are never cut off.
    """
    rows = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(headings, *rows, strict=True)]
    first = min(widths[0], max(console.width // 3, 12))
    parts: list[list[int]] = [[]]
    left = console.width - first - _FRAME - 1
    for index, width in enumerate(widths[1:], 1):
        if parts[-1] and width + _FRAME > left:
            parts.append([])
            left = console.width - first - _FRAME - 1
        parts[-1].append(index)
        left -= width + _FRAME
    for number, part in enumerate(parts):
        table = Table(title=escape(title) if number == 0 else None)
        table.add_column(headings[0], width=first, overflow="fold")
        for index in part:
            table.add_column(headings[index], justify="right", no_wrap=True)
        for row in rows:
            table.add_row(*(Text(row[index]) for index in (0, *part)))  # a model may be named like markup
        console.print(table)


class RichDisplay:
    """A progress bar on standard error with the figures that matter."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=_Terminal(stderr=True),
        )
        self._task = self._progress.add_task("starting", total=None, figures="")
        self._in_parts = False  # the stage is counted in questions
        self._begun = self._said = time.monotonic()  # the stage, and the last line about its utterances

    def __enter__(self) -> Self:
        logging.disable_progress_bar()  # transformers' own bars would tear ours
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, name: str) -> None:
        """Shows what is being done."""
        if not self._progress.console.is_terminal:
            self._progress.console.print(_STAGES[name])
        self._progress.reset(self._task, description=_STAGES[name], total=None, figures="")
        self._in_parts = False
        self._begun = self._said = time.monotonic()

    def step(self, report: StepReport, steps: int) -> None:
        """Shows how training gets on."""
        figures = (
            f"accuracy {report.accuracy:.2f}  utility {report.utility:+.2f}  "
            f"tokens {report.generated_tokens:.0f}  speak {_rate(report.speak_rate)}"
        )
        self._progress.update(self._task, completed=report.step, total=steps, figures=figures)
        few = report.step % max(1, steps // _LOGGED_STEPS) == 0
        if not self._progress.console.is_terminal and (few or report.step in (1, steps)):
            self._progress.console.print(f"step {report.step}/{steps}  {figures}", highlight=False)

    def questions(self, done: int, total: int, tokens: int) -> None:
        """Shows how an evaluation gets on, and how fast."""
        self._in_parts = True
        seconds = self._progress.tasks[0].elapsed or 0.0
        figures = f"{tokens / seconds:.0f} tokens/s" if seconds else ""
        self._progress.update(self._task, completed=done, total=total, figures=figures)
        if not self._progress.console.is_terminal:
            self._progress.console.print(f"{done}/{total} questions  {figures}", highlight=False)

    def utterances(self, done: int, total: int) -> None:
        """Shows how far a stage, or its present part, has got; where there is no bar, a line twice a minute."""
        counted = f"{done:,}/{total:,} utterances"
        if self._in_parts:
            self._progress.update(self._task, figures=counted)
        else:
            self._progress.update(self._task, completed=done, total=total, figures="utterances, at most")
        now = time.monotonic()
        if not self._progress.console.is_terminal and now - self._said >= _LINE_EVERY:
            self._said = now
            left = "" if self._in_parts else f", {_duration((now - self._begun) * (total - done) / done)} left at most"
            self._progress.console.print(f"{counted}{left}", highlight=False)

    def note(self, text: str) -> None:
        """Shows what a person should know."""
        self._progress.console.print(f"note: {escape(text)}", highlight=False, markup=False, soft_wrap=True)


def _duration(seconds: float) -> str:
    """A time that is still to come, as exactly as it can be known."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {  # heading -> what the figures of a row say
    "accuracy": lambda m: _rate(m["accuracy"]),
    "95% interval": lambda m: _interval(m["accuracy_ci95"], 3),
    "greedy": lambda m: _rate(m["greedy_accuracy"]),
    "utility": lambda m: f"{m['utility']:+.3f}",
    "tokens": lambda m: f"{m['generated_tokens_per_question']:.1f}",
    "corrects": lambda m: _rate(m["correction_rate"]),
    "preserves": lambda m: _rate(m["preservation_rate"]),
    "speaks": lambda m: _rate(m["speak_rate"]),
}
_COLUMNS_OF_RECORDED = {  # completions recorded elsewhere: nobody reviewed or revised
    **{name: _COLUMNS[name] for name in ("accuracy", "95% interval", "tokens")},
    **{name: lambda m, name=name: str(m[name]) for name in ("n", "samples", "unanswered", "unmatched")},
}


_MUCH_CUT_OFF = 0.1  # of the utterances: the limit then shapes what is measured


def _cut_off(rows: Mapping[str, Any]) -> bool:
    return any(m.get("truncation_rate", 0) > _MUCH_CUT_OFF for m in rows.values())


def print_summary(summary: dict[str, Any], out: Path) -> None:
    """The table of a run's ``summary.json`` on standard output."""
    console = _output()
    rows: dict[str, Any] = (
        {name: summary[name] for name in ("before", "after") if summary.get(name) is not None}
        | summary.get("baselines", {})
        | summary.get("models", {})
    )
    n = next(iter(rows.values()))["n"]
    team = team_label(summary)
    columns = _COLUMNS_OF_RECORDED if summary.get("models") else _COLUMNS
    if any(m.get("cost_per_question") not in (None, m["generated_tokens_per_question"]) for m in rows.values()):
        columns = {**columns, "cost": lambda m: f"{m.get('cost_per_question', m['generated_tokens_per_question']):.1f}"}
    if _cut_off(rows):
        columns = {**columns, "cut off": lambda m: _rate(m.get("truncation_rate"))}
    _print_table(
        console,
        f"{summary['task']}, {n} held-out questions, seed {summary['seed']}",
        ["", *columns],
        [
            [row_label(name, m, team) if "models" not in summary else name, *(shown(m) for shown in columns.values())]
            for name, m in rows.items()
        ],
    )
    for comparison in summary.get("comparisons", []):
        if comparison["metric"] == "accuracy":
            low, high = comparison["ci95"]
            other = row_label(comparison["b"], rows.get(comparison["b"], {"method": comparison["b"]}), team)
            difference = f"{comparison['difference']:+.3f} [{low:+.3f}, {high:+.3f}], p = {comparison['p']:.2g}"
            _print(console, f"{team} minus {other}: accuracy {difference}")
    if summary.get("certificate"):
        print_certificate(summary["certificate"])
    if _cut_off(rows):
        _print(
            console,
            f"warning: the column 'cut off' has rows above {_MUCH_CUT_OFF:.0%}: the token limit ended so many "
            "utterances that it shapes these figures; raise speakers.proposer_max_new_tokens and "
            "speakers.reviewer_max_new_tokens",
        )
    _print(console, "time: " + ", ".join(f"{name} {value:.0f} s" for name, value in summary["stage_seconds"].items()))
    _print(console, f"files: {out}")


def _print(console: Console, text: str) -> None:
    """Text that may come from outside, as it is."""
    console.print(escape(text), markup=False, highlight=False, soft_wrap=True)


def print_certificate(certificate: dict[str, Any]) -> None:
    """The table of a ``certificate.json`` on standard output."""
    rows = []
    for name in ("utility", "accuracy", "generated_tokens"):
        mean = certificate[name]
        rows.append([name.replace("_", " "), f"{mean['mean']:.4f}", _interval(mean["ci95"], 4)])
    for name in ("nash_gap", "kkt_gap", "team_gap", "oracle_gap"):
        gap = certificate[name]
        rows.append([name.replace("_", " "), f"{gap['plug_in']:.4f}", _interval(gap["ci95"], 4)])
    rows.append(["pass@k", f"{certificate['pass_at_k']:.4f}", ""])
    if certificate["run"]:
        bound = max(player["bound"] for player in certificate["run"]["players"])
        applies = "" if certificate["run"]["bound_applies"] else " (no theorem here)"
        rows.append(["run's CCE gap", f"{certificate['run']['cce_gap']:.4f}", f"bound {bound:.4f}{applies}"])
    title = f"certificate of {certificate['play']} play, {certificate['questions']} held-out questions"
    _print_table(_output(), title, ["", "value", "95% interval"], rows)


def print_gaps(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of a run's gaps over training on standard output; nothing where it has not measured any."""
    measured = [row for row in rows if row.get("certificate")]
    if not measured:
        return
    cells = []
    for row in measured:
        certificate = row["certificate"]
        gaps = [f"{certificate[name]['plug_in']:.4f}" for name in ("nash_gap", "kkt_gap", "team_gap", "oracle_gap")]
        run = certificate["run"]
        cce = f"{run['cce_gap']:.4f}" if run else "-"
        cells.append([str(row["step"]), f"{certificate['utility']['mean']:+.4f}", *gaps, cce])
    headings = ["step", "utility", "Nash gap", "KKT gap", "team gap", "oracle gap", "CCE gap of the run"]
    title = f"gaps over training, {measured[-1]['certificate']['questions']} validation questions"
    _print_table(_output(), title, headings, cells)


def print_forecast(rows: Sequence[Forecast], config: Config) -> None:
    """The table of what completions can cost on standard output, with what was assumed."""
    console = _output()
    if not rows:
        _print(console, "no chat server is asked for anything: everybody speaks with weights on this machine")
        return
    sums = Forecast(stage="all", model="", requests=sum(row.requests for row in rows))
    for row in rows:
        for total, part in ((sums.prompt, row.prompt), (sums.generated, row.generated), (sums.money, row.money)):
            total.add(1, part.likely, part.most)
    priced = sums.money.most > 0
    headings = ["", "model", "requests", "prompt tokens", "generated tokens", *(["money"] if priced else [])]
    cells = [
        [
            row.stage,
            row.model,
            f"{row.requests:,}",
            _span(row.prompt, 0),
            _span(row.generated, 0),
            *([_span(row.money, 2)] if priced else []),
        ]
        for row in (*rows, sums)
    ]
    _print_table(console, "what completions can take: likely … at most", headings, cells)
    _print(
        console,
        "likely: prompts of 4 bytes per token, completions half as long as their limit, self-consistency with "
        f"{config.dialogue.rounds + 1} further votes; at most: a token per byte, completions as long as their limit. "
        "Attempts that fail may cost more, and what backend.cache holds already costs nothing.",
    )
    if not priced:
        _print(
            console,
            "money: set backend.money_per_million_prompt_tokens and backend.money_per_million_generated_tokens",
        )


def _span(span: Range, digits: int) -> str:
    return f"{span.likely:,.{digits}f} … {span.most:,.{digits}f}"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(bounds: Sequence[float], digits: int) -> str:
    return "[" + ", ".join(f"{bound:.{digits}f}" for bound in bounds) + "]"
