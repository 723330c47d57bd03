"""The multiple-choice grader: answers that are one letter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracer_env.errors import ConfigError
from tracer_env.grading.base import Grade, grade_equal
from tracer_env.grading.text import bare, statements

_OPENING = re.compile(
    r"(?:\\(?:text|textbf|mathrm|mathbf|boxed)(?![a-z])|\b(?:option|choice|letter|answer|the|is|is:)\b|[\s({\[*$\"':#])*+",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?P<before>[(\[{*$\"']?)(?P<letter>[A-Za-z])(?P<after>$|[)\]}*$\"'.,:;\s])")


@dataclass(frozen=True)
class Choice:
    r"""Reads and grades one letter among ``letters``.

    Read after the last marker that a letter follows: ``The answer is (C).``, ``Answer: C``, ``**Answer: C)
    mitosis**``, ``\boxed{\text{C}}``, ``the correct answer is option C``; a completion of one letter needs no
    marker. A small letter counts only in brackets, quotes or at the end, so that ``the answer is a matter of …``
    is none. Full-width letters count, letters of other alphabets do not. ``A:`` labels a choice and is no marker.

    Raises:
        ConfigError: ``letters`` is not a run of distinct capital letters.
    """

    letters: str = "ABCD"

    answer_format = "#### <letter>"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Z]{2,26}", self.letters) or len(set(self.letters)) != len(self.letters):
            raise ConfigError(f"letters must be two or more distinct capital letters, got {self.letters!r}")

    def parse(self, completion: str) -> str | None:
        """The letter, or None (``Grader.parse``)."""
        for statement in reversed(statements(completion, a_lines=False)):
            letter = self._letter(statement.text)
            if letter is not None:
                return letter
        words = bare(completion)
        return self._letter(words) if len(words) <= 8 else None

    def gold(self, text: str) -> str | None:
        """The canonical gold of a bare letter or a worked solution."""
        return self.parse(text)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Equality of letters (``Grader.grade``)."""
        return grade_equal(answers, golds)

    def _letter(self, text: str) -> str | None:
        opening = _OPENING.match(text)
        start = opening.end() if opening else 0
        match = _LETTER.match(text, start)
        if match is None or match["letter"].upper() not in self.letters:
            return None
        enclosed = (start > 0 and text[start - 1] in "([{*$\"'") or match["after"] in tuple(")]}*$\"'")
        if match["letter"].islower() and not enclosed and text[match.start("after") :].strip(" ."):
            return None
        return match["letter"].upper()
