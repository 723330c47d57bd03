"""The canonical form of a mathematical answer: light, so that equal answers are mostly equal strings."""

import re
from fractions import Fraction

from tracer_env.grading.numeric import canonical_number
from tracer_env.grading.text import plain
from tracer_env.grading.units import without_units

MAX_ANSWER_CHARACTERS = 2_000  # longer answers are left as they are, and no grader reads them

_SYMBOLS = {
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "×": r"\times ", "·": r"\cdot ",
    "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "°": r"^\circ ", "≈": r"\approx ",
    "÷": r"\div ", "∅": r"\emptyset ", "⟨": r"\langle ", "⟩": r"\rangle ", "→": r"\to ", "∠": r"\angle ", "∛": "√[3]",
    "∜": "√[4]", "α": r"\alpha ", "β": r"\beta ", "γ": r"\gamma ", "δ": r"\delta ", "ε": r"\epsilon ", "θ": r"\theta ",
    "λ": r"\lambda ", "μ": r"\mu ", "ρ": r"\rho ", "σ": r"\sigma ", "τ": r"\tau ", "φ": r"\phi ", "ω": r"\omega ",
    "Δ": r"\Delta ", "Ω": r"\Omega ", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}", "ℕ": r"\mathbb{N}", "𝑖": "i",
    "⌊": r"\lfloor ", "⌋": r"\rfloor ", "⌈": r"\lceil ", "⌉": r"\rceil ",
}  # fmt: skip
_SYMBOL = re.compile("|".join(_SYMBOLS))
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿⁱˣ", "0123456789+-()nix", strict=True))
_LOWERED = dict(zip("₀₁₂₃₄₅₆₇₈₉₊₋₍₎ₙₓ", "0123456789+-()nx", strict=True))
_SCRIPTS = (
    (re.compile(f"[{''.join(_RAISED)}]+"), "^", _RAISED),
    (re.compile(f"[{''.join(_LOWERED)}]+"), "_", _LOWERED),
)
_PARENTHESES = r"\(((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)\)"
_DEGREES = r"(?:\^\s{0,4}(?:\{\s{0,4}\\circ\s{0,4}\}|\\circ(?![A-Za-z]))|\\(?:degrees?|circ)(?![A-Za-z]))"
_TRIGONOMETRIC = re.compile(r"(?<!arc)(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_ANGLE = re.compile(
    rf"\(\s?(?P<bracketed>\d+(?:\.\d+)?|[A-Za-z])\s?\)\s?{_DEGREES}|(?P<plain>\d+(?:\.\d+)?|\\frac\{{\d+\}}\{{\d+\}}|[A-Za-z])\s{{0,2}}{_DEGREES}"
)
_RULES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"(?:√|\\sqrt(?=\s?\())(\[\d\])?\s?{_PARENTHESES}", r"\\sqrt\1{\2}"),
        (r"√(\[\d\])?\s?(\d{1,64}(?:\.\d{1,64})?|[A-Za-z]|\\[a-z]+)", r"\\sqrt\1{\2}"),
        (r"√", r"\\sqrt"),
        (r"\\(?:text)?color(?:box)?\s?\{[^{}]*\}|\\fcolorbox\s?\{[^{}]*\}\s?\{[^{}]*\}", ""),
        (r"\\(?:begin|end)\s?\{(?:align|aligned|equation|gather|gathered|split)\*?\}", " "),
        (r"&\s?=", "="),
        (r"\\text\s?\{\s*\}", " "),
        (r"\\underline\s?\{([^{}]*)\}", r"\1"),
        (r"(?<=\d)\s?(?:degrees?|deg)(?![A-Za-z])", r"^\\circ "),
        (
            r"\\(?:left|right|displaystyle|textstyle|q?quad|limits|[Bb]ig[lr]?|bf|rm|mathstrut|small|[Ll]arge|LARGE|[Hh]uge|normalsize)(?![A-Za-z])\.?",
            " ",
        ),
        (r"\\\$|\$|(?<!\\)\\[()\[\]]", ""),
        (r"\\!", ""),
        (r"(?<!\\)\\[,;: ]|~", " "),
        (r"\{,\}", ","),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\\leq(?:slant)?(?![A-Za-z])", r"\\le"),
        (r"\\geq(?:slant)?(?![A-Za-z])", r"\\ge"),
        (r"\\neq(?![A-Za-z])", r"\\ne"),
        (r"\\(?:mathrm|mathit|text|operatorname)\s?\{\s?([ie])\s?\}", r"\1"),
        (r"\\(?:operatorname|mathrm|text)\s?\{(sin|cos|tan|cot|sec|csc|log|ln|arcsin|arccos|arctan)\}", r"\\\1"),
        (
            r"\\(?:mbox|hbox|textbf|textrm|textit|textsf|texttt|emph|mathrm|mathbf|mathit|mathsf|mathtt|bm|boldsymbol|pmb|operatorname)(?=\s{0,4}\{)",
            r"\\text",
        ),
        (r"\^\s?\\text\s?\{\s?(th|st|nd|rd)\s?\}", r"^{\\text{\1}}"),
        (r"(?<![\\A-Za-z])(sin|cos|tan|cot|sec|csc|log|ln|arcsin|arccos|arctan)(?=[\s(\d^_])", r"\\\1"),
        (r"\\(?:varnothing|empty)(?![A-Za-z])", r"\\emptyset"),
        (r"\\\\\s?\[[^\[\]]{0,10}\]", r"\\\\"),  # the space after a row
        (r"(?<![\\A-Za-z])pi(?![A-Za-z])", r"\\pi "),
        (r"(?<!\\)%", r"\\%"),
        (r"\+\s?-", "-"),
        (r"\\langle(?![A-Za-z])", "("),
        (r"\\rangle(?![A-Za-z])", ")"),
    )
)
_LEADING = re.compile(
    r"^(?:\s|=|\\therefore(?![A-Za-z])|\\text\s?\{[^{}]{0,60}(?:\bis|[:=])\s?\}(?=\s*\S)|\\(?:approx|sim|simeq)(?![A-Za-z])|\\text\s?\{\s?(?:approx\w*\.?|about)\s?\})+"
)
_TEMPERATURE = re.compile(r"(?<=\d)\s?\^\s?(?:\{\s?\\circ\s?\}|\\circ)\s?(?:[CF]|\\text\s?\{\s?[CF]\s?\})$")
_REMARK = re.compile(r"(?<=[^\s])\s*\\text\s?\{\s?\(.*$")
_PREDICATE = re.compile(
    r".*(?:\\text\s?\{\s?|\b)(?:is|are|equals)\s+(?!not\b|(?:the|our|my)\s(?:final\s)?answer)(?P<rest>[^{}]{1,60})\}?$",
    re.DOTALL,
)
_ONLY_TEXT = re.compile(r"\\text\s{0,4}\{([^{}]*)\}")
_NONE = re.compile(
    r"(?:there (?:is|are) )?no (?:real |such )?(?:solutions?|values?)(?: exists?)?|(?:the )?empty ?set",
    re.IGNORECASE,
)
_LABEL = re.compile(
    r"(?:\\text\s?\{\s?)?\(?([A-H])(?:\)(?!\s*(?:or|and|,|/|&)\s*\(?[A-H]\b)|\.(?=\s[A-Za-z]|\s*\}\s*\S))\s*\}?(?:\s+.*|\s*\\text.*|(?<=\})\s*\S.*)?$",
    re.DOTALL,
)
_OPTION = re.compile(
    r"(?:\\text\s?\{\s?)?(?:option|choice|answer)\s*:?\s*\}?\s*(?:\\text\s?\{\s?)?\(?([A-H])\)?[.\s}]*$", re.IGNORECASE
)
_COMMAND_SPACE = re.compile(r"(\\[A-Za-z]++)\s++(?=[A-Za-z])")
_SHORT_FRACTION = re.compile(r"\\(frac|binom)\s*+(\{[^{}]*\}|\d)\s*+(\{[^{}]*\}|\d)")
_SHORT_ROOT = re.compile(r"\\sqrt\s*+(\d)")
_SCRIPT_DIGIT = re.compile(r"([\^_])\s?(\d)\s+(?=\d)")
_MIXED = re.compile(r"(?<![\d.^_/{])(\d{1,18})\s+(\d{1,18})\s?/\s?(\d{1,18})(?![\d.])")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:\s+\d{3})+(?![\d,])")
_SPACED_DIGITS = re.compile(r"(?<=\d)\s+(?=\d)")
_DIGIT_GROUPS = re.compile(r"\d+(?:\s+\d+)+")
_REPEATING = re.compile(r"(?<!\d)(\d{0,18})\.(\d{0,18})\\overline\s?\{(\d{1,18})\}")
_SLASH = re.compile(r"(-?)(\d{1,64})/(\d{1,64})")
_NEGATIVE_FRACTION = re.compile(r"\\frac\{-(\w{1,64})\}")
_SINGLE = re.compile(r"([\^_])\{(\w)\}(?!\d)")
_ANSWER_LABEL = re.compile(r"^\s*(?:the )?(?:final )?answer\s*[:=]\s*(?=\S)", re.IGNORECASE)
_ARTICLE = re.compile(r"\b(?:an?|the) (?=[a-z]{3})", re.IGNORECASE)
_ASSIGNED = re.compile(
    r"(?:[A-Za-z]|[a-zA-Z]\([a-z\d]\)|[A-Z]{2,3}|\\angle[A-Z]{1,3})(?:_\w)?(?:=|\\in(?![A-Za-z])|\\approx(?![A-Za-z]))"
)
_NAMED = re.compile(r"^\\text\s?\{[^{}]{1,60}\}\s?(?:=|\\approx)")
_VARIABLE = re.compile(r"(?<![\\A-Za-z])[A-Za-z]|[<>&]|\\(?:text|le|ge|ne|in|theta|alpha|pm)(?![A-Za-z])")
_ASSIGNED_TO = re.compile(r"(.*[^A-Za-z].*|\d)=([a-zA-Z])$")
_WORDS = re.compile(r"[A-Za-z][a-z]{2,}(?: [A-Za-z][a-z]*)*+")
_BASES = {
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "twelve": 12,
    "sixteen": 16,
}
_BASED = re.compile(
    r"\(?(?P<digits>\d[\dA-F]*)\)?(?:_\{?\(?(?:\\text\{)?(?P<base>\d{1,2}|[a-z]+)\}?\)?\}?|(?:\\text)?[({]*base\}?(?P<named>\d{1,2}|[a-z]+)[)}]*)"
)


