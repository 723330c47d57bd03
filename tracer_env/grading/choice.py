"""The multiple-choice grader: answers that are one letter."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tracer_env.errors import ConfigError
from tracer_env.grading.base import Grade, grade_equal
from tracer_env.grading.text import first_sentence, own_text, statements

_DRESS = re.compile(
    r"\\(?:text|textbf|textrm|mathrm|mathbf|boxed)(?![a-z])\s?\{|\\[()\[\]]|</?[a-z]{1,6}>|[*$`\"'{}<>«»【】]|(?<![A-Za-z])_+|_+(?![A-Za-z])"
)
_OPENING = re.compile(
    r"(?:\b(?:i think|i believe|it is|it's|that|option|choice|letter|answer|the|is|be|simply|therefore|thus|most likely"
    r"|clearly)\b|[\s:#,=-])*+",
    re.IGNORECASE,
)
_LETTER = re.compile(r"\((?P<enclosed>[A-Za-z])\)|(?<![\w.'-])(?P<bare>[A-Za-z])(?=$|[).,:;/&?!\s\]|])")
_NO_CHOICE = re.compile(r"\)?\s{0,3}(?:[=≈+*^]|/\s?\d|-\s?\w)")  # a quantity, a compound
_ARTICLE = re.compile(
    r"\s+(?!(?:because|since|as|is|and|or|so|with|which|for|but|due|seems|would|must|follows)\b)[a-z]{2,}"
)
_LIST = re.compile(
    r"[).?\]]{0,2}\s*\(?"
    r"(?:,(?!\s*\(?[A-Za-z]\)?\s+(?:is|was|has|fails?|would|does|cannot)\b)\s*(?:and|or)?|/|&|\+|\band\b|\bor\b)"
    r"\s*(?:option|choice|maybe|possibly|perhaps)?\s*(?=\(?[A-Za-z]\b(?![-=']))",
    re.IGNORECASE,
)
_CORRECTED = re.compile(
    r"[).\]]{0,2}\s*[,;-]*\s*(?:no|wait|hmm+|oh|on second thought|actually|sorry|(?:or )?rather(?! than)|i mean)\b",
    re.IGNORECASE,
)
_REJECTED = re.compile(
    r"\)?\s+(?:(?:is|are|was|can be)\s+(?:wrong|incorrect|false|not|ruled|eliminated|out|impossible|invalid)"
    r"|fails|cannot)\b"
)
_CHOSEN = re.compile(
    r"(?:(?:which is|that is|i\.e\.|(?:pick|choose|select)s?|chose|matches|corresponds? to|,)\s+(?:the\s+)?"
    r"(?:answer|correct)?\s*(?:option|choice|letter)|leav(?:ing|es)(?:\s+(?:only|us with))?)\s*:?\s*$",
    re.IGNORECASE,
)
_EXCLUDED = re.compile(  # denied, or part of a name: hepatitis B
    r"(?:\b(?:not|neither|nor|than|unlike|never|(?:anything|everything|all) but|except"
    r"|rul(?:es|ed|ing) out|eliminat\w+|exclud\w+)\s+(?:option|choice|the)?"
    r"|\b(?:vitamin|hepatitis|influenza|type|class|group|phase|kinase|protein|factor|coenzyme)\s)\s*$",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(?:^|[.;:\n]\s*|\b(?i:so|thus|hence|therefore|option|choice|answer),?\s+)[*\s]{0,4}\(?(?P<letter>[A-Z])\)?[*]{0,2}\s+is\s+"
    r"(?:therefore\s+|thus\s+)?(?:(?:the\s+)?(?:correct|right|best)(?:\s+(?:answer|option|choice|one))?|(?:the|my)\s+answer)\s*(?:[.,;!]|$)"
)


@dataclass(frozen=True)
class Choice:
    r"""Reads and grades one letter among ``letters``.

    Read after the last marker that a letter follows: ``The answer is (C).``, ``Answer: C``, ``**Answer: C)
    mitosis**``, ``\boxed{\text{C}}``, ``the correct option is C``, ``<answer>C</answer>``, ``### Answer`` and C on
    the next line, ``(C) is correct``; a completion of one letter needs no marker. Where the sentence begins with no
    letter, the letter that it comes to counts (``I think it is C``, ``rules out A, leaving D``). A symbol or a
    compound is no choice (``C = 3 pF, which is option (B)`` is B), and several letters are no answer (``A or C``). A
    small letter counts only in brackets, quotes or at the end, so that ``the answer is a matter of …`` is none.
    Full-width letters count, letters of other alphabets do not. ``A:`` labels a choice and is no marker.

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
        text = own_text(completion)
        for statement in reversed(statements(text, a_lines=False)):
            letter = self._letter(statement.text)
            if letter is not None:
                return letter or None
        if len(text.strip()) <= 8:
            return self._letter(text) or None
        named = [
            letter for match in _NAMED.finditer(text) if (letter := match["letter"] or match["picked"]) in self.letters
        ]
        return named[-1] if named else None

    def gold(self, text: str) -> str | None:
        """The canonical gold of a bare letter or a worked solution."""
        return self.parse(text)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Equality of letters (``Grader.grade``)."""
        return grade_equal(answers, golds)

    def _letter(self, text: str) -> str | None:
        """The letter that ``text`` states; None where it states none, the empty string where it states several."""
        enclosed = re.match(r"[\s*$]*(?:\\text\w*\s?)?[{(\[\"'`<]\s?[A-Za-z]\s?[)}\]\"'`>]", text) is not None
        text = _DRESS.sub(" ", text).strip()
        text = re.sub(r"\(\s*([A-Za-z])\s*\)", r"(\1)", text)
        opening = _OPENING.match(text)
        start = opening.end() if opening else 0
        first = _LETTER.match(text, start)
        if first and self._is_choice(text, first, small=enclosed or not text[first.end() :].strip(" .)")):
            if _CORRECTED.match(text, first.end()):
                return self._chosen(text, first.end()) or ""
            following = _LIST.match(text, first.end())
            if (
                following
                and (other := _LETTER.match(text, following.end()))
                and self._is_choice(text, other, small=other[0].isupper())
            ):
                return self._same(first, other)
            later = self._chosen(text, first.end(), only=_CHOSEN)
            return later or _of(first)
        return self._chosen(text, start)

    def _chosen(self, text: str, start: int, only: re.Pattern[str] | None = None) -> str | None:
        """The letter that a sentence comes to: after ``leaving`` or ``option``, else the only one in it."""
        sentence = first_sentence(text[start:])
        choices = [
            match
            for match in _LETTER.finditer(sentence)
            if self._is_choice(sentence, match) and not _EXCLUDED.search(sentence[: match.start()])
        ]
        chosen = {_of(match) for match in choices if _CHOSEN.search(sentence[: match.start()])}
        if len(chosen) == 1:
            return chosen.pop()
        if only is not None or not choices:
            return None
        return self._same(*choices)

    def _is_choice(self, text: str, match: re.Match[str], *, small: bool = False) -> bool:
        """Whether a letter names a choice, and is not an article, a symbol or part of a compound."""
        if _of(match) not in self.letters or _NO_CHOICE.match(text, match.end()):
            return False
        if _REJECTED.match(text, match.end()):
            return False
        letter = match["enclosed"] or match["bare"]
        if letter.islower() and not (small or match["enclosed"]):
            return False
        begins = match.start() == 0 and letter != "A"
        return match["enclosed"] is not None or small or begins or not _ARTICLE.match(text, match.end())

    def _same(self, *matches: re.Match[str]) -> str:
        letters = {_of(match) for match in matches}
        return letters.pop() if len(letters) == 1 else ""


def _of(match: re.Match[str]) -> str:
    return (match["enclosed"] or match["bare"]).upper()
