"""Tests of the second grader's opinion of recorded answers."""

import math

import pandas as pd
import pytest

from benchmarks.report.agreement import second_opinion
from tracer_env.grading.base import Grade


class Opposite:
    """A grader that has no opinion on ``?`` and calls everything else right."""

    answer_format = ""

    def parse(self, completion):
        return completion

    def gold(self, text):
        return text

    def grade(self, answers, golds):
        return [Grade.UNGRADABLE if answer == "?" else Grade.RIGHT for answer in answers]


def answers(*rows: tuple[str | None, str]) -> pd.DataFrame:
    """Rows of (answer, the first grader's grade)."""
    return pd.DataFrame([{"answer": answer, "gold": "1", "grade": grade} for answer, grade in rows])


def test_only_answers_that_both_graded_count():
    recorded = answers(
        ("1", "right"), ("2", "wrong"), ("2", "wrong"), ("3", "wrong"), ("?", "wrong"),
        (None, "wrong"), ("4", "failed"), ("5", "ungradable"),
    )  # fmt: skip

    opinion = second_opinion(recorded, Opposite())

    assert (opinion.answers, opinion.pairs, opinion.unread) == (5, 4, 1)
    assert opinion.disagreement == pytest.approx(3 / 4)
    assert opinion.disputed.to_dict("records") == [
        {"answer": "2", "gold": "1", "first": "wrong", "second": "right", "answers": 2},
        {"answer": "3", "gold": "1", "first": "wrong", "second": "right", "answers": 1},
    ]


def test_without_answers_there_is_no_rate():
    opinion = second_opinion(answers((None, "wrong")), Opposite())

    assert opinion.disputed.empty
    assert math.isnan(opinion.disagreement)
