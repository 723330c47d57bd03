"""The numeric grader: answers that are one exact number."""

import re
from collections.abc import Sequence
from fractions import Fraction

from tracer_env.grading.base import Grade, grade_equal
from tracer_env.grading.text import conclusion, first_sentence, own_text, plain, statements, strong

MAX_CHARACTERS = 200  # a longer text is more than a number
MAX_DIGITS = 64  # a numeral with more characters is no answer

_NOISE = re.compile(
    r"\\[!,;: $]|\\left|\\right|[$€£¥₹₩₽]|\{(?=,)|(?<=,)\}|[*_]{2}|\\[()\[\]]|\\text(?:bf|rm)?\s?\{|\}(?=\s|$)"
)
_FRACTION = re.compile(r"\\[dtc]?frac\s{0,4}(?:\{(-?\d{1,18})\}|(\d))\s{0,4}(?:\{(\d{1,18})\}|(\d))")
_NUMERAL = (
    r"(?:\d{1,3}(?:,\d{3})++(?![\d'])|\d{1,2}(?:,\d{2})++,\d{3}(?!\d)|\d{1,3}(?:'\d{3})++(?!\d)"  # the second is Indian
    r"|\d{1,3}(?:_\d{3})++(?![\d_])"
    r"|\d{1,3}(?: \d{3})++(?![\d/])|\d++)"
    r"(?:\.\d++)?+|\.\d++"
)
_NUMBER = re.compile(
    rf"(?P<sign>[-+])?\s?(?<![\w.^])(?P<numeral>{_NUMERAL})"
    r"(?:[eE](?P<exponent>[-+]?\d{1,2})(?!\w))?"
    r"(?:\s{1,4}(?P<over>\d{1,18})\s{0,4}/\s{0,4}(?P<part>\d{1,18})|\s{0,4}/\s{0,4}(?P<under>[\d,]{1,64}(?:\.\d{1,64})?))?+"
    r"(?!\s?\^)",  # a power is more than a number
    re.ASCII,
)
_EQUALITY = re.compile(r"(?<![<>!])=|≈|\\approx")
_CLAUSE = re.compile(
    r"(,?\s(?:because|since|when|where|if|given|assuming|so that|so|thus|hence|therefore|after|before|which|while"
    r"|i\.e\.),?\s"
    r"|,\s+(?=(?!and\b|or\b)[A-Za-z]))"
)
_DENIAL = re.compile(
    r"\W{0,4}(?:not|no longer|never|anything but|unknown|unclear|undefined|undetermined|indeterminate|impossible)\b",
    re.IGNORECASE,
)
_NEGATIVE = re.compile(r"^(\W{0,4})(?:negative|minus)\s+(?=[\d.])", re.IGNORECASE)
_ASIDE = re.compile(r"\([^()]{0,200}\)")
_QUANTITY = re.compile(r"\s*\S{0,2}\d[\d,.]*\s*(?:[A-Za-z]{2,20}|\\?%)?\s*$")
_EQUATION_ASIDE = re.compile(r"\([^()=]{0,100}=[^()]{0,100}\)")
_BEFORE = re.compile(
    r"\b(?:(?:the|all|both|these|those|his|her|their|its)\s+(?:[a-z]+\s)?|(?:in|of|for|with|after|before|at|on|by|from|than|per|each"
    r"|every|when|if|over|under|within|during|day|step|grade|class|page)\s+)$",
    re.IGNORECASE,
)
_DETERMINED = re.compile(r"\b(?:the|all|both|these|those|his|her|their|its|each|every)\s+$", re.IGNORECASE)
_SHARE = re.compile(r"\s*\\?%?\s+of\s+(?:the\s+)?\S?\d")
_INTRODUCTION = re.compile(r"\W*(?:of|in|after|at|with|for|from|by|on|during|over|within)\s", re.IGNORECASE)
_WAYS = re.compile(r"\s+(?:different |distinct |possible )?ways\b")
_VERB = re.compile(
    r"\s*(?:(?!and\b|or\b)[A-Za-z]+\s+){0,2}(?:has|have|had|is|are|was|were|gets?|got|gives?|makes?|can|could|will|would|divided|times|plus|minus"
    r"|multiplied|leaves?|equals?|sells?|costs?|weighs?|holds?|contains?|requires?|lasts?|covers?|saves?|pays?|earns?|needs?|takes?)\b"
)
_GLUE = re.compile(
    r"\s*(?:\\?%\s*)?(?:,?\s*(?:and|or|to|&)\s*|[-,;:→/+*×x÷&~|]\s*)?\s*\(?[-+]?\s?|\s+and\s+[A-Z][a-z]+\s+(?:is|has|gets?|was)\s+|.*\b(?:or|versus|vs)\b.*",
    re.DOTALL,
)
_UNITS = tuple(
    re.compile(rf"\s*(?:{first})s?\b.*?(?=\d)", re.IGNORECASE)
    for first in (
        "hours?|hrs?|h|days?|weeks?|minutes?|mins?|years?|months?",
        "dollars?|bucks?",
        "feet|foot|ft|yards?",
        "pounds?|lbs?|kg",
    )
)
_SMALLER = re.compile(
    r"\s*(?:hours?|hrs?|days?|minutes?|mins?|seconds?|secs?|months?|cents?|inch(?:es)?|in(?!\s+\w)|m|ounces?|oz|grams?)\b",
    re.I,
)
_SUFFIX = re.compile(
    r"[,.:_']\d|\^|[²³⁰-⁹π]|\\pi|\+(?!\s?\d)|[xyzn](?![A-Za-z])|\s+or\s+(?:more|less|fewer|greater)\b"
    r"|\s+and\s+(?:a|one|two|three)\s+(?:half|third|quarter|fifth)s?\b"
)
_BOUND = re.compile(
    r"\b(?:between|either|(?:more|less|fewer|greater|larger|smaller|higher|lower)\s+than)\W{0,4}$|(?:√|\\sqrt\W{0,2})$",
    re.I,
)
_MULTIPLIER = re.compile(r"(?:(?P<letter>[kKM])(?![\w'])|\s?(?P<word>hundred|thousand|million|billion|trillion)s?\b)")
_MULTIPLIERS = {"k": 3, "K": 3, "M": 6, "hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_OPERAND = r"[-+]?(?:\d[\d,]*(?:\.\d+)?|\.\d+)"
_CALCULATION = re.compile(
    rf"\s*({_OPERAND}(?:\s*[+*×÷/]\s*{_OPERAND}|\s+[-x]\s+{_OPERAND}){{1,20}})(?![\d.,:^])(?:\s+[A-Za-z ]*)?\s*$"
)
_TERM = re.compile(rf"\s*([-+*×x÷/])\s*({_OPERAND})")


class Numeric:
    r"""Reads and grades one exact number; stateless.

    Read after the last marker that a number follows: ``#### 18``, ``A: 18``, ``\boxed{18}``, ``<answer>18</answer>``,
    ``The answer is $18.00.``, ``Answer: 1,234.50``, ``**Final Answer**`` and 18 on the next line. Of a sentence with
    several numbers the bold one counts, else the value of an equation, else the number that is the sentence's
    object; a marker with several answers (``18 or 20``, ``18-20``) states none. A completion that is nothing but a
    number needs no marker, and without any marker a last sentence such as ``So we get 18.`` counts.

    Currency signs, units and percent signs are dropped (``18%`` and ``18 apples`` are 18); fractions, mixed numbers,
    sums (``18 + 2``), ``70k`` and ``1 million``, every kind of minus sign and the decimal digits of every script are
    read; the decimal sign is the point, the comma, the apostrophe or a space groups thousands. Other words
    (``eighteen``) are not read.

    The canonical form is the shortest decimal (``1234.5``), or ``p/q`` in lowest terms where no decimal ends.
    Equality is exact: ``0.33`` is not ``1/3``.
    """

    answer_format = "#### <number>"

    def parse(self, completion: str) -> str | None:
        """The canonical number, or None (``Grader.parse``)."""
        text = own_text(completion)
        for statement in reversed(statements(text)):
            number = stated_number(statement.text, sentence=statement.kind not in ("box", "tag"))
            if number is not None:
                return number or None
        concluded = conclusion(text)
        return canonical_number(text) or (stated_number(concluded) or None if concluded else None)

    def gold(self, text: str) -> str | None:
        """The canonical gold of a worked solution or a bare number."""
        return self.parse(text)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Exact equality of canonical numbers (``Grader.grade``)."""
        return grade_equal(answers, golds)


def stated_number(text: str, *, sentence: bool = True) -> str | None:
    """The canonical form of the number that ``text`` (its first ``sentence``) states.

    None where it states no number, the empty string where it states several.
    """
    text = first_sentence(text) if sentence else text
    bold = [piece for piece in strong(text) if _NUMBER.search(_readable(piece))]
    text = _readable(bold[0] if len(bold) == 1 else text)
    if _DENIAL.match(text):
        return None
    text = _NEGATIVE.sub(r"\1-", text)
    outside = _EQUATION_ASIDE.sub(" ", text)
    text = outside if _NUMBER.search(outside) else text
    clause = _main_clause(text)
    return None if clause is None else _of_clause(_side(clause))


def canonical_number(text: str) -> str | None:
    """The canonical form of ``text`` if it is a number with no more than a currency sign, a ``%`` or a full stop."""
    if len(text) > MAX_CHARACTERS:
        return None
    match = _NUMBER.fullmatch(_readable(text).strip().removesuffix("%").removesuffix("\\").rstrip(" ."))
    return _canonical(match) if match else None


def _main_clause(text: str) -> str | None:
    """The clause of a sentence that holds its number: one of its own before ``so 12``, that before ``when x is 5``."""
    words = _CLAUSE.split(text)  # clause, conjunction, clause, …
    clauses = [("", words[0]), *zip(words[1::2], words[2::2], strict=True)]
    numbered = [(before.strip(" ,"), clause) for before, clause in clauses if _NUMBER.search(clause)]
    if not numbered:
        return None
    if len(numbered) > 1 and not numbered[0][0] and _INTRODUCTION.match(numbered[0][1]):
        numbered = numbered[1:]
    if not _NUMBER.match(text.lstrip(" *_(")):
        for wanted in (("so", "thus", "hence", "therefore"), ("",)):
            for before, clause in numbered:
                if before in wanted:
                    return clause
    return numbered[0][1]


def _side(clause: str) -> str:
    """The side of an equation that holds its value: the last, but the first of ``12 eggs = 1 dozen``."""
    sides = _EQUALITY.split(clause)
    if len(sides) > 1 and _QUANTITY.match(sides[0]):
        return sides[0]
    return next((side for side in reversed(sides) if _NUMBER.search(side)), clause)


def _of_clause(text: str) -> str | None:
    calculation = _CALCULATION.fullmatch(text)
    if calculation:
        return _calculated(calculation[1])
    numbers = list(_NUMBER.finditer(text))
    if len(numbers) > 1:
        text = _ASIDE.sub(" ", text)
        numbers = _objects(text, list(_NUMBER.finditer(text)) or numbers)
    if not numbers:
        return None
    number = numbers[0]
    after = text[number.end() :]
    if _SUFFIX.match(after) or _BOUND.search(text[: number.start("numeral")]):
        return ""
    if len(numbers) > 1:
        gap = text[number.end() : numbers[1].start("numeral")]
        if _GLUE.fullmatch(gap):
            return ""
        compound = any(unit.match(text, number.end()) for unit in _UNITS) or "cents" in text
        if compound and _SMALLER.match(text, numbers[1].end()) and _canonical(numbers[1]) != "0":
            return ""
    return _canonical(number, _MULTIPLIER.match(after))


def _objects(text: str, numbers: list[re.Match[str]]) -> list[re.Match[str]]:
    """The numbers that are neither a sentence's subject nor in an adjunct; else the subjects; else all."""
    ways = [number for number in numbers if _WAYS.match(text, number.end())]
    if ways:
        return ways
    kept: list[re.Match[str]] = []
    subjects: list[re.Match[str]] = []
    dropped_before = False
    for index, number in enumerate(numbers):
        before = text[numbers[index - 1].end() if index else 0 : number.start("numeral")]
        joined = dropped_before and re.search(r"\b(?:and|or)\s*$", before) is not None
        adjunct = joined or _SHARE.match(text, number.end()) is not None or _BEFORE.search(before) is not None
        subject = _VERB.match(text, number.end()) is not None
        dropped_before = adjunct or subject
        if not dropped_before:
            kept.append(number)
        elif not adjunct:
            subjects.append(number)
    free = [
        number
        for number, last in zip(numbers, [0, *(number.end() for number in numbers)], strict=False)
        if not _DETERMINED.search(text[last : number.start("numeral")])
    ]
    return kept or subjects or free or numbers


def _calculated(text: str) -> str | None:
    """The value of a sum or product of numbers."""
    first = re.match(rf"\s*({_OPERAND})", text)
    assert first is not None
    terms = [_fraction(first[1])]
    for operator, operand in _TERM.findall(text[first.end() :]):
        value = _fraction(operand)
        if operator in "+-":
            terms.append(value if operator == "+" else -value)
        elif operator in "*×x":
            terms[-1] *= value
        elif value:
            terms[-1] /= value
        else:
            return None
    total = sum(terms, Fraction(0))
    return _written(total) if len(str(total)) <= 2 * MAX_DIGITS else None


def _fraction(numeral: str) -> Fraction:
    digits = numeral.replace(",", "")
    return Fraction(digits) if len(digits) <= MAX_DIGITS else Fraction(0)


def _readable(text: str) -> str:
    spaced = _FRACTION.sub(lambda m: f" {m[1] or m[2]}/{m[3] or m[4]} ", plain(text))
    return _NOISE.sub("", spaced)


def _canonical(match: re.Match[str], multiplier: re.Match[str] | None = None) -> str | None:
    numeral, under = re.sub("[,' _]", "", match["numeral"]), (match["under"] or "").replace(",", "")
    if len(numeral) > MAX_DIGITS or len(under) > MAX_DIGITS:
        return None
    power = int(match["exponent"] or 0)
    if multiplier:
        power += _MULTIPLIERS[multiplier["letter"] or multiplier["word"]]
    value = Fraction(numeral) * Fraction(10) ** power
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
