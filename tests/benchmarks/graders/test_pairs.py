"""The hand-written pairs are many, varied and well-formed, and errors are counted as what they are."""

from collections import Counter

import pytest

from benchmarks.graders.by_value import ByValue
from benchmarks.graders.pairs import KINDS, Pair, disagreement, judge, load_pairs, rates
from tracer_env.grading.base import Grade
from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric


def pair(text: str, *, same: bool, gold: str = "18") -> Pair:
    """A numeric pair."""
    return Pair(grader="numeric", group="test", gold=gold, text=text, same=same)


def test_the_pairs_are_many_different_and_about_half_the_same():
    pairs = load_pairs()
    assert len(pairs) >= 300
    assert len({(p.gold, p.text) for p in pairs}) == len(pairs)
    assert 0.4 < sum(p.same for p in pairs) / len(pairs) < 0.6
    assert {p.grader for p in pairs} == set(KINDS)
    assert len({p.group for p in pairs}) >= 15


def test_every_kind_has_both_labels():
    labels = Counter((p.grader, p.same) for p in load_pairs())
    assert min(labels.values()) >= 10
    assert len(labels) == 2 * len(KINDS)


def test_an_error_is_false_right_or_false_wrong():
    pairs = [
        pair("#### 18", same=True),
        pair("#### 19", same=False),
        pair("#### 18", same=False),
        pair("#### 19", same=True),
        pair("nothing", same=True),
    ]
    judged = judge(pairs, Numeric())
    assert [j.false_right for j in judged] == [False, False, True, False, False]
    assert [j.false_wrong for j in judged] == [False, False, False, True, True]
    assert rates(judged) == {
        "same": 3,
        "different": 2,
        "false_right": 1,
        "false_wrong": 2,
        "false_right_rate": 1 / 2,
        "false_wrong_rate": 2 / 3,
        "ungradable": 0,
    }


def test_disagreement_is_the_share_that_only_one_calls_right():
    pairs = [pair("#### 18", same=True), pair("#### 2 * (4 + 5)", same=True), pair("#### 5", same=False)]
    assert disagreement(judge(pairs, Numeric()), judge(pairs, ByValue())) == pytest.approx(1 / 3)


def test_a_gold_that_cannot_be_read_is_an_error_of_the_file():
    with pytest.raises(ValueError, match=r"mend pairs\.jsonl"):
        judge([pair("#### 18", same=True, gold="eighteen")], Numeric())


@pytest.mark.parametrize(("kind", "grader", "most"), [("numeric", Numeric(), 17), ("choice", Choice(), 0)])
def test_the_graders_in_process_err_no_more_often_than_is_written_down(kind, grader, most):
    judged = judge([p for p in load_pairs() if p.grader == kind], grader)
    assert sum(j.false_right or j.false_wrong for j in judged) <= most


def test_the_second_grader_errs_no_more_often_than_is_written_down():
    judged = judge([p for p in load_pairs() if p.grader != "choice"], ByValue())
    assert sum(j.false_right for j in judged) <= 2
    assert sum(j.false_wrong for j in judged) <= 29


def test_unparsed_answers_are_never_right():
    pairs = [p for p in load_pairs() if p.grader == "numeric"]
    unread = [j for grader in (Numeric(), ByValue()) for j in judge(pairs, grader) if j.answer is None]
    assert len(unread) > 10
    assert {j.grade for j in unread} == {Grade.WRONG}
