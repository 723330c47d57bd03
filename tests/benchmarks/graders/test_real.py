"""Golds are rewritten without a change, perturbed with one, and replayed as they are."""

import json
from pathlib import Path

import pytest

from benchmarks.graders.by_value import ByValue
from benchmarks.graders.real import Verdicts, math500_verdicts, perturbed, rewritten, write_gold
from tracer_env.errors import DataError
from tracer_env.grading.base import Grade

DATA = Path(__file__).parents[4] / "shared" / "data"


@pytest.mark.parametrize(
    ("gold", "text"),
    [
        ("9", r"\frac{2\left(9\right)}{2}"),
        ("(1,2)", None),
        (r"\text{even}", None),
        (r"90^\circ", None),
        (r"\$5", None),
        ("58,500", None),
        (r"\int_0^1", None),
    ],
)
def test_only_formulas_of_numbers_are_rewritten(gold, text):
    assert rewritten(gold) == text


@pytest.mark.parametrize(
    ("gold", "other"),
    [
        (r"\frac{3}{56}", r"\frac{4}{56}"),
        ("-9", "-10"),
        ("p - q", "p - q+1"),
        (r"\text{even}", r"\text{not even}"),
        (r"\pi", r"\pi+1"),
        ("(-2,1)", "(-3,1)"),
    ],
)
def test_a_perturbed_gold_is_another_answer(gold, other):
    assert perturbed(gold) == other
    assert ByValue().grade([other], [gold]) != [Grade.RIGHT]


def test_only_what_a_grader_gets_wrong_or_both_dispute_is_listed():
    verdicts = Verdicts(
        name="test",
        same=True,
        pairs=(("1", "a"), ("2", "b"), ("3", "c")),
        first=(Grade.RIGHT, Grade.WRONG, Grade.RIGHT),
        second=(Grade.RIGHT, Grade.WRONG, Grade.UNGRADABLE),
    )
    report = verdicts.as_json()
    assert (report["answers"], report["first_errs"], report["second_errs"], report["disagree"]) == (3, 1, 2, 1)
    assert [row["gold"] for row in report["listed"]] == ["2", "3"]


def test_both_graders_see_the_same_answers(tmp_path):
    data = tmp_path / "rows.jsonl"
    rows = [
        {"problem": "p", "solution": r"so \boxed{\frac12}", "answer": r"\frac{1}{2}"},
        {"problem": "q", "solution": r"so \boxed{x+1}", "answer": "1+x"},
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    by_name = {each.name: each for each in math500_verdicts(data)}
    assert {name: set(each.first) | set(each.second) for name, each in by_name.items()} == {
        "solutions": {Grade.RIGHT},
        "rewritten": {Grade.RIGHT},
        "perturbed": {Grade.WRONG},
    }


def test_gold_solutions_become_recorded_completions(tmp_path):
    data, out = tmp_path / "rows.jsonl", tmp_path / "gold.jsonl"
    data.write_text(json.dumps({"question": "1+1?", "answer": "1+1=2\n#### 2"}) + "\n")
    assert write_gold("gsm8k", data, out) == 1
    assert json.loads(out.read_text()) == {"question": "1+1?", "completion": "1+1=2\n#### 2", "model": "gold"}


def test_a_file_without_solutions_is_refused(tmp_path):
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"question": "1+1?"}) + "\n")
    with pytest.raises(DataError, match=r"rows\.jsonl, line 1: no field 'answer'"):
        write_gold("gsm8k", data, tmp_path / "gold.jsonl")


@pytest.mark.skipif(not (DATA / "math500_test.jsonl").exists(), reason=f"the real data sets are not in {DATA}")
def test_the_second_grader_knows_every_gold_of_math500():
    rows = [json.loads(line) for line in (DATA / "math500_test.jsonl").read_text("utf-8").splitlines()]
    grader = ByValue()
    golds = [grader.gold(row["answer"]) for row in rows]
    assert set(grader.grade([grader.parse(row["solution"]) for row in rows], golds)) == {Grade.RIGHT}
    assert Grade.RIGHT not in grader.grade([perturbed(gold) for gold in golds], golds)
