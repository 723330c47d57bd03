"""What a grader is: one way to read answers, and to tell right ones from wrong ones."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol


class Grade(StrEnum):
    """The outcome of grading one answer; only ``RIGHT`` counts as right."""

    RIGHT = "right"
    WRONG = "wrong"
    UNGRADABLE = "ungradable"  # no verdict within the deadline, or the grader refused the text


class Grader(Protocol):
    """Reads answers into a canonical form and grades them; the same text always reads the same.

    Canonical answers are compared as strings to see whether two proposals agree, so equal answers are equal
    strings wherever that can be had cheaply.
    """

    answer_format: str  # how a completion must end, e.g. "#### <number>"

    def parse(self, completion: str) -> str | None:
        """The canonical answer in a completion, or None. The last readable answer marker wins.

        Text quoted from another agent never counts, and only the end of an over-long completion is read: see
        ``tracer_env.grading.quotes``.
        """
        ...

    def gold(self, text: str) -> str | None:
        """The canonical form of a data set's gold, be it a bare answer or a worked solution; None if unusable."""
        ...

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Grades canonical answers against canonical golds, one for one; no answer is wrong.

        Raises:
            ValueError: ``answers`` and ``golds`` differ in length.
        """
        ...


def grade_equal(answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
    """Right where answer and gold are the same string: all the grading canonical forms need."""
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]
