"""Demonstrations: what carries loss is correct, and reviews judge and quote what they were shown."""

import sys
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tracer_env.dialogue import Verdict
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic, Problem, Step, split_of

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts"))
from tiny_demonstrations import (
    TASK,
    Mix,
    Played,
    checked_review,
    corrupted,
    corrupted_direct,
    demonstrations,
    mistaken_review,
    truth,
)

MIX = Mix(levels={1: 0.2, 3: 0.8}, direct=0.4, snap=0.4, mistaken=0.3)
STORY = Problem(text="…", steps=(Step(24, "+", 13, 37), Step(37, "*", 2, 74), Step(74, "-", 4, 70)))


def some(count, **options):
    return list(islice(demonstrations(MIX, seed=5, **options), count))


def test_whatever_carries_loss_is_correct():
    for one in some(2000):
        for index, turn in enumerate(one.turns):
            if turn.learn and index != 1:
                assert TASK.parse(turn.text) == one.problem.answer
            elif turn.learn:
                assert parse_verdict(turn.text) is truth(one.problem, one.turns[0].text)


def test_what_is_wrong_never_carries_loss_and_occurs():
    wrong = [turn for one in some(2000) for turn in one.turns[:1] if TASK.parse(turn.text) != one.problem.answer]
    assert len(wrong) > 500
    assert not any(turn.learn for turn in wrong)


def test_only_training_problems_are_shown():
    assert all(split_of(one.problem.steps) == "train" for one in some(500))


def test_every_role_and_habit_occurs():
    shown = [(index, "=" in turn.text) for one in some(1000) for index, turn in enumerate(one.turns) if turn.learn]
    assert {(0, True), (0, False), (1, True), (1, False), (2, True)} == set(shown)


def test_demonstrations_are_a_function_of_the_seed():
    assert some(50) == some(50)


def test_the_models_own_turns_are_quoted_without_loss():
    problem = Arithmetic(3).problems("train", 0, 1, seed=0)[0]
    played = [Played(problem, "#### 99999", "Verdict: RIGHT")]
    quoted = [one for one in some(200, played=played) if one.turns[0].text == "#### 99999"]
    assert 60 < len(quoted) < 140
    assert not any(one.turns[0].learn for one in quoted)
    for one in quoted:
        if one.turns[1].text == "Verdict: RIGHT":
            assert not one.turns[1].learn


@pytest.mark.parametrize(
    ("solution", "review"),
    [
        (STORY.solution(), "24+13=37 ok\n37*2=74 ok\n74-4=70 ok\nVerdict: RIGHT"),
        ("24+13=37\n37*2=64\n64-4=60\n#### 60", "24+13=37 ok\n37*2=74 not 64\nVerdict: WRONG"),
        ("#### 70", "24+13=37\n37*2=74\n74-4=70 ok\nVerdict: RIGHT"),
        ("#### 71", "24+13=37\n37*2=74\n74-4=70 not 71\nVerdict: WRONG"),
        ("24+13=37\n#### 37", "24+13=37\n37*2=74\n74-4=70 not 37\nVerdict: WRONG"),
        ("24+13=36\n36*2=74\n74-4=70\n#### 70", "24+13=37\n37*2=74\n74-4=70 ok\nVerdict: RIGHT"),
        ("gibberish", "24+13=37\n37*2=74\n74-4=70 not ?\nVerdict: WRONG"),
    ],
)
def test_checked_review_stops_at_the_first_difference(solution, review):
    assert checked_review(STORY, solution) == review


def test_corruptions_are_wrong_and_look_like_solutions():
    rng = Random(0)
    for problem in Arithmetic("1-4").problems("train", 0, 500, seed=0):
        for made in (corrupted(problem, rng), corrupted_direct(problem, rng)):
            assert TASK.parse(made) not in (None, problem.answer)


def test_a_corruption_is_carried_on():
    lines = {corrupted(STORY, Random(seed)) for seed in range(300)}
    assert "24+13=38\n38*2=76\n76-4=72\n#### 72" in lines
    assert "24-13=11\n11*2=22\n22-4=18\n#### 18" in lines


def test_mistaken_reviews_are_false():
    rng = Random(0)
    for problem in Arithmetic(3).problems("train", 0, 300, seed=0):
        assert parse_verdict(mistaken_review(problem, problem.solution(), MIX, rng)) is Verdict.WRONG
        assert parse_verdict(mistaken_review(problem, corrupted(problem, rng), MIX, rng)) is Verdict.RIGHT
