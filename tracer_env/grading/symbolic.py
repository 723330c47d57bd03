"""The symbolic grader: answers that are mathematics, compared by math-verify."""

import re
from collections.abc import Sequence
from itertools import chain
from types import TracebackType
from typing import Self

from tracer_env.grading.base import Grade
from tracer_env.grading.latex import MAX_ANSWER_CHARACTERS, canonical_latex, is_words
from tracer_env.grading.text import bare, statements
from tracer_env.grading.worker import MathWorker

MAX_NESTING = 40  # math-verify's parser may not come back from brackets nested much deeper

_DELIMITED = re.compile(r"[*\s:]{0,8}(?:\$\$(.+?)\$\$|\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\])")
_FORMULA = re.compile(r"(?![aAI]\s+[A-Za-z]{2})(?:[-+.\d(\[{|\\]|[A-Za-z](?![A-Za-z]))")
_FORMULA_END = re.compile(r"\s(?=(?!sqrt|pi\b|sin|cos|tan|log|ln\b)[A-Za-z]{2})|[.;!?,](?:\s|$)|\*\*")
_WORD = re.compile(r"[*\s]{0,8}([A-Za-z]{3,40})[*\s.!]{0,8}")
_PRODUCT = re.compile(r"((?<![_\d.])\d+(?:\.\d+)?|\))(?=\()")  # no base or index before a bracket
_BASED = re.compile(r"\d+_(?:\d|\{\d+\})")
_INTEGER = re.compile(r"-?\d+", re.ASCII)


class Symbolic:
    r"""Reads and grades mathematical answers; the comparison runs in a killable child process (``MathWorker``).

    Read from the last ``\boxed{…}``; without any, after the last marker that a formula follows (``The answer is
    $…$``, ``#### …``, ``A: …``, with or without dollar signs); else after the last one that a single word follows.
    A completion that is one formula or word needs no marker.

    Equal canonical strings are right, unequal integers and unequal numerals in stated bases wrong without the
    child; each distinct pair of a batch is compared once. Gold or answer beyond ``MAX_ANSWER_CHARACTERS``, and an
    answer nested beyond ``MAX_NESTING``, is ungradable and never reaches the child. What math-verify forgives, this
    forgives: a base left out, ``50\%`` for 50 or 0.5, decimals right to six places.

    Args:
        deadline_seconds: the most wall time one comparison may take.
    """

    answer_format = r"\boxed{…}"

    def __init__(self, *, deadline_seconds: float = 5.0) -> None:
        self.worker = MathWorker(deadline_seconds=deadline_seconds)

    def parse(self, completion: str) -> str | None:
        """The canonical answer, or None (``Grader.parse``)."""
        stated = statements(completion)[::-1]
        boxed = (canonical_latex(statement.text) for statement in stated if statement.kind == "box")
        written = (_formula(statement.text) for statement in stated if statement.kind != "box")
        worded = (_word(statement.text) for statement in stated if statement.kind != "box")
        found = (answer for answer in chain(boxed, written, worded) if answer is not None)
        return next(found, None) or _alone(completion)

    def gold(self, text: str) -> str | None:
        """The canonical form of a bare answer (LaTeX) or of a worked solution with a marker."""
        if "boxed" in text or "####" in text:
            return self.parse(text)
        return canonical_latex(text)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Mathematical equality (``Grader.grade``).

        Raises:
            GradingError: the child cannot be started.
        """
        pairs = list(zip(answers, golds, strict=True))
        grades = {pair: self._grade(*pair) for pair in dict.fromkeys(pairs)}
        return [grades[pair] for pair in pairs]

    def close(self) -> None:
        """Ends the child process, if one runs; a later ``grade`` starts another."""
        self.worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _grade(self, answer: str | None, gold: str) -> Grade:
        if answer is None:
            return Grade.WRONG
        if len(answer) > MAX_ANSWER_CHARACTERS or len(gold) > MAX_ANSWER_CHARACTERS:
            return Grade.UNGRADABLE
        if answer == gold:
            return Grade.RIGHT
        if _nesting(answer) > MAX_NESTING:
            return Grade.UNGRADABLE
        if any(pattern.fullmatch(answer) and pattern.fullmatch(gold) for pattern in (_INTEGER, _BASED)):
            return Grade.WRONG
        return self.worker.compare(_latex(gold), _latex(answer))


def _formula(text: str) -> str | None:
    delimited = _DELIMITED.match(text)
    if delimited:
        return canonical_latex(next(group for group in delimited.groups() if group))
    text = text.lstrip("*: ")
    return canonical_latex(_FORMULA_END.split(text, maxsplit=1)[0]) if _FORMULA.match(text) else None


def _word(text: str) -> str | None:
    word = _WORD.fullmatch(text)
    return canonical_latex(word[1]) if word else None


def _alone(completion: str) -> str | None:
    """The canonical form of a completion that is one formula or word without a marker."""
    text = bare(completion)
    if not text or "\\boxed" in text or _FORMULA_END.search(text.rstrip(".")):
        return None
    return canonical_latex(text)


def _nesting(text: str) -> int:
    """How deep brackets nest, whether or not they match."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _latex(canonical: str) -> str:
    """What math-verify is given; it would take ``2(9)`` for a mixed number, 11."""
    return f"\\text{{{canonical}}}" if is_words(canonical) else _PRODUCT.sub(r"\1\\cdot ", canonical)
