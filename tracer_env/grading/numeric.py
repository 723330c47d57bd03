"""The numeric grader: answers that are one exact number."""

import re
from collections.abc import Sequence
from fractions import Fraction

from tracer_env.grading.base import Grade, grade_equal
from tracer_env.grading.text import bare, plain, statements

MAX_DIGITS = 64  # a numeral with more characters is no answer

_LATEX_NOISE = re.compile(r"\\[!,;: $]|\\left|\\right|[$€£¥₹₩₽]|\{(?=,)|(?<=,)\}|\*\*")
_LATEX_FRACTION = re.compile(r"\\[dtc]?frac\s{0,4}(?:\{(-?\d{1,18})\}|(\d))\s{0,4}(?:\{(\d{1,18})\}|(\d))")
_NUMERAL = r"(?:\d{1,3}(?:,\d{3})++(?!\d)|\d++)(?:\.\d++)?+|\.\d++"
_NUMBER = re.compile(
    rf"(?P<sign>[-+])?\s?(?<![\w.^])(?P<numeral>{_NUMERAL})"
    r"(?:[eE](?P<exponent>[-+]?\d{1,2})(?!\w))?"
    r"(?:\s{1,4}(?P<over>\d{1,18})\s{0,4}/\s{0,4}(?P<part>\d{1,18})|\s{0,4}/\s{0,4}(?P<under>[\d,]{1,64}(?:\.\d{1,64})?))?+"
    r"(?!\s?\^)",  # a power is more than a number
    re.ASCII,
)
_SENTENCE_END = re.compile(r"[.!?;](?:\s|$)")
_EQUALITY = re.compile(r"(?<![<>!])=|≈|\\approx")


class Numeric:
    r"""Reads and grades one exact number; stateless.

    Read after the last marker that a number follows: ``#### 18``, ``A: 18``, ``\boxed{18}``, ``The answer is
    $18.00.``, ``Answer: 1,234.50``; where a statement (one
    sentence) holds ``=``, after its last one. A completion that is
    nothing but a number needs no marker. Currency signs, units and percent signs are dropped (``18%`` and
    ``18 apples`` are 18); fractions, mixed numbers, every kind of minus sign and the decimal digits of every
    script are read; the decimal sign is the point, the comma groups thousands. Words (``eighteen``) are not read.

    The canonical form is the shortest decimal (``1234.5``), or ``p/q`` in lowest terms where no decimal ends.
    Equality is exact: ``0.33`` is not ``1/3``.
    """

    answer_format = "#### <number>"

    def parse(self, completion: str) -> str | None:
        """The canonical number, or None (``Grader.parse``)."""
        for statement in reversed(statements(completion)):
            text = statement.text if statement.kind == "box" else _SENTENCE_END.split(statement.text, maxsplit=1)[0]
            number = first_number(_EQUALITY.split(text)[-1])
            if number is not None:
                return number
        return canonical_number(bare(completion))

    def gold(self, text: str) -> str | None:
        """The canonical gold of a worked solution or a bare number."""
        return self.parse(text)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Exact equality of canonical numbers (``Grader.grade``)."""
        return grade_equal(answers, golds)


def first_number(text: str) -> str | None:
    """The canonical form of the first number in ``text``, or None."""
    match = _NUMBER.search(_readable(text))
    return _canonical(match) if match else None


def canonical_number(text: str) -> str | None:
    """The canonical form of ``text`` if it is a number with no more than a currency sign, a ``%`` or a full stop."""
    match = _NUMBER.fullmatch(_readable(text).strip().removesuffix("%").removesuffix("\\").rstrip(" ."))
    return _canonical(match) if match else None


def _readable(text: str) -> str:
    spaced = _LATEX_FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", plain(text))
    return _LATEX_NOISE.sub("", spaced)


def _canonical(match: re.Match[str]) -> str | None:
    numeral, under = match["numeral"].replace(",", ""), (match["under"] or "").replace(",", "")
    if len(numeral) > MAX_DIGITS or len(under) > MAX_DIGITS:
        return None
    value = Fraction(numeral) * Fraction(10) ** int(match["exponent"] or 0)
    if match["part"] and int(match["part"]):
        value += Fraction(int(match["over"]), int(match["part"]))
    if under:
        if not Fraction(under):
            return None
        value /= Fraction(under)
    return _written(-value if match["sign"] == "-" else value)


def _written(value: Fraction) -> str:
    scale, rest = 0, value.denominator
    while rest % 10 == 0:
        rest, scale = rest // 10, scale + 1
    while rest % 2 == 0 or rest % 5 == 0:
        rest, scale = rest // (2 if rest % 2 == 0 else 5), scale + 1
    if rest != 1:
        return f"{value.numerator}/{value.denominator}"
    if scale == 0:
        return str(value.numerator)
    digits = str(abs(value.numerator) * 10**scale // value.denominator).rjust(scale + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}".rstrip("0").rstrip(".")
