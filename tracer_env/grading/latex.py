"""The canonical form of a mathematical answer: light, so that equal answers are mostly equal strings."""

import re

from tracer_env.grading.numeric import canonical_number
from tracer_env.grading.text import plain

MAX_ANSWER_CHARACTERS = 2_000  # longer answers are left as they are, and no grader reads them

_SYMBOLS = {
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "×": r"\times ", "·": r"\cdot ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "θ": r"\theta ", "°": r"^\circ ", "²": "^2", "³": "^3",
}  # fmt: skip
_SYMBOL = re.compile("|".join(_SYMBOLS))
_DEGREES = r"\^\s{0,4}(?:\{\s{0,4}\\circ\s{0,4}\}|\\circ(?![A-Za-z]))|\\(?:degrees?|circ)(?![A-Za-z])"
_TRIGONOMETRIC = r"(\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])[\s({]{0,4})"
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"√(\d{1,64})", r"\\sqrt{\1}"),
        (r"\\(?:left|right|displaystyle|textstyle|quad|qquad|bigl|bigr|big)(?![A-Za-z])\.?", ""),
        (r"\\\$|\$|(?<!\\)\\[()\[\]]", ""),
        (r"(?<!\\)\\[!,;: ]|~", " "),
        (r"\{,\}", ","),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\leq(?:slant)?(?![A-Za-z])", r"\\le"),
        (r"\\geq(?:slant)?(?![A-Za-z])", r"\\ge"),
        (r"\\(?:mbox|textbf|textrm|textit|mathrm|mathbf|operatorname)(?=\s{0,4}\{)", r"\\text"),
        (rf"{_TRIGONOMETRIC}(\d{{1,6}})\s{{0,2}}(?:{_DEGREES})", r"\1\\frac{\2\\pi}{180}"),
        (_DEGREES, ""),
        (r"\\varnothing(?![A-Za-z])", r"\\emptyset"),
        (r"\\\\\s?\[[^\[\]]{0,10}\]", r"\\\\"),  # the space after a row
        (r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<!\\)%", r"\\%"),
    )
)
_TRAILING_UNIT = re.compile(r"(?<=[^\s{(\[,=])\s*+\\text\s{0,4}\{[^{}]{0,200}\}(?:\^\{?\d\}?)?$")
_ONLY_TEXT = re.compile(r"\\text\s{0,4}\{([^{}]*)\}")
_COMMAND_SPACE = re.compile(r"(\\[A-Za-z]++)\s++(?=[A-Za-z])")
_SHORT_FRACTION = re.compile(r"\\frac\s*+(\{[^{}]*\}|\d)\s*+(\{[^{}]*\}|\d)")
_SHORT_ROOT = re.compile(r"\\sqrt\s*+(\d)")
_SLASH = re.compile(r"(-?)(\d{1,64})/(\d{1,64})")
_NEGATIVE_FRACTION = re.compile(r"\\frac\{-(\w{1,64})\}")
_SINGLE = re.compile(r"([\^_])\{(\w)\}(?!\d)")
_ARTICLE = re.compile(r"(?:an?|the) (?=[a-z]{3})", re.IGNORECASE)
_ASSIGNED = re.compile(r"[A-Za-z](?:=|\\in(?![A-Za-z]))")
_WORDS = re.compile(r"[A-Za-z][a-z]{2,}(?: [A-Za-z][a-z]*)*+")
_LABEL = re.compile(r"\(([A-Z])\)")


def is_words(answer: str) -> bool:
    """Whether a canonical answer is text, such as ``evelyn``, rather than mathematics."""
    return _WORDS.fullmatch(answer) is not None


def canonical_latex(text: str) -> str | None:
    r"""The canonical form of ``text``, the inside of a box or a data set's gold; None if nothing is left.

    Dropped: dollar signs, sizes and spaces of LaTeX, degree signs (in a trigonometric function they become
    radians), articles, a unit at the end (``\text{ cm}^2``), a
    variable before the only ``=`` or ``\in`` (``x=5`` is ``5``), grouping commas of a lone number, trailing
    zeros. Unified: the kinds of ``\frac``, ``\le`` and text, short forms (``\frac43``, ``x^{2}``, ``1/2``), the
    sign of a fraction. Words are lower case, a choice ``\text{(C)}`` is ``C``. Nothing is evaluated. Text longer
    than ``MAX_ANSWER_CHARACTERS`` comes back as it is.
    """
    text = plain(text).strip()
    if len(text) > MAX_ANSWER_CHARACTERS:
        return text
    text = _SYMBOL.sub(lambda match: _SYMBOLS[match[0]], text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = text.strip().rstrip(".,;:").strip()
    text = _TRAILING_UNIT.sub("", text)
    only_text = _ONLY_TEXT.fullmatch(text)
    if only_text:
        text = only_text[1].strip().rstrip(".,;:")
    text = _ARTICLE.sub("", " ".join(text.split()), count=1) if only_text else " ".join(text.split())
    if is_words(text):
        return text.lower()
    return _compact(text) or None


def _compact(text: str) -> str:
    text = "".join(_COMMAND_SPACE.sub("\\1\x00", text).split()).replace("\x00", " ")
    text = _SHORT_FRACTION.sub(lambda match: f"\\frac{_braced(match[1])}{_braced(match[2])}", text)
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _NEGATIVE_FRACTION.sub(r"-\\frac{\1}", text)
    text = _SINGLE.sub(r"\1\2", text)
    assigned = _ASSIGNED.match(text)
    if assigned and text.count("=") <= 1:
        text = text[assigned.end() :].strip()
    label = _LABEL.fullmatch(text)
    if label:
        return label[1]
    slash = _SLASH.fullmatch(text)
    if slash:
        return f"{slash[1]}\\frac{{{slash[2]}}}{{{slash[3]}}}"
    if "\\" not in text and "/" not in text:
        return canonical_number(text) or text
    return text


def _braced(argument: str) -> str:
    return argument if argument.startswith("{") else f"{{{argument}}}"