def is_words(answer: str) -> bool:
    """Whether a canonical answer is text, such as ``evelyn``, rather than mathematics."""
    return _WORDS.fullmatch(answer) is not None


def readable(text: str) -> str:
    """``text`` in ASCII LaTeX: Unicode's mathematical symbols, superscripts and subscripts are commands."""
    text = plain(text)
    if text.isascii():
        return text
    for pattern, script, characters in _SCRIPTS:
        text = pattern.sub(lambda match: f"{script}{{{''.join(characters[c] for c in match[0])}}}", text)  # noqa: B023
    return _SYMBOL.sub(lambda match: _SYMBOLS[match[0]], text)


def canonical_latex(text: str) -> str | None:
    r"""The canonical form of ``text``, the inside of a box or a data set's gold; None if nothing is left.

    Dropped: dollar signs, colours, sizes and spaces of LaTeX, degree signs (beside a trigonometric function they
    become radians), articles, currencies, units at the end (``without_units``), a variable beside the only ``=`` or
    ``\in`` (``x=5`` and ``5=x`` are ``5``), the subject of a sentence (``f(x)\text{ is even}`` is ``even``),
    grouping commas and spaces of a lone number, trailing zeros. Unified: the kinds of ``\frac``, ``\le`` and text,
    short forms (``\frac43``, ``x^{2}``, ``1/2``), mixed numbers (``11 5/6``), roots, bases, the sign of a fraction.
    Other spaces between digits separate a tuple. Words are lower case, a choice ``\text{(C) plane}`` is ``C``, no
    solution is the empty set. Nothing is evaluated. Text longer than ``MAX_ANSWER_CHARACTERS`` comes back as it is.
    """
    text = plain(text).strip()
    if len(text) > MAX_ANSWER_CHARACTERS:
        return text
    text = readable(text)
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = _LEADING.sub("", text.strip().rstrip(".,;:").strip())
    label = _LABEL.match(text) or _OPTION.match(text)
    if label:
        return label[1].upper()
    text = _without_degrees(without_units(_TEMPERATURE.sub("", _REMARK.sub("", _predicate(text)))).strip())
    text = _without_units_of_text(text)
    if _NONE.fullmatch(text):
        return r"\emptyset"
    if is_words(text):
        return text.lower()
    return _compact(text) or None


