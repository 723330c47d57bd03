"""The second mathematical grader: compares what answers denote, evaluated at a few points."""

import re
from collections.abc import Iterator, Sequence
from itertools import chain

from benchmarks.graders.answers import Answer, Words, same_answer
from benchmarks.graders.formula import UnreadableError
from benchmarks.graders.reading import MAX_CHARACTERS, read
from benchmarks.graders.tokens import clean
from tracer_env.grading.base import Grade
from tracer_env.grading.text import MAX_STATEMENT_CHARACTERS, own_text, plain, statements

MAX_WORDS = 3  # of prose outside a box; more is a sentence

_DELIMITED = re.compile(r"[*\s:]{0,8}(?:\$\$(.+?)\$\$|\$(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]|\*\*(.+?)\*\*)")
_SENTENCE = re.compile(r"[.;!?](?:\s|$)")
_CLAUSE = re.compile(r"[.,;:!?](?:\s|$)|\s(?:because|since|as|which|for|in|on|from|so|after|when|if|but|per)\s")
_LEADING_NUMBER = re.compile(r"[-+−$€£\s]{0,4}\d[\d,]*(?:\.\d+)?%?(?!\s?[\d/^_!])")


class ByValue:
    r"""Reads and grades mathematical answers without math-verify or sympy: the second opinion; stateless.

    Where an answer is stated is found as by the other graders (``text.statements``): the last ``\boxed{…}``, else
    the last marker behind which something can be read. What it denotes is read by ``reading.read`` and compared by
    ``answers.same_answer``, which says what is forgiven. Formulas are equal when they agree at
    ``pointwise.POINTS`` fixed points, exactly where they are rational.

    An answer or gold that cannot be read, is longer than ``reading.MAX_CHARACTERS`` or nested beyond
    ``formula.MAX_DEPTH`` is ungradable, unless the two are the same text. Work is bounded by the length, so there is
    no deadline to set.
    """

    answer_format = r"\boxed{…}"

    def parse(self, completion: str) -> str | None:
        """The answer as it is written (``Grader.parse``); one that cannot be read counts only in a box."""
        completion = own_text(completion)
        stated = statements(completion)[::-1]
        boxed = (_tidy(statement.text) for statement in stated if statement.kind == "box")
        unboxed = (text for statement in stated if statement.kind != "box" for text in _candidates(statement.text))
        return next(chain((text for text in boxed if text), unboxed), None) or _alone(completion)

    def gold(self, text: str) -> str | None:
        """A bare answer, or that of a worked solution with a marker."""
        return self.parse(text) if "boxed" in text or "####" in text else _tidy(text) or None

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Equality of what is denoted (``Grader.grade``)."""
        pairs = list(zip(answers, golds, strict=True))
        grades = {pair: _grade(*pair) for pair in dict.fromkeys(pairs)}
        return [grades[pair] for pair in pairs]


def _grade(answer: str | None, gold: str) -> Grade:
    if answer is None:
        return Grade.WRONG
    if len(answer) > MAX_CHARACTERS or len(gold) > MAX_CHARACTERS:
        return Grade.UNGRADABLE
    if _squeezed(answer) == _squeezed(gold):
        return Grade.RIGHT
    try:
        return Grade.RIGHT if same_answer(read(gold), read(answer)) else Grade.WRONG
    except UnreadableError:
        return Grade.UNGRADABLE


def _squeezed(text: str) -> str:
    return "".join(clean(text).split())


def _tidy(text: str) -> str:
    return " ".join(plain(text).split())


def _candidates(text: str) -> Iterator[str]:
    """What of the text behind a marker may be the answer and can be read, the likeliest first."""
    text = text.lstrip(": ")
    delimited = _DELIMITED.match(text)
    number = _LEADING_NUMBER.match(text.lstrip("* "))
    tries = [
        *([group for group in delimited.groups() if group] if delimited else []),
        _SENTENCE.split(text, maxsplit=1)[0],
        _CLAUSE.split(text, maxsplit=1)[0],
        *([number[0]] if number else []),
    ]
    bare_tries = (_tidy(attempt).strip("* ") for attempt in tries)
    return (attempt for attempt in bare_tries if _readable(attempt) is not None)


def _readable(text: str) -> Answer | None:
    try:
        answer = read(text)
    except UnreadableError:
        return None
    return None if isinstance(answer, Words) and len(answer.text.split()) > MAX_WORDS else answer


def _alone(completion: str) -> str | None:
    """A completion that is nothing but an answer."""
    text = completion.strip() if len(completion) <= MAX_STATEMENT_CHARACTERS else ""
    return _tidy(text) if text and "\\boxed" not in text and _readable(text) is not None else None
