"""The symbolic grader: answers that are mathematics, compared by math-verify."""

import re
from collections.abc import Sequence
from itertools import chain
from types import TracebackType
from typing import Self

from tracer_env.grading.base import Grade
from tracer_env.grading.latex import MAX_ANSWER_CHARACTERS, canonical_latex, is_words
from tracer_env.grading.numeric import stated_number
from tracer_env.grading.prose import lone_formula, stated_formula, stated_word
from tracer_env.grading.text import conclusion, own_text, statements
from tracer_env.grading.worker import MathWorker

MAX_NESTING = 40  # math-verify's parser may not come back from brackets nested much deeper

# No base or index before a bracket, and no power of a function: \cos^2(x).
_PRODUCT = re.compile(r"(\\[a-z]{2,8}\^\d\()|((?<![_\d.])\d+(?:\.\d+)?|\)|(?<![A-Za-z\\])i)(?=\()")
_TYPED_ROOT = re.compile(r"(?<![\\A-Za-z])sqrt\(((?:[^()]|\([^()]*\))*)\)")
_BASED = re.compile(r"\d+_(?:\d|\{\d+\})")
_SET = re.compile(r"\\\{[^()\[\]{}]*,[^()\[\]]*\\\}")
_PAIR = re.compile(r"\([^()\[\]]*,[^()\[\]]*\)")
_LOG_POWER = re.compile(r"\\log_(\w|\{[^{}]*\})\^(\w|\{[^{}]*\})(\([^()]*\)|\{[^{}]*\}|\d+|[a-z])")
_INTEGER = re.compile(r"-?\d+", re.ASCII)
_ALTERNATIVE = re.compile(r"\b(?:not|no|neither|nor|or|and|than|isn|non|never|but|cannot)\b")


class Symbolic:
    r"""Reads and grades mathematical answers; the comparison runs in a killable child process (``MathWorker``).

    Read from the last ``\boxed{…}`` or ``<answer>…</answer>``; without any, after the last marker that a formula
    follows (``The answer is $…$``, ``#### …``, ``A: …``, with or without dollar signs, see ``prose``); else after the
    last one that a single word follows. A completion that is one formula or word needs no marker, and without any
    marker a last sentence such as ``So we get 18.`` counts.

    Equal canonical strings are right, unequal integers and unequal numerals in stated bases wrong without the
    child; each distinct pair of a batch is compared once. Gold or answer beyond ``MAX_ANSWER_CHARACTERS``, and an
    answer nested beyond ``MAX_NESTING``, is ungradable and never reaches the child. Words may stand in a sentence
    about them (``even function`` for ``even``). Numbers are compared exactly. What math-verify forgives otherwise,
    this forgives: a base left out, ``50\%`` for 50 or 0.5.

    Args:
        deadline_seconds: the most wall time one comparison may take.
    """

    answer_format = r"\boxed{…}"

    def __init__(self, *, deadline_seconds: float = 5.0) -> None:
        self.worker = MathWorker(deadline_seconds=deadline_seconds)

    def parse(self, completion: str) -> str | None:
        """The canonical answer, or None (``Grader.parse``)."""
        text = own_text(completion)
        stated = statements(text)[::-1]
        marked = [statement.text for statement in stated if statement.kind in ("box", "tag")]
        unmarked = [statement.text for statement in stated if statement.kind not in ("box", "tag")]
        answers = chain(
            map(_inside, marked), map(stated_formula, unmarked), map(stated_word, unmarked), [lone_formula(text)]
        )
        answer = next((answer for answer in answers if answer is not None), None)
        if answer is None and (concluded := conclusion(text)):
            answer = stated_formula(concluded)
        return answer

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
        if any(_SET.fullmatch(braced) and _PAIR.fullmatch(pair) for braced, pair in ((answer, gold), (gold, answer))):
            return Grade.WRONG
        if is_words(gold) and is_words(answer):
            return Grade.RIGHT if _says(answer, gold) else Grade.WRONG
        return self.worker.compare(_latex(gold), _latex(answer))


def _inside(text: str) -> str | None:
    r"""The canonical form of a box or tag, which may hold a sentence: ``Jim walks 200 feet less than Martha``."""
    words = re.sub(r"\\text\w*|[{}$]", " ", text)
    if len(re.findall(r"(?<![\\A-Za-z])[A-Za-z]{3,}", words)) >= 3 and len(re.findall(r"\d[\d.,]*", words)) == 1:
        number = stated_number(words)
        if number and not re.search(r"\b(?:not|never)\b", words):
            return canonical_latex(number)
    sentence = re.match(r"(?:the|so|therefore)\s+.*?\b(?:is|are|=)\s+", text, re.IGNORECASE | re.DOTALL)
    return (stated_formula(text[sentence.end() :]) if sentence else None) or canonical_latex(text)


def _says(answer: str, gold: str) -> bool:
    """Whether words begin with those of the gold, and say nothing else of the kind (``even function`` for ``even``)."""
    rest = answer.removeprefix(gold)
    return rest != answer and rest.startswith(" ") and not _ALTERNATIVE.search(rest)


def _nesting(text: str) -> int:
    """How deep brackets nest, whether or not they match."""
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    return deepest


def _latex(canonical: str) -> str:
    """What math-verify is given; it would take ``2(9)`` for a mixed number, 11, and cannot read ``sqrt(2)``."""
    if is_words(canonical):
        return f"\\text{{{canonical}}}"
    canonical = _LOG_POWER.sub(r"(\\log_\1{\3})^\2", canonical)
    canonical = _TYPED_ROOT.sub(r"\\sqrt{\1}", canonical)
    return _PRODUCT.sub(lambda match: match[1] or f"{match[2]}\\cdot ", canonical)
