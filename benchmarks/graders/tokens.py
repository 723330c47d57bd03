r"""Cuts a mathematical answer, LaTeX or typed by hand, into tokens."""

import re
from dataclasses import dataclass

from benchmarks.graders.pointwise import FUNCTIONS
from tracer_env.grading.text import plain

_UNIT_NAMES = """
mm cm km in ft yd mi inch inches foot feet yard yards mile miles meter meters metre metres centimeters kg mg lb lbs oz
gram grams pound pounds ounce ounces ml liter liters litre litres sec min hr hrs second seconds minute minutes hour
hours day days week weeks month months year years cent cents dollar dollars degree degrees deg unit units sq square
cubic mph am pm men percent per usd eur
"""
_UNITS = frozenset(_UNIT_NAMES.split())
_LETTER_UNITS = frozenset("mglhs")  # at the very end only
SEPARATORS = frozenset({",", ";", "or", "and"})
_SYMBOLS = {
    "π": r"\pi ", "∞": r"\infty ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "×": r"\times ", "·": r"\cdot ",
    "∪": r"\cup ", "∈": r"\in ", "±": r"\pm ", "∓": r"\mp ", "°": r"\degree ", "√": r"\sqrt ", "÷": r"\div ",
    "²": "^2", "³": "^3", "⁴": "^4", "≡": r"\equiv ", "∅": r"\emptyset ", "⟨": r"\langle ", "⟩": r"\rangle ",
    "€": "$", "£": "$", "¥": "$", "₹": "$", "ℝ": r"\mathbb{R}", "θ": r"\theta ", "⌊": r"\lfloor ", "⌋": r"\rfloor ",
    "<=": r"\le ", ">=": r"\ge ", "!=": r"\ne ", "**": "^",
}  # fmt: skip
_SYMBOL = re.compile("|".join(map(re.escape, _SYMBOLS)))
_REWRITES = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\\(?:left|right|displaystyle|textstyle|limits|bigl|bigr|Bigl|Bigr|big|Big)(?![A-Za-z])(?:\s{0,4}\.)?", ""),
        (r"(?<=\d)(?:\{,\}|,\\!|\\!,|\\,)\s{0,4}(?=\d{3}(?!\d))", ""),  # grouping, for sure
        (r"\\!", ""),
        (r"(?<!\\)\\[,;: ]|~|\\q?quad(?![A-Za-z])", " "),
        (r"(?<!\\)\\\$|\$|(?<!\\)\\[()\[\]]", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\[dt]binom(?![A-Za-z])", r"\\binom"),
        (r"\\(frac|binom)\s{0,4}(\d)\s{0,4}(\d)", r"\\\1{\2}{\3}"),
        (r"\\(frac|binom)\s{0,4}(\d)", r"\\\1{\2}"),
        (r"\\(frac|binom)\s{0,4}(\{[^{}]*\})\s{0,4}(\d)", r"\\\1\2{\3}"),
        (r"\^\s{0,4}(?:\{\s{0,4}\\circ\s{0,4}\}|\\circ(?![A-Za-z]))", r"\\degree "),
        (r"\\degrees?(?![A-Za-z])", r"\\degree "),
        (r"\\leq(?:slant)?(?![A-Za-z])", r"\\le "),
        (r"\\geq(?:slant)?(?![A-Za-z])", r"\\ge "),
        (r"\\neq(?![A-Za-z])", r"\\ne "),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:lvert|rvert|vert|mid)(?![A-Za-z])", "|"),
        (r"\\(?:varnothing)(?![A-Za-z])", r"\\emptyset "),
        (r"\\bmod(?![A-Za-z])|\\mod(?![A-Za-z])", r"\\pmod "),
    )
)
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_TEXT = re.compile(r"\\(?:text|mbox|textbf|textrm|mathrm)\s{0,4}\{[^{}]*\}")
_BRACKET = re.compile(r"[(\[]|\\\{|^\{")
_TOKEN = re.compile(
    r"(?P<repeating>\d{0,64}\.\d{0,64}\\overline\s?\{\d{1,64}\})"
    r"|(?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d{1,3}(?![\d.A-Za-z]))?)"
    r"|(?P<row>\\\\(?:\s?\[[^\[\]]{0,10}\])?)"
    r"|\\begin\s{0,4}\{(?P<begin>[a-z]{1,12}\*?)\}(?:\{[lcr|]{0,20}\})?"
    r"|\\end\s{0,4}\{(?P<end>[a-z]{1,12}\*?)\}"
    r"|\\(?:text|mbox|hbox|textbf|textrm|textit|mathrm|mathbf|mathbb|mathit|operatorname)\s{0,4}\{(?P<text>[^{}]*)\}"
    r"|(?P<command>\\[A-Za-z]+)"
    r"|(?P<escaped>\\[{}%#&_|])"
    r"|(?P<word>[^\W\d_]+)"
    r"|(?P<symbol>\S)"
)


