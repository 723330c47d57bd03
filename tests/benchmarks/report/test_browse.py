"""The HTML page of a benchmark: the report's own figures, and the dialogues behind them."""

import json
import re
import sys

import pandas as pd
import pytest

from benchmarks import __main__ as command
from benchmarks.report import browse
from benchmarks.report.browse import benchmark_page
from tracer_agents.cli import main
from tracer_agents.report.render import render
from tracer_agents.report.sources import page_of
from tracer_env.errors import ConfigError


@pytest.fixture
def page(out, methods):
    return benchmark_page(out, methods=methods, resamples=200)


def test_the_page_has_the_figures_of_the_report(reported):
    html = (reported / "report.html").read_text("utf-8")
    table = pd.read_csv(reported / "report" / "table.csv")
    headlines = table[table["headline"]]
    assert len(headlines) == 4 * 3
    for row in headlines.to_dict("records"):
        shown = f"{row['accuracy']:.3f}<small>[{row['accuracy_low']:.3f}, {row['accuracy_high']:.3f}]</small>"
        assert shown in html


def test_every_part_is_there_and_the_reference_comes_first(page):
    assert [section.name for section in page.sections] == ["results", "frontier", "learning", "speech", "correction"]
    assert [block.caption.partition(":")[0] for block in page.sections[0].blocks] == [
        "mean over tasks",
        "arithmetic-3",
        "arithmetic-4",
    ]
    strong = [row.heading for row in page.sections[0].blocks[0].rows if row.strong]
    assert strong == ["TRACER (price=0.1)"]
    assert page.browser["methods"][0] == {"key": "tracer", "label": "TRACER"}


def test_dialogues_are_those_of_the_headlines_with_task_and_seed(page, out):
    assert page.browser["all_dialogues"] == 4 * 2 * 2 * 30  # of four methods, two tasks, two seeds
    question = page.browser["questions"][0]
    task, seed, question_id = re.fullmatch(r"(arithmetic-\d), seed (\d): (.*)", question["id"]).groups()
    path = out / "cells" / "tracer" / task / f"seed-{seed}" / "records.jsonl"
    rows = [json.loads(row) for row in path.read_text("utf-8").splitlines()]
    [record] = [row for row in rows if (row["question_id"], row["method"]) == (question_id, "tracer@price=0.1")]
    entry = question["entries"][0]
    assert (entry["answer"], entry["right"]) == (record["answer"], record["correct"])
    assert [turn[3] for turn in entry["turns"]] == [turn["mode"] for turn in record["turns"]]


def test_a_limit_takes_the_same_number_of_questions_from_every_cell(out, methods):
    page = benchmark_page(out, methods=methods, resamples=50, most=32)
    assert page.browser["dialogues"] == 32
    cells = {question["id"].partition(": ")[0] for question in page.browser["questions"]}
    assert len(cells) == 4
    assert "of\n    480 on 120 that are" in render(page)


def test_the_command_finds_a_benchmark_by_its_plan(one_task, methods, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        browse, "benchmark_page", lambda out, most: benchmark_page(out, most=most, methods=methods, resamples=50)
    )
    assert main(["report", str(one_task), "--out", str(tmp_path / "page.html")]) == 0
    assert "<h1>bench</h1>" in (tmp_path / "page.html").read_text("utf-8")
    capsys.readouterr()


def test_without_a_clone_the_page_is_refused_with_the_place_where_it_is_made(one_task, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "benchmarks"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "benchmarks", None)
    with pytest.raises(ConfigError, match="in a clone of the repository"):
        page_of([one_task])


def test_a_page_that_cannot_be_written_loses_no_benchmark(one_task, monkeypatch, capsys):
    def fails(*_, **__):
        raise KeyError("accuracy")

    monkeypatch.setattr(browse, "benchmark_page", fails)
    command._browsable(one_task)
    assert f"note: {one_task / 'report.html'}: not written ('accuracy')" in capsys.readouterr().err
