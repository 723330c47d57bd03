"""The real benchmarks load whole, and their own solutions grade as right."""

import json
from pathlib import Path

import pytest

from tracer_env.grading.base import Grade
from tracer_env.tasks import make_task

DATA = Path(__file__).parents[4] / "shared" / "data"
pytestmark = pytest.mark.skipif(
    not (DATA / "gsm8k_test.jsonl").exists(), reason=f"the real data sets are not in {DATA}"
)


def failures(task, path: Path, solution_field: str) -> list[str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    questions = task.draw("test", 0, len(rows), seed=0)
    assert len(questions) == len(rows)
    answers = [task.parse(row[solution_field]) for row in rows]
    grades = task.grade(answers, [question.gold for question in questions])
    return [
        f"{question.id}: {answer!r} graded {grade} against {question.gold!r}"
        for question, answer, grade in zip(questions, answers, grades, strict=True)
        if grade is not Grade.RIGHT
    ]


@pytest.mark.parametrize("name", ["gsm8k_test.jsonl", "gsm8k_train.jsonl"])
def test_every_gold_solution_of_gsm8k_is_right(name):
    task = make_task("gsm8k", eval_data=DATA / name)
    assert failures(task, DATA / name, "answer") == []
    assert (task.dropped, task.duplicates) == (0, 0)


def test_every_gold_solution_of_math500_is_right():
    task = make_task("math500", data=DATA / "math500_test.jsonl")
    assert failures(task, DATA / "math500_test.jsonl", "solution") == []
    assert (task.dropped, task.duplicates) == (0, 0)


def test_math500_answers_in_another_form_are_right_in_the_child_too():
    with make_task("math500", data=DATA / "math500_test.jsonl", deadline_seconds=60).grader as grader:
        golds = [question.gold for question in make_task("math500", data=DATA / "math500_test.jsonl").splits["test"]]
        numbers = [gold for gold in golds if gold.lstrip("-").replace(".", "").isdigit()][:100]
        assert grader.grade([rf"\frac{{{gold}}}{{1}}" for gold in numbers], numbers) == [Grade.RIGHT] * 100
        formulas = [gold for gold in golds if "sqrt" in gold and "," not in gold and "pm" not in gold]
        assert grader.grade([f"{gold}+0" for gold in formulas], formulas) == [Grade.RIGHT] * len(formulas)
        assert grader.grade([f"{gold}+1" for gold in formulas], formulas) == [Grade.WRONG] * len(formulas)


def test_gsm8k_trains_and_tests_on_disjoint_official_files():
    task = make_task("gsm8k", data=DATA / "gsm8k_train.jsonl", eval_data=DATA / "gsm8k_test.jsonl")
    assert task.size("train") + task.size("validation") == 7473
    assert 300 <= task.size("validation") <= 450
    assert task.size("test") == 1319
