"""Tests of reading a benchmark's records: what is whole is read, what is not is named."""

import json
import shutil
from pathlib import Path

import pytest

from benchmarks.report.load import answer_row, load
from benchmarks.suite.point import Point
from tracer_agents.config import Config
from tracer_env.errors import ConfigError, DataError

CELL = Path("cells", "always_speak", "arithmetic-3", "seed-1")


def edit(path: Path, line: int, **fields) -> None:
    """Changes fields of one line of a JSONL file."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    lines[line - 1] = json.dumps({**json.loads(lines[line - 1]), **fields}) + "\n"
    path.write_text("".join(lines), encoding="utf-8")


def brief(tokens: int) -> Config:
    """Settings of five rounds whose utterances have at most so many tokens."""
    return Config.model_validate({"speakers": {"proposer_max_new_tokens": tokens, "reviewer_max_new_tokens": tokens}})


def test_every_point_has_every_question_once(out, methods):
    answers = load(out, methods).answers

    sizes = answers.groupby(["task", "seed", "point"], sort=False).size()
    assert set(sizes) == {30}
    assert list(dict.fromkeys(answers["point"])) == [
        "single",
        "self_consistency@k=1",
        "self_consistency@k=2",
        "self_consistency@k=3",
        "always_speak",
        "tracer@price=0.1",
        "tracer@price=1.0",
    ]
    assert not answers.duplicated(["task", "seed", "point", "question_id"]).any()


def test_what_the_tables_need_of_a_dialogue(make_turn, make_record):
    turns = [
        make_turn(1, right=False),
        make_turn(2, right=True),
        make_turn(3, right=True),
        make_turn(4, right=None),
        make_turn(5, right=None),
    ]

    row = answer_row(make_record("tracer", "q", turns), brief(20).utility)

    assert row == {
        "question_id": "q",
        "right": 1.0,
        "first_right": 0.0,
        "tokens": 60.0,
        "prompt_tokens": 90.0,
        "cost": 0.6,
        "free": 4.0,
        "spoken": 2.0,
        "grade": "right",
        "no_answer": 0.0,
        "ungradable": 0.0,
        "failed": 0.0,
        "answer": "7",
        "gold": "7",
    }
    assert answer_row(make_record("tracer", "q", turns), brief(10).utility)["cost"] == 1.0


def test_an_answer_that_could_not_be_read_is_wrong(make_turn, make_record):
    row = answer_row(make_record("single", "q", [make_turn(1, right=False, wrong=None)]), brief(20).utility)

    assert (row["right"], row["no_answer"]) == (0.0, 1.0)


def test_votes_have_no_choices(make_turn, make_record):
    row = answer_row(make_record("votes", "q", [make_turn(1, right=True)] * 3), brief(20).utility)

    assert (row["free"], row["spoken"]) == (0.0, 0.0)


def test_cells_that_have_not_ended_are_named(out, methods):
    (out / CELL / "cell.json").unlink()

    results = load(out, methods)

    assert results.missing == ("always_speak on arithmetic-3, seed 1",)
    assert len(results.cells) == 15


def test_records_are_read_again_by_point(out, methods):
    found = list(load(out, methods).records("self_consistency", "arithmetic-4"))

    assert [cell.seed for cell, _ in found] == [0, 1]
    assert [len(record.turns) for record in found[0][1][Point.of("self_consistency@k=2")]] == [2] * 30


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"grade": "splendid"}, "grade: 'splendid'"),
        ({"correct": True, "grade": "wrong"}, "correct is True"),
        ({"correct": "yes", "grade": "right"}, "correct is 'yes'"),
        ({"correct": True, "grade": "right", "answer": None}, "correct without an answer"),
        ({"turns": []}, "turns: there is none"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_line_that_is_no_record_is_named(out, methods, fields, complaint):
    path = out / CELL / "records.jsonl"
    edit(path, 17, **fields)

    with pytest.raises(DataError, match=r"records\.jsonl, line 17") as raised:
        load(out, methods)

    assert str(path) in str(raised.value)
    assert complaint in str(raised.value)
    assert "run it again" in str(raised.value)


def test_tokens_that_are_no_count_are_named(out, methods):
    path = out / CELL / "records.jsonl"
    first = json.loads(path.read_text("utf-8").splitlines()[0])
    edit(path, 1, turns=[{**first["turns"][0], "generated_tokens": -1}, *first["turns"][1:]])

    with pytest.raises(DataError, match=r"line 1: .*turns\.generated_tokens: -1 is no count"):
        load(out, methods)


def test_a_torn_line_in_a_finished_cell_is_named(out, methods):
    path = out / CELL / "records.jsonl"
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"records\.jsonl, line 30"):
        load(out, methods)


def test_a_finished_cell_that_lacks_questions_is_named(out, methods):
    path = out / CELL / "records.jsonl"
    path.write_text("".join(path.read_text("utf-8").splitlines(keepends=True)[:-1]), encoding="utf-8")

    with pytest.raises(DataError, match="does not hold the 30 questions"):
        load(out, methods)


def test_a_question_answered_twice_is_named(out, methods):
    path = out / CELL / "records.jsonl"
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([*lines, lines[3]]), encoding="utf-8")

    with pytest.raises(DataError, match="'always_speak' does not hold each of the 30 questions once"):
        load(out, methods)


def test_methods_that_were_asked_different_questions_are_named(out, methods):
    edit(out / CELL / "records.jsonl", 5, question_id="another")

    with pytest.raises(DataError, match="arithmetic-3, seed 1: single and always_speak were asked different questions"):
        load(out, methods)


def test_a_broken_cell_file_is_named(out, methods):
    (out / CELL / "cell.json").write_text('{"method": "always_speak"}', encoding="utf-8")

    with pytest.raises(DataError, match=r"cell\.json: not what a finished cell leaves \(KeyError\('questions'\)\)"):
        load(out, methods)


def test_without_an_ended_cell_there_is_nothing_to_report(out, methods):
    shutil.rmtree(out / "cells")

    with pytest.raises(DataError, match="no cell has ended"):
        load(out, methods)


def test_a_method_whose_file_is_gone_is_named(out, methods):
    del methods["tracer"]

    with pytest.raises(DataError, match="there is no 'tracer'"):
        load(out, methods)


def test_a_folder_without_a_plan_is_refused(tmp_path, methods):
    with pytest.raises(ConfigError, match=r"plan\.yaml"):
        load(tmp_path, methods)
