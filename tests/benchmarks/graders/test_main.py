"""The command prints what it measures and writes it as JSON."""

import json

import pytest

from benchmarks.graders.__main__ import main, measure, shown


def test_fuzz_writes_its_figures(tmp_path, capsys):
    out = tmp_path / "fuzz.json"
    main(["fuzz", "--texts", "20", "--graders", "numeric", "--json", str(out)])
    [figures] = json.loads(out.read_text())
    assert (figures["grader"], figures["texts"]) == ("Numeric", 20)
    assert json.loads(capsys.readouterr().out) == [figures]


def test_a_lone_surrogate_can_be_the_slowest_text(tmp_path, monkeypatch):
    out = tmp_path / "fuzz.json"
    monkeypatch.setattr("benchmarks.graders.fuzz.texts", lambda count, seed: ["The answer is \ud800."] * count)
    main(["fuzz", "--texts", "1", "--graders", "numeric", "--json", str(out)])
    assert json.loads(out.read_text())[0]["slowest_text"] == "The answer is \ud800."


def test_gold_says_how_many(tmp_path, capsys):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"problem": "1+1?", "solution": r"\boxed{2}"}) + "\n")
    main(["gold", "--task", "math500", "--data", str(data), "--out", str(tmp_path / "gold.jsonl")])
    assert "1 completions" in capsys.readouterr().out


def test_every_error_is_shown_on_one_line_of_a_table():
    rates = {
        "same": 2, "different": 2, "false_right": 1, "false_wrong": 0, "false_right_rate": 0.5, "false_wrong_rate": 0.0,
        "ungradable": 0,
    }  # fmt: skip
    error = {"grader_class": "Numeric", "same": False, "gold": "18", "text": "a|b\n#### 18", "answer": None}
    page = shown(
        {"pairs": {"numeric": {"Numeric": rates}}, "disagreement": {"numeric": 0.25}, "errors": [error]}
    ).splitlines()
    assert "| numeric | `Numeric` | 2 | 2 | 1 (50.0%) | 0 (0.0%) | 0 |" in page
    assert "disagreement, numeric: 25.0%" in page
    assert r"| `Numeric` | false right | `18` | `a\|b⏎#### 18` | nothing |" in page


@pytest.mark.slow
def test_the_first_grader_errs_no_more_often_than_is_written_down():
    figures = measure(None)
    symbolic = figures["pairs"]["symbolic"]["Symbolic"]
    assert symbolic["false_right"] <= 4
    assert symbolic["false_wrong"] <= 22
    assert set(figures["pairs"]) >= {"numeric", "symbolic", "choice", "symbolic, held out"}
    assert len(shown(figures).splitlines()) > len(figures["errors"])
