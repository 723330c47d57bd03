"""Tests of the whole report: rebuilt from records alone, the same every time, and honest about what is missing."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from benchmarks.report import write
from tracer_env.errors import DataError


def page_of(out: Path) -> str:
    return (out / "report" / "report.md").read_text("utf-8")


def rewrite(out: Path, change) -> None:
    """Changes every record of ``single`` on the first task."""
    for path in out.glob("cells/single/arithmetic-3/*/records.jsonl"):
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        path.write_text("".join(json.dumps(change(row)) + "\n" for row in rows), encoding="utf-8")


def test_the_page_links_every_picture_and_each_is_there(reported):
    linked = {unquote(name) for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page_of(reported))}

    assert linked == {path.name for path in (reported / "report").glob("*.png")}
    assert len(linked) == 3 * 2 + 2 + 2  # frontier and correction thrice; when it speaks, and learning, twice
    assert all((reported / "report" / name).read_bytes().startswith(b"\x89PNG") for name in linked)


def test_the_tables_agree_with_each_other(reported):
    table = pd.read_csv(reported / "report" / "table.csv").set_index(["task", "point"])
    comparisons = pd.read_csv(reported / "report" / "comparisons.csv").set_index(["task", "method"])
    mine = table.loc[("mean", "tracer@price=0.1")]
    theirs = table.loc[("mean", "always_speak")]

    difference = comparisons.loc[("mean", "always_speak"), "accuracy"]
    assert difference == pytest.approx(mine["accuracy"] - theirs["accuracy"], abs=1e-5)
    row = f"| Always speak | {theirs['accuracy']:.3f} [{theirs['accuracy_low']:.3f}, {theirs['accuracy_high']:.3f}] |"
    assert row in page_of(reported)
    assert f"Always speak & {theirs['accuracy']:.3f} [" in (reported / "report" / "table.tex").read_text("utf-8")


def test_prompts_terms_plan_and_sources_are_on_the_page(reported):
    page = page_of(reported)

    assert "tracer: vote\n\n````text\n[user]\n```Who is {right}?\n````" in page
    assert "dialogue: revise" in page
    assert "**Holm**" in page
    assert "fit_questions: 384" in page
    assert "| Self-consistency | self_consistency | a paper |" in page
    assert "Not ended" not in page


def test_the_same_records_give_the_same_bytes(one_task, methods):
    first = {path: path.read_bytes() for path in write(one_task, methods=methods, resamples=100)}

    again = write(one_task, methods=methods, resamples=100)

    assert {path: path.read_bytes() for path in again} == first
    assert again[0] == one_task / "report" / "report.md"
    assert again[1] == one_task / "report.html"
    assert {path.name for path in again[2:]} | {"report.md"} == {path.name for path in (one_task / "report").iterdir()}


def test_what_has_not_ended_is_named(one_task, methods):
    (one_task / "cells" / "always_speak" / "arithmetic-3" / "seed-1" / "cell.json").unlink()

    write(one_task, methods=methods, resamples=50)

    page = page_of(one_task)
    assert "7 cells (method, task, seed) have ended of 8" in page
    assert "**Not ended:** always_speak on arithmetic-3, seed 1." in page
    assert "Always speak" not in page[page.index("## arithmetic-3") : page.index("## Learning curves")]


def test_hostile_answers_on_which_graders_disagree_are_listed_harmlessly(one_task, methods):
    hostile = "7 | <img src=x> `a` [b](c)\n# \x1b[31m"
    rewrite(one_task, lambda row: {**row, "answer": hostile, "correct": True, "grade": "right"})
    rewrite(one_task, lambda row: {**row, "answer": "07.0", "correct": False, "grade": "wrong"} if row["seed"] else row)

    write(one_task, methods=methods, resamples=50)

    page = page_of(one_task)
    assert "<img" not in page
    assert "\x1b" not in page
    [line] = [line for line in page.splitlines() if line.startswith("| 07.0 |")]
    assert line == "| 07.0 | 7 | wrong | right | 30 |"
    listed = [
        json.loads(line) for line in (one_task / "report" / "disagreements.jsonl").read_text("utf-8").splitlines()
    ]
    assert {"answer": "07.0", "gold": "7", "first": "wrong", "second": "right", "answers": 30} in [
        {name: value for name, value in row.items() if name != "task"} for row in listed
    ]


def test_failed_and_ungradable_answers_are_told_apart_and_are_wrong(one_task, methods):
    rewrite(one_task, lambda row: {**row, "correct": False, "grade": "failed" if row["seed"] else "ungradable"})

    write(one_task, methods=methods, resamples=50)

    page = page_of(one_task)
    assert "**Failed**, and counted as wrong: single 0.500." in page
    assert "**Ungradable**, and counted as wrong: single 0.500." in page
    assert "| Single answer | 0.000 [0.000, 0.000] |" in page


def test_a_reference_that_was_not_run_leaves_figures_without_comparisons(one_task, methods):
    write(one_task, reference="oracle", methods=methods, resamples=50)

    page = page_of(one_task)
    assert "the plan has no method oracle" in page
    assert "against the others" not in page
    assert "No speakers were trained." in page
    assert "| TRACER (price=0.1) |" in page
    assert (one_task / "report" / "comparisons.csv").read_text("utf-8").strip() == ""


def test_a_reference_of_votes_has_no_heat_map(one_task, methods):
    paths = write(one_task, reference="self_consistency", methods=methods, resamples=50)

    assert not [path for path in paths if path.name.startswith("speaks")]
    assert "### Self-consistency against the others" in page_of(one_task)


def test_broken_records_leave_an_earlier_report_alone(one_task, methods):
    write(one_task, methods=methods, resamples=50)
    before = page_of(one_task)
    (one_task / "cells" / "single" / "arithmetic-3" / "seed-0" / "records.jsonl").write_text("{}\n", encoding="utf-8")

    with pytest.raises(DataError, match=r"records\.jsonl, line 1"):
        write(one_task, methods=methods, resamples=50)

    assert page_of(one_task) == before
