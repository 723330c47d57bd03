"""The procedural task: its stories are solved by their calculations, pure in the seed, and never cross splits."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.errors import ConfigError
from tracer_env.tasks.arithmetic import LEVELS, Arithmetic, Step, split_of
from tracer_env.tasks.base import SPLITS, Grade

KNOWN_TEXT = "Gia has 54 stones. She ends up with 4 times as many. She buys 54 more. How many stones does she have now?"
KNOWN_GOLD = "270"
SOUND = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}


def replay(text: str) -> int:
    """Solves a story from its sentences alone: an independent reading of the English."""
    start, *changes, question = text.split(". ")
    total = int(re.search(r"has (\d+) ", start)[1])
    assert question.startswith("How many ")
    for change in changes:
        numbers = [int(number) for number in re.findall(r"\d+", change)]
        if "boxes of" in change:
            total += numbers[0] * numbers[1]
        elif "times as many" in change:
            total *= numbers[0]
        elif "equal piles" in change:
            assert total % numbers[0] == 0
            total //= numbers[0]
        elif re.search(r"buys|finds|gets", change):
            total += numbers[0]
        else:
            assert re.search(r"gives away|loses|sells", change), change
            total -= numbers[0]
    return total


@pytest.mark.parametrize("level", LEVELS)
def test_calculations_follow_from_the_story(level):
    for problem in Arithmetic(level).problems("train", 0, 500, seed=3):
        assert str(replay(problem.text)) == problem.answer
        for step in problem.steps:
            assert SOUND[step.op](step.left, step.right) == step.result
            assert step.op != "/" or step.left % step.right == 0
            assert 0 < step.result <= LEVELS[level].most


@pytest.mark.parametrize("level", LEVELS)
def test_number_of_changes_is_the_levels(level):
    sentences = {problem.text.count(".") - 1 for problem in Arithmetic(level).problems("train", 0, 400, seed=0)}
    low, high = LEVELS[level].changes
    assert sentences == set(range(low, high + 1))


def test_draw_is_pure_and_independent_of_how_the_stream_is_cut():
    task = Arithmetic(3)
    whole = task.draw("train", 0, 40, seed=7)
    assert whole == [*task.draw("train", 0, 13, seed=7), *Arithmetic("3").draw("train", 13, 27, seed=7)]
    assert whole != task.draw("train", 0, 40, seed=8)
    assert [one.text for one in whole] != [one.text for one in task.draw("validation", 0, 40, seed=7)]
    assert len({one.id for one in whole}) == 40


def test_known_question_stays_the_same_on_every_machine():
    question = Arithmetic(3).draw("test", 0, 1, seed=0)[0]
    assert (question.text, question.gold) == (KNOWN_TEXT, KNOWN_GOLD)


def test_no_calculation_is_in_two_splits_across_levels():
    seen = {
        split: {
            problem.steps for level in LEVELS for problem in Arithmetic(level).problems(split, 0, 1500, seed=len(split))
        }
        for split in SPLITS
    }
    assert not seen["train"] & seen["test"]
    assert not seen["train"] & seen["validation"]
    assert not seen["validation"] & seen["test"]
    assert all(split_of(steps) == split for split in SPLITS for steps in seen[split])


def test_a_range_mixes_its_levels():
    starts = [problem.steps[0].left for problem in Arithmetic("1-4").problems("train", 0, 400, seed=0)]
    assert min(starts) < 10
    assert max(len(problem.steps) for problem in Arithmetic("1-4").problems("train", 0, 400, seed=0)) > 5


@pytest.mark.parametrize("level", [0, 5, "0", "3-2", "1-9", "two", "", True, "²", 2.0])
def test_unknown_level_is_a_config_error(level):
    with pytest.raises(ConfigError, match="level"):
        Arithmetic(level)


@pytest.mark.parametrize(("split", "start", "count"), [("dev", 0, 1), ("train", -1, 1), ("train", 0, -1)])
def test_impossible_draw_is_a_config_error(split, start, count):
    with pytest.raises(ConfigError):
        Arithmetic().draw(split, start, count, seed=0)


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("2+3=5\n#### 5", "5"),
        ("#### 5\nno wait\n#### 6", "6"),
        ("#### 5\nand more words", "5"),
        ("####7", "7"),
        ("  ####  007  ", "7"),
        ("#### -0", "0"),
        ("#### +12", "12"),
        ("#### -3", "-3"),
        ("#### $1,234.", "1234"),
        ("#### 5.00", "5"),
        ("#### 12,34", None),
        ("#### 5.5", None),
        ("#### five", None),
        ("####", None),
        ("the answer is 5", None),
        ("", None),
        ("#### 5 apples", None),
        ("#### ٣", None),
        ("#### " + "9" * 20, "9" * 20),
        ("#### " + "9" * 21, None),
        ("> #### 5", None),
        ("<solution>\n#### 5\n</solution>", None),
        ("#### 4\n<solution>\n#### 5\n</solution>", "4"),
        ("#### 4\n<SOLUTION>\n#### 5", "4"),
        ("#### 5\n</solution>", None),
        ("<review><solution>\n#### 5\n</solution>\n#### 6\n</review>\n#### 7", "7"),
        ("#### 1" + " " * 100_000 + "\n", None),
        ("#" * 200_000, None),
        ("\n#### 8" + "\nfiller" * 100 + "\0", "8"),
    ],
)
def test_parse(completion, answer):
    assert Arithmetic().parse(completion) == answer


@given(st.integers(min_value=-(10**20) + 1, max_value=10**20 - 1))
def test_parse_gives_the_canonical_form_of_any_integer(value):
    assert Arithmetic().parse(f"#### {value}") == str(value)
    assert Arithmetic().parse(f"#### {value:,}") == str(value)


def test_gold_answers_are_canonical():
    task = Arithmetic(3)
    for problem in task.problems("test", 0, 200, seed=1):
        assert task.parse(problem.solution()) == problem.answer


def test_grade_is_exact_equality():
    assert Arithmetic().grade(["5", "6", None], ["5", "5", "5"]) == [Grade.RIGHT, Grade.WRONG, Grade.WRONG]


def test_grade_refuses_unpaired_batches():
    with pytest.raises(ValueError, match="argument"):
        Arithmetic().grade(["5"], ["5", "6"])


def test_step_reads_as_written():
    assert str(Step(24, "+", 13, 37)) == "24+13=37"
