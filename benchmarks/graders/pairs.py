"""The hand-written pairs of gold and completion, and what both graders make of them.

A pair is the *same* when a careful teacher who knows the gold would accept the completion. So a number in words or
in another script is the same, a rounded one is not; an answer given without its unit is the same, one in another
unit is not; text in quotes of another agent is nobody's answer. Labels were written before any grader was run. Graders
have been mended after errors on the pairs of the other groups, never after one of the group ``held out``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.graders.by_value import ByValue
from tracer_env.grading.base import Grade, Grader
from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric
from tracer_env.grading.symbolic import Symbolic

PAIRS = Path(__file__).with_name("pairs.jsonl")
HELD_OUT = "held out"
KINDS = ("numeric", "symbolic", "choice")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A gold answer and a completion; ``grader`` is the kind of the task's own grader, one of ``KINDS``."""

    grader: str
    group: str
    gold: str
    text: str
    same: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One grader's view of a pair."""

    pair: Pair
    answer: str | None
    grade: Grade

    @property
    def false_right(self) -> bool:
        """Whether a different answer was called right."""
        return self.grade is Grade.RIGHT and not self.pair.same

    @property
    def false_wrong(self) -> bool:
        """Whether the same answer was not called right."""
        return self.grade is not Grade.RIGHT and self.pair.same

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self.pair), "answer": self.answer, "grade": self.grade.value}


def load_pairs(path: Path = PAIRS) -> list[Pair]:
    """The pairs of a JSONL file."""
    return [Pair(**json.loads(line)) for line in path.read_text("utf-8").splitlines()]


def judge(pairs: Sequence[Pair], grader: Grader) -> list[Judgement]:
    """What a grader makes of pairs, read and graded one by one."""
    return [_judged(pair, grader) for pair in pairs]


def _judged(pair: Pair, grader: Grader) -> Judgement:
    answer, gold = grader.parse(pair.text), grader.gold(pair.gold)
    if gold is None:
        raise ValueError(f"gold {pair.gold!r} cannot be read; mend pairs.jsonl")
    return Judgement(pair=pair, answer=answer, grade=grader.grade([answer], [gold])[0])


def judge_all(pairs: Sequence[Pair]) -> dict[str, dict[str, list[Judgement]]]:
    """kind -> grader -> judgements. Letters are compared as letters: multiple choice has no second grader."""
    with Symbolic() as symbolic:
        graders: dict[str, tuple[Grader, ...]] = {
            "numeric": (Numeric(), ByValue()),
            "symbolic": (symbolic, ByValue()),
            "choice": (Choice(),),
        }
        return {
            kind: {type(grader).__name__: judge([p for p in pairs if p.grader == kind], grader) for grader in all_of}
            for kind, all_of in graders.items()
        }


def rates(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Counts and error rates of one grader on one kind of pairs."""
    same = sum(judgement.pair.same for judgement in judgements)
    right = sum(judgement.false_right for judgement in judgements)
    wrong = sum(judgement.false_wrong for judgement in judgements)
    return {
        "same": same,
        "different": len(judgements) - same,
        "false_right": right,
        "false_wrong": wrong,
        "false_right_rate": right / (len(judgements) - same),
        "false_wrong_rate": wrong / same,
        "ungradable": sum(judgement.grade is Grade.UNGRADABLE for judgement in judgements),
    }


def disagreement(first: Sequence[Judgement], second: Sequence[Judgement]) -> float:
    """The share of pairs that one grader calls right and the other does not."""
    disputed = [(a.grade is Grade.RIGHT) != (b.grade is Grade.RIGHT) for a, b in zip(first, second, strict=True)]
    return sum(disputed) / len(disputed)
