"""Real gold answers: rewritten without changing them, changed a little, and as completions to replay."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.graders.answers import Scalar
from benchmarks.graders.by_value import ByValue
from benchmarks.graders.formula import UnreadableError
from benchmarks.graders.reading import read
from tracer_env.grading.base import Grade
from tracer_env.grading.symbolic import Symbolic
from tracer_env.tasks.rows import jsonl_rows

FIELDS = {"gsm8k": ("question", "answer"), "math500": ("problem", "solution")}  # of the question and its solution

_DIGITS = re.compile(r"\d+")
_TEXT = re.compile(r"\\text\{(.*)\}")
_PLAIN = re.compile(r"[^,$%]*")  # neither money nor grouped digits, which no product is written with


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdicts:
    """Both graders on the same answers; ``same`` says whether they equal their golds by construction."""

    name: str
    same: bool
    pairs: tuple[tuple[str, str], ...]  # (gold, completion)
    first: tuple[Grade, ...]
    second: tuple[Grade, ...]

    def as_json(self) -> dict[str, Any]:
        """Counts, and every answer on which a grader errs or the two disagree."""
        wanted = [(a is Grade.RIGHT, b is Grade.RIGHT) for a, b in zip(self.first, self.second, strict=True)]
        return {
            "answers": len(self.pairs),
            "first_errs": sum(first != self.same for first, _ in wanted),
            "second_errs": sum(second != self.same for _, second in wanted),
            "disagree": sum(first != second for first, second in wanted),
            "listed": [
                {"gold": gold, "text": text, "first": a.value, "second": b.value}
                for (gold, text), a, b, verdicts in zip(self.pairs, self.first, self.second, wanted, strict=True)
                if verdicts != (self.same, self.same)
            ],
        }


def rewritten(gold: str) -> str | None:
    r"""``\frac{2\left(gold\right)}{2}``, which has the value of gold; None where gold is no formula of a number."""
    try:
        number = isinstance(read(gold), Scalar) and "text" not in gold and "mbox" not in gold and "circ" not in gold
    except UnreadableError:
        return None
    return rf"\frac{{2\left({gold}\right)}}{{2}}" if number and _PLAIN.fullmatch(gold) else None


def perturbed(gold: str) -> str:
    """Gold with its first number one larger; without a number, one more (a formula) or denied (words)."""
    digits = _DIGITS.search(gold)
    if digits:
        return f"{gold[: digits.start()]}{int(digits[0]) + 1}{gold[digits.end() :]}"
    text = _TEXT.fullmatch(gold)
    return rf"\text{{not {text[1]}}}" if text else f"{gold}+1"


def math500_verdicts(path: Path) -> list[Verdicts]:
    """Both graders on the solutions of MATH-500, their golds rewritten, and their golds perturbed.

    Raises:
        DataError: the file cannot be used.
    """
    rows = [(row.text("answer"), row.text("solution")) for row in jsonl_rows(path)]
    golds = [gold for gold, _ in rows]
    equal = [(gold, text) for gold in golds if (text := rewritten(gold)) is not None]
    with Symbolic() as first:

        def verdicts(name: str, pairs: Sequence[tuple[str, str]], *, same: bool) -> Verdicts:
            graded = [_graded(grader.parse, grader.gold, grader.grade, pairs) for grader in (first, ByValue())]
            return Verdicts(name=name, same=same, pairs=tuple(pairs), first=graded[0], second=graded[1])

        return [
            verdicts("solutions", rows, same=True),
            verdicts("rewritten", [(gold, rf"\boxed{{{text}}}") for gold, text in equal], same=True),
            verdicts("perturbed", [(gold, rf"\boxed{{{perturbed(gold)}}}") for gold in golds], same=False),
        ]


def _graded(
    parse: Callable[[str], str | None],
    gold: Callable[[str], str | None],
    grade: Callable[[Sequence[str | None], Sequence[str]], list[Grade]],
    pairs: Sequence[tuple[str, str]],
) -> tuple[Grade, ...]:
    return tuple(grade([parse(text) for _, text in pairs], [gold(written) or "" for written, _ in pairs]))


def write_gold(task: str, data: Path, out: Path) -> int:
    """Writes a data set's own solutions as recorded completions; returns how many.

    Raises:
        DataError: the file cannot be used.
    """
    question, solution = FIELDS[task]
    lines = [
        {"question": row.text(question), "completion": row.text(solution), "model": "gold"} for row in jsonl_rows(data)
    ]
    out.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8")
    return len(lines)
