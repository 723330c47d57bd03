"""The procedural task: endless seeded stories about a running quantity, with splits disjoint by construction.

A story starts with a quantity and changes it a few times; the answer is the quantity at the end. Levels differ
in the number of changes and the size of the numbers. Two stories with the same calculation (the same numbers
and operations in the same order) are the same problem whatever their words: the hash of the calculation alone,
which no level enters, decides the split, so no calculation is ever in two splits.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import TypeVar

from tracer_env.errors import ConfigError
from tracer_env.grading.quotes import own_lines
from tracer_env.seeding import story_seed
from tracer_env.tasks.base import SPLITS, Grade, Question, Split

DEFAULT_LEVEL = "3"
MAX_DIGITS = 20
T = TypeVar("T")
_ANSWER = re.compile(r"\s*####\s{0,8}([+-]?)\$?((?:\d{1,3}(?:,\d{3})+|\d+))(?:\.0{1,8})?\.?\s*", re.ASCII)

_NAMES = (("Ana", "She"), ("Ben", "He"), ("Cleo", "She"), ("Dan", "He"), ("Eva", "She"), ("Finn", "He"),
          ("Gia", "She"), ("Hugo", "He"), ("Ida", "She"), ("Jon", "He"), ("Kim", "She"), ("Leo", "He"))  # fmt: skip
_THINGS = ("apples", "stamps", "coins", "shells", "cards", "pens", "books", "beads", "nuts", "stones", "cups", "eggs")
_GAINS = ("buys {} more", "finds {} more", "gets {} from a friend")
_LOSSES = ("gives away {}", "loses {}", "sells {}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The bounds of one level: ``changes`` and ``start`` are inclusive ranges, the others upper limits."""

    changes: tuple[int, int]
    start: tuple[int, int]
    change_by: int  # added or taken away at once
    times: int  # the largest factor of "times as many" and number of boxes
    piles: int  # the largest divisor; below 2 nothing is divided
    most: int  # no quantity exceeds this