def _predicate(text: str) -> str:
    """What a sentence in words says of its subject; other text as it is."""
    sentence = _PREDICATE.match(text) if "\\text" in text else None
    return _ARTICLE.sub("", sentence["rest"].strip(), count=1) if sentence else text


def _without_units_of_text(text: str) -> str:
    only_text = _ONLY_TEXT.fullmatch(text)
    if only_text:
        words = re.sub(r"(?<=[a-z]), (?=[a-z])", " ", _ANSWER_LABEL.sub("", only_text[1]).strip().rstrip(".,;:"))
        text = _ARTICLE.sub("", " ".join(words.split()), count=1)
    return " ".join(text.split())


def _without_degrees(text: str) -> str:
    if _TRIGONOMETRIC.search(text):
        text = _ANGLE.sub(
            lambda angle: (
                f"(\\frac{{{angle['bracketed']}\\pi}}{{180}})"
                if angle["bracketed"]
                else f"\\frac{{{angle['plain']}\\pi}}{{180}}"
            ),
            text,
        )
    return re.sub(_DEGREES, "", text).strip()


def _compact(text: str) -> str:
    text = _SHORT_FRACTION.sub(lambda match: f"\\{match[1]}{_braced(match[2])}{_braced(match[3])}", text)
    text = _SHORT_ROOT.sub(r"\\sqrt{\1}", text)
    text = _SCRIPT_DIGIT.sub(r"\1{\2}", text)
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _GROUPED.sub(lambda match: "".join(match[0].split()), text)
    text = f"({_SPACED_DIGITS.sub(',', text)})" if _DIGIT_GROUPS.fullmatch(text) else _SPACED_DIGITS.sub(",", text)
    text = "".join(_COMMAND_SPACE.sub("\\1\x00", text).split()).replace("\x00", " ")
    text = _NEGATIVE_FRACTION.sub(r"-\\frac{\1}", text)
    text = _SINGLE.sub(r"\1\2", text)
    text = _REPEATING.sub(_repeating, text)
    if text.startswith("{") and text.find("}") == len(text) - 1:
        text = text[1:-1]
    text = _unassigned(text)
    based = _BASED.fullmatch(text)
    if based:
        base = based["base"] or based["named"]
        base = str(_BASES.get(base, base))
        return f"{based['digits']}_{base}" if len(base) == 1 else f"{based['digits']}_{{{base}}}"
    slash = _SLASH.fullmatch(text)
    if slash:
        return f"{slash[1]}\\frac{{{slash[2]}}}{{{slash[3]}}}"
    if "\\" not in text and "/" not in text:
        return canonical_number(text) or text
    return text


def _unassigned(text: str) -> str:
    """``text`` without the variable that an equation gives a value."""
    text = _NAMED.sub("", text)
    sides = text.split("=")
    if all(side and not _VARIABLE.search(side) for side in sides):  # a calculation: 33/100 = 0.33
        return sides[-1]
    if len(sides) > 2:
        return text
    assigned = _ASSIGNED.match(text)
    if assigned:
        return text[assigned.end() :].strip()
    reverse = _ASSIGNED_TO.fullmatch(text)
    return reverse[1] if reverse else text


def _repeating(match: re.Match[str]) -> str:
    whole, fixed, repeated = match.groups()
    scale = 10 ** len(fixed)
    value = Fraction(int(f"{whole or 0}{fixed}"), scale) + Fraction(int(repeated), scale * (10 ** len(repeated) - 1))
    return f"\\frac{{{value.numerator}}}{{{value.denominator}}}"


def _braced(argument: str) -> str:
    return argument if argument.startswith("{") else f"{{{argument}}}"
