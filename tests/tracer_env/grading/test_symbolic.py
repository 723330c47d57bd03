"""The symbolic grader reads mathematics, grades it by value and survives hostile answers."""

import copy
import pickle

import pytest

from tracer_env.grading.base import Grade
from tracer_env.grading.latex import MAX_ANSWER_CHARACTERS
from tracer_env.grading.symbolic import Symbolic

READ = [
    (r"so $x = \boxed{\dfrac{3}{4}}$.", r"\frac{3}{4}"),
    (r"\boxed{\text{east}}", "east"),
    (r"\boxed{1} or rather \boxed{\{1, 2\}}", r"\{1,2\}"),
    (r"\boxed{5}. I am sure this answer is correct.", "5"),
    (r"\boxed{5}. Check: the answer is 7 - 2.", "5"),
    (r"The answer is $\frac{3}{4}$.", r"\frac{3}{4}"),
    (r"The final answer is \(x^2 + 1\), as required.", "x^2+1"),
    (r"The answer is \[ 2\sqrt 3 \]", r"2\sqrt{3}"),
    ("The answer is 12 apples.", "12"),
    ("Answer: 3 sqrt(2)", "3sqrt(2)"),
    ("**Answer:** $12$", "12"),
    ("Answer: x = 5", "5"),
    ("#### 18", "18"),
    ("A: 18", "18"),
    ("The answer is Evelyn.", "evelyn"),
    (r"\frac{1}{2}", r"\frac{1}{2}"),
    ("18", "18"),
    (r"<solution>\boxed{1}</solution> I get \boxed{2}", "2"),
]
UNREADABLE = [
    "",
    "I do not know what to do here",
    r"\boxed{}",
    r"\boxed{3",
    "the answer is a number that I cannot find",
    r"> \boxed{3}",
    r"<solution>\boxed{3}</solution>",
]
EQUAL = [
    (r"\frac{1}{2}", "0.5"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    ("(a+5)(b+2)", "ab+2a+5b+10"),
    ("1,-2", "-2,1"),
    (r"(-\infty,0]", r"x\le0"),
    (r"1\pm\sqrt{19}", r"1+\sqrt{19},1-\sqrt{19}"),
    (r"137\frac{1}{2}", "137.5"),
    (r"\begin{pmatrix}1/5\\-18/5\end{pmatrix}", r"\begin{pmatrix}0.2\\-3.6\end{pmatrix}"),
    (r"\cot x", r"\frac{1}{\tan x}"),
    ("6-5i", "-5i+6"),
    ("9", "3(3)"),
    ("24", "(4)(6)"),
    (r"\frac{14}{3}", r"\frac{2(\frac{14}{3})}{2}"),
    ("3", r"\log_2(8)"),
    ("x^2-1", "(x+1)(x-1)"),
]
UNEQUAL = [
    ("(1,-2)", "(-2,1)"),
    (r"\frac{1}{2}", "0.51"),
    ("x+1", "x+2"),
    ("even", "neve"),
    ("(3,4]", "[3,4]"),
    ("18", "17,18,19"),
    ("18", "x"),
    ("18", r"5\text{ or }18"),
    ("18", "}{"),
    ("12", "-12"),
    ("11", "2(9)"),
    ("52_8", "52_9"),
    ("4210_5", "4201_5"),
]


@pytest.fixture(scope="module")
def symbolic():
    with Symbolic(deadline_seconds=30) as grader:  # long: a busy machine must not turn a verdict into none
        yield grader


@pytest.mark.parametrize(("completion", "answer"), READ)
def test_a_stated_answer_is_read(symbolic, completion, answer):
    assert symbolic.parse(completion) == answer


@pytest.mark.parametrize("completion", UNREADABLE)
def test_no_answer_is_read_where_none_is_stated(symbolic, completion):
    assert symbolic.parse(completion) is None


def test_a_gold_is_bare_or_a_solution(symbolic):
    assert symbolic.gold(r"so \boxed{\frac12}") == symbolic.gold(r"\frac{1}{2}") == r"\frac{1}{2}"


def test_equal_values_are_right(symbolic):
    golds, answers = zip(*EQUAL, strict=True)
    assert symbolic.grade(answers, golds) == [Grade.RIGHT] * len(EQUAL)


def test_unequal_values_are_wrong(symbolic):
    golds, answers = zip(*UNEQUAL, strict=True)
    assert symbolic.grade(answers, golds) == [Grade.WRONG] * len(UNEQUAL)


def test_equal_strings_integers_and_missing_answers_need_no_child():
    with Symbolic() as grader:
        assert grader.grade([r"\pi", "3", None], [r"\pi", "4", "5"]) == [Grade.RIGHT, Grade.WRONG, Grade.WRONG]
        assert grader.worker.pid is None


def test_huge_and_deeply_nested_answers_are_ungradable_without_the_child():
    with Symbolic() as grader:
        hostile = ["9" * 2**20, "1+" * MAX_ANSWER_CHARACTERS, "{" * 900 + "1" + "}" * 900]
        assert grader.grade(hostile, ["5"] * 3) == [Grade.UNGRADABLE] * 3
        assert grader.worker.pid is None


def test_each_distinct_pair_of_a_batch_is_compared_once(monkeypatch):
    grader = Symbolic()
    compared = []
    monkeypatch.setattr(grader.worker, "compare", lambda gold, answer: compared.append((gold, answer)) or Grade.WRONG)
    assert grader.grade(["x", "y", "x", "x"], ["z", "z", "z", "w"]) == [Grade.WRONG] * 4
    assert compared == [("z", "x"), ("z", "y"), ("w", "x")]


def test_a_tower_of_powers_costs_its_deadline_and_nothing_else():
    with Symbolic(deadline_seconds=1) as grader:
        grader.worker.compare("1", "1")
        before = grader.worker.pid
        assert grader.grade([r"9^{9^{9^9}}"], ["x+5"]) == [Grade.UNGRADABLE]
        assert grader.worker.pid is None
        grader.worker.deadline_seconds = 30
        assert grader.grade(["x+1", "2x"], ["1+x", "x"]) == [Grade.RIGHT, Grade.WRONG]
        assert grader.worker.pid not in (before, None)


def test_copies_grade_with_a_child_of_their_own(symbolic):
    symbolic.worker.compare("1", "1")
    for twin in (copy.deepcopy(symbolic), pickle.loads(pickle.dumps(symbolic))):
        with twin:
            assert twin.worker.deadline_seconds == 30
            assert twin.worker.pid is None
            assert twin.grade(["x+1"], ["1+x"]) == [Grade.RIGHT]
            assert twin.worker.pid != symbolic.worker.pid
