"""The choice grader reads one letter, however it is dressed."""

import pytest

from tracer_env.errors import ConfigError
from tracer_env.grading.base import Grade
from tracer_env.grading.choice import Choice

READ = [
    ("C", "C"),
    ("(c)", "C"),
    ("C.", "C"),
    ("The answer is (C).", "C"),
    ("The answer is C", "C"),
    ("the correct answer is option C", "C"),
    ("The correct answer is: **C**", "C"),
    ("**Answer: C) mitosis**", "C"),
    ("Answer: C. Because of entropy", "C"),
    ("Answer: the letter B", "B"),
    ("answer is c", "C"),
    ("answer is (c) since", "C"),
    (r"\boxed{C}", "C"),
    (r"\boxed{\text{C}}", "C"),
    (r"$\boxed{\textbf{(C)}}$", "C"),
    ("#### D", "D"),
    ("Answer: Ｃ", "C"),
    ("The answer is A. No, the answer is B.", "B"),
    ("The answer is B.\nThis answer is certain.", "B"),
    ("<solution>Answer: A</solution> Answer: D", "D"),
]
UNREADABLE = [
    "",
    "A: the first choice",
    "the answer is a matter of taste",
    "The answer is E",
    "The answer is Carbon",
    "Answer: С",  # Cyrillic
    "(A) and (B) are both plausible",
    "> Answer: C",
    "<review>Answer: C</review>",
]


@pytest.mark.parametrize(("completion", "letter"), READ)
def test_a_stated_letter_is_read(completion, letter):
    assert Choice().parse(completion) == letter


@pytest.mark.parametrize("completion", UNREADABLE)
def test_no_letter_is_read_where_none_is_stated(completion):
    assert Choice().parse(completion) is None


def test_letters_are_the_ones_asked_for():
    assert Choice(letters="ABCDE").parse("Answer: E") == "E"


@pytest.mark.parametrize("letters", ["", "A", "AA", "abc", "A1"])
def test_letters_must_be_distinct_capitals(letters):
    with pytest.raises(ConfigError, match="letters must be"):
        Choice(letters=letters)


def test_letters_are_graded_by_equality():
    assert Choice().grade(["A", "B", None], ["A", "A", "A"]) == [Grade.RIGHT, Grade.WRONG, Grade.WRONG]
