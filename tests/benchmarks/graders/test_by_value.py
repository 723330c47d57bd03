"""The second grader reads what is stated, compares what is denoted, and is never more than a bounded effort."""

import pytest

from benchmarks.graders.by_value import ByValue
from benchmarks.graders.reading import MAX_CHARACTERS
from tracer_env.grading.base import Grade

READ = [
    (r"so $x = \boxed{\dfrac{3}{4}}$.", r"\dfrac{3}{4}"),
    (r"\boxed{1} or rather \boxed{2}", "2"),
    (r"\boxed{5}. Check: the answer is 7 - 2.", "5"),
    (r"The answer is $\frac{3}{4}$.", r"\frac{3}{4}"),
    (r"The final answer is \(x^2 + 1\), as required.", "x^2 + 1"),
    ("The answer is **18**.", "18"),
    ("**Answer:** 18", "18"),
    ("The answer is $18.00.", "$18.00"),
    ("The answer is 12 apples.", "12 apples"),
    ("The answer is 5 because 2 + 3 = 5", "5"),
    ("#### 18\nI hope this helps!", "18"),
    ("A: 3/4", "3/4"),
    ("The answer is Evelyn.", "Evelyn"),
    ("18", "18"),
    (r"<solution>\boxed{1}</solution> I get \boxed{2}", "2"),
    (r"\boxed{\int_0^5 dx}", r"\int_0^5 dx"),
]
UNREADABLE = [
    "",
    "I do not know what to do here",
    r"\boxed{}",
    r"\boxed{3",
    "The answer is not 18.",
    "the answer is a number that I cannot find",
    r"> \boxed{3}",
    "<solution>#### 3</solution>",
    "#### 18 19 20",
]


@pytest.mark.parametrize(("completion", "answer"), READ)
def test_a_stated_answer_is_read(completion, answer):
    assert ByValue().parse(completion) == answer


@pytest.mark.parametrize("completion", UNREADABLE)
def test_no_answer_is_read_where_none_is_stated(completion):
    assert ByValue().parse(completion) is None


def test_a_gold_is_bare_or_a_solution():
    assert ByValue().gold(r"so \boxed{\frac12}") == ByValue().gold(r"\frac12") == r"\frac12"
    assert ByValue().gold("3 + 4 = 7\n#### 7") == "7"


def test_what_cannot_be_read_is_never_right_unless_it_is_the_gold_itself():
    answers = [None, r"\int_0^5 dx", r"\int_0^5 dx", "5", "}{"]
    golds = ["5", "5", r"\int_0^5  dx", r"\int_0^5 dx", "5"]
    assert ByValue().grade(answers, golds) == [
        Grade.WRONG, Grade.UNGRADABLE, Grade.RIGHT, Grade.UNGRADABLE, Grade.UNGRADABLE,
    ]  # fmt: skip


def test_values_decide():
    golds = [r"\frac{1}{2}", "11", "52_8", "(3,4]"]
    assert ByValue().grade(["0.5", "2(9)", "52_9", r"3 < x \le 4"], golds) == [
        Grade.RIGHT, Grade.WRONG, Grade.WRONG, Grade.RIGHT,
    ]  # fmt: skip


HOSTILE = [
    *("9" * 2**20, "1+" * MAX_CHARACTERS, "{" * 900 + "1" + "}" * 900, r"\{" * 900, "9^" * 900, r"\frac{1}{" * 200),
    *("(" * 900 + "5" + ")" * 900, r"\sqrt" * 300 + "2", r"\text{" * 200, "1," * 900, r"\pm" * 600 + "1", "|" * 1000),
    *("-" * 1900 + "1", r"\def\x{\x\x}\x"),
]


@pytest.mark.parametrize("hostile", HOSTILE)
def test_hostile_answers_are_no_right_ones(hostile):
    grades = ByValue().grade([hostile], ["4"])
    assert grades in ([Grade.UNGRADABLE], [Grade.WRONG])


@pytest.mark.parametrize("hostile", [r"9^{9^{9^9}}", "1000000!", "(" * 9 + "x+1" + ")^{99}" * 9, "2^{10^{10}}"])
def test_numbers_beyond_bounds_have_no_value(hostile):
    assert ByValue().grade([hostile], ["5"]) == [Grade.WRONG]


def test_answers_and_golds_must_pair_up():
    with pytest.raises(ValueError, match="argument"):
        ByValue().grade(["1", "2"], ["1", "2", "3"])