@dataclass(frozen=True, slots=True)
class Token:
    r"""One token.

    ``kind`` is ``number``, ``repeating``, ``name``, ``word``, ``command``, ``begin``, ``end``, ``row`` or ``symbol``.
    A name is a variable of one letter; a word is prose or a unit; a command lacks its backslash, and ``pi``,
    ``sqrt`` and the names of functions are commands however they are written; ``or`` and ``and`` are symbols.
    """

    kind: str
    text: str
    spaced: bool  # whether space stands before it


def clean(text: str) -> str:
    r"""``text`` in ASCII LaTeX without sizes, spacing commands, currency and dollar signs."""
    text = _SYMBOL.sub(lambda match: _SYMBOLS[match[0]], plain(text))
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    if not _BRACKET.search(_TEXT.sub("", text)):  # in brackets a comma separates
        text = _GROUPED.sub(lambda match: match[0].replace(",", ""), text)
    return text.strip().rstrip(".:;,").strip()


def tokens(text: str) -> list[Token]:
    """The tokens of cleaned text; linear in its length."""
    pieces: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        spaced = match.start() > 0 and text[match.start() - 1].isspace()
        piece = match[kind]
        if kind == "word":
            pieces += _run(piece, spaced, pieces[-1] if pieces else None)
        elif kind == "text":
            pieces += _prose(piece)
        elif kind == "command":
            pieces.append(Token("command", piece[1:], spaced))
        elif kind == "escaped":
            pieces.append(Token("symbol", piece, spaced))
        else:
            pieces.append(Token(kind, piece, spaced))
    last = len(pieces) - (3 if len(pieces) > 3 and pieces[-2].text == "^" else 1)  # m, m^2
    if last > 0 and pieces[last].text in _LETTER_UNITS and pieces[last].spaced and pieces[last - 1].kind == "number":
        pieces[last] = Token("word", pieces[last].text, True)
    return pieces


def _run(letters: str, spaced: bool, before: Token | None) -> list[Token]:
    """A run of letters: a function, a separator, a word, or variables side by side."""
    low = letters.lower()
    if low in FUNCTIONS or low in ("pi", "sqrt", "infty"):
        return [Token("command", low, spaced)]
    if low in ("inf", "infinity"):
        return [Token("command", "infty", spaced)]
    if low in ("or", "and"):
        return [Token("symbol", low, spaced)]
    after_number = before is not None and before.kind == "number"
    unit = (low in _UNITS and after_number) or not letters.isascii()
    prose = (
        len(letters) > 2 and any(vowel in low for vowel in "aeiou") and (spaced or before is None or len(letters) > 4)
    )
    if unit or prose or (before is not None and before.kind == "word"):
        return [Token("word", letters, spaced)]
    return [Token("name", letter, spaced and index == 0) for index, letter in enumerate(letters)]


def _prose(inside: str) -> list[Token]:
    words = inside.strip()
    if words.lower() in ("or", "and"):
        return [Token("symbol", words.lower(), True)]
    if len(words) == 1 and words.isalpha():
        return [Token("name", words, True)]
    if words in FUNCTIONS:
        return [Token("command", words, True)]
    return [Token("word", words, True)] if words else []