LEVELS: dict[int, Level] = {
    1: Level(changes=(2, 2), start=(5, 20), change_by=12, times=3, piles=0, most=60),
    2: Level(changes=(2, 3), start=(10, 60), change_by=30, times=4, piles=0, most=250),
    3: Level(changes=(2, 4), start=(10, 99), change_by=99, times=6, piles=5, most=600),
    4: Level(changes=(4, 6), start=(20, 99), change_by=199, times=9, piles=9, most=990),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One calculation, ``left op right = result``, with ``op`` one of ``+ - * /``."""

    left: int
    op: str
    right: int
    result: int

    def __str__(self) -> str:
        return f"{self.left}{self.op}{self.right}={self.result}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """A story with the calculations that solve it, in order; the last result is the answer."""

    text: str
    steps: tuple[Step, ...]

    @property
    def answer(self) -> str:
        """The canonical answer."""
        return str(self.steps[-1].result)

    def solution(self) -> str:
        """The worked solution: a line per step, then the answer line."""
        return "\n".join([*map(str, self.steps), f"#### {self.answer}"])


@dataclass(frozen=True)
class Arithmetic:
    """The ``Task`` of running-quantity stories.

    Args:
        level: 1 to 4, or a range such as ``"2-3"``: each question's level is then drawn evenly from it.

    Raises:
        ConfigError: no such level.
    """

    level: int | str = DEFAULT_LEVEL

    name = "arithmetic"
    trainable = True
    answer_format = "#### <number>"

    def __post_init__(self) -> None:
        _levels(self.level)

    def draw(self, split: Split, start: int, count: int, *, seed: int) -> list[Question]:
        """Questions ``start … start+count−1`` of an endless stream; a pure function of its arguments.

        Raises:
            ConfigError: an unknown split, or a negative start or count.
        """
        return [
            Question(id=f"arithmetic-{self.level}-{split}-{seed}-{start + i}", text=problem.text, gold=problem.answer)
            for i, problem in enumerate(self.problems(split, start, count, seed=seed))
        ]

    def problems(self, split: Split, start: int, count: int, *, seed: int) -> list[Problem]:
        """Like ``draw``, with the calculations: what demonstrations are made from."""
        if split not in SPLITS:
            raise ConfigError(f"split must be one of {SPLITS}, got {split!r}")
        if start < 0 or count < 0:
            raise ConfigError(f"start and count must be ≥ 0, got {start} and {count}")
        levels = [LEVELS[level] for level in _levels(self.level)]
        key = story_seed(seed, str(self.level), split)
        return [_problem(Random((key << 64) + index), levels, split) for index in range(start, start + count)]

    def parse(self, completion: str) -> str | None:
        """The integer of the last ``#### <integer>`` line outside quotes, in canonical form, or None.

        Canonical: no sign on zero, no leading zeros, no thousands commas. More than 20 digits count as none.
        """
        for line in reversed(own_lines(completion)):
            if match := _ANSWER.fullmatch(line):
                digits = match[2].replace(",", "")
                if len(digits) > MAX_DIGITS:
                    return None
                value = int(digits)
                return str(-value if match[1] == "-" else value)
        return None

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """RIGHT where the canonical strings are equal."""
        return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def split_of(steps: Sequence[Step]) -> Split:
    """The split to which a calculation belongs: about 80% train, 10% validation, 10% test."""
    calculation = ";".join(map(str, steps))
    bucket = blake2b(calculation.encode(), digest_size=1).digest()[0]
    return "train" if bucket < 204 else "validation" if bucket < 230 else "test"


def _levels(level: int | str) -> range:
    """The levels that ``3``, ``"3"`` or ``"2-3"`` names."""
    match = re.fullmatch(r"([1-9])(?:-([1-9]))?", str(level), re.ASCII)
    if match and not isinstance(level, bool):
        levels = range(int(match[1]), int(match[2] or match[1]) + 1)
        if levels and all(number in LEVELS for number in levels):
            return levels
    raise ConfigError(f"level must be one of {[*LEVELS]} or a range such as '2-3', got {level!r}")


# random.Random, not numpy's Generator: seeding one per question is what a pure stream costs, and it is 5 times cheaper.
def _problem(rng: Random, levels: Sequence[Level], split: Split) -> Problem:
    """The first story of the stream ``rng`` whose calculation belongs to ``split``."""
    level = levels[int(rng.random() * len(levels))]
    while True:
        steps, sentences = _story(rng, level)
        if split_of(steps) == split:
            return Problem(text=" ".join(sentences), steps=tuple(steps))


def _story(rng: Random, level: Level) -> tuple[list[Step], list[str]]:
    name, who = _choice(rng, _NAMES)
    things = _choice(rng, _THINGS)
    total = _between(rng, *level.start)
    sentences = [f"{name} has {total} {things}."]
    steps: list[Step] = []
    for done in range(_between(rng, *level.changes)):
        phrase, made = _change(rng, level, total, boxes=len(steps) == done)
        sentences.append(f"{who} {phrase}.")
        steps += made
        total = made[-1].result
    sentences.append(f"How many {things} does {who.lower()} have now?")
    return steps, sentences


def _change(rng: Random, level: Level, total: int, *, boxes: bool) -> tuple[str, list[Step]]:
    """A change that keeps the quantity within 1 … ``level.most``: its phrase and its calculations.

    Buying boxes takes two calculations, the other changes one; ``boxes`` allows it (once a story).
    """
    while True:
        kind = rng.random()
        if kind < 0.3:
            by = _between(rng, 2, level.change_by)
            if total + by <= level.most:
                return _choice(rng, _GAINS).format(by), [Step(total, "+", by, total + by)]
        elif kind < 0.6:
            by = _between(rng, 2, level.change_by)
            if by < total:
                return _choice(rng, _LOSSES).format(by), [Step(total, "-", by, total - by)]
        elif kind < 0.75:
            times = _between(rng, 2, level.times)
            if total * times <= level.most:
                return f"ends up with {times} times as many", [Step(total, "*", times, total * times)]
        elif kind < 0.9:
            count, each = _between(rng, 2, level.times), _between(rng, 2, 12)
            if boxes and total + count * each <= level.most:
                bought = Step(count, "*", each, count * each)
                return f"buys {count} boxes of {each}", [bought, Step(total, "+", bought.result, total + bought.result)]
        else:
            piles = _between(rng, 2, max(2, level.piles))
            if piles <= level.piles and total % piles == 0:
                return f"makes {piles} equal piles and keeps one", [Step(total, "/", piles, total // piles)]


def _between(rng: Random, low: int, high: int) -> int:
    return low + int(rng.random() * (high - low + 1))


def _choice(rng: Random, options: Sequence[T]) -> T:
    return options[int(rng.random() * len(options))]
