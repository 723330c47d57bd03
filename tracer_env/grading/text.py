"""Finds where a completion states its answer; every scan is linear in the text."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from tracer_env.grading.quotes import own_lines

MAX_STATEMENT_CHARACTERS = 2_000  # what is read after a marker; a longer answer is not an answer
MAX_STATEMENTS = 50  # earlier ones are not looked at

_NON_ASCII = re.compile(r"[^\x00-\x7f]")
_GROUPING_SPACE = re.compile(r"(?<=\d)[\u00a0\u2009\u202f](?=\d{3}(?!\d))")
_PUNCTUATION = {
    **dict.fromkeys("‐‑‒–—−﹣－", "-"),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("“”″", '"'),
    **dict.fromkeys("∕⁄", "/"),
    "٫": ".",  # Arabic decimal separator
    "٬": ",",  # Arabic thousands separator
    "٪": "%",
}
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s{0,8}(?:(\{)|(\w))?")
_LINE = re.compile(r"####|^[ \t*]{0,8}A[*]{0,2}:", re.MULTILINE)
_HASHES = re.compile(r"####")
_PHRASE = re.compile(r"\banswer\b[^\S\n]{0,4}[*]{0,2}[^\S\n]{0,4}(?:is\b(?!\s{1,4}not\b)|[:=])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Statement:
    r"""One place where an answer is stated; ``text`` is what may hold it.

    ``kind`` is ``"box"`` (``\boxed{text}``), ``"line"`` (``#### text`` or ``A: text``: the rest of the line) or
    ``"phrase"`` (``the answer is text``, ``answer: text``: the rest of the line).
    """

    kind: str
    text: str


def plain(text: str) -> str:
    """``text`` with digits, signs, spaces and full-width forms of all scripts turned into ASCII ones.

    Decimal digits of every script count (``١٨`` is ``18``); superscripts, circled and Roman numerals do not.
    ``½`` becomes `` 1/2``. Letters stay as they are: a Cyrillic ``С`` is no choice.
    """
    if text.isascii():
        return text
    return _NON_ASCII.sub(_plain_character, _GROUPING_SPACE.sub("", text))


def _plain_character(match: re.Match[str]) -> str:
    character = match[0]
    if character in _PUNCTUATION:
        return _PUNCTUATION[character]
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    if 0xFF01 <= ord(character) <= 0xFF5E:
        return chr(ord(character) - 0xFEE0)
    if unicodedata.category(character) == "Zs":
        return " "
    decomposition = unicodedata.decomposition(character)
    if decomposition.startswith("<fraction>"):
        return " " + "".join(chr(int(code, 16)) for code in decomposition.split()[1:]).replace("\u2044", "/")
    return character


def statements(completion: str, *, a_lines: bool = True) -> list[Statement]:
    """Where a completion's own words state an answer, in order of position; the last ``MAX_STATEMENTS``.

    Args:
        completion: any text; quotes are removed first, and only the end of a long text is read.
        a_lines: whether ``A: …`` is read (in choice questions ``A:`` labels a choice).
    """
    text = plain("\n".join(own_lines(completion)))
    found = [(start, Statement("box", inside)) for start, inside in _boxes(text)]
    for kind, marker in (("line", _LINE if a_lines else _HASHES), ("phrase", _PHRASE)):
        found += [(match.start(), Statement(kind, _rest_of_line(text, match.end()))) for match in marker.finditer(text)]
    found.sort(key=lambda pair: pair[0])
    return [statement for _, statement in found[-MAX_STATEMENTS:]]


def bare(completion: str) -> str:
    """A completion's own words when they fit in an answer, else the empty string."""
    text = plain("\n".join(own_lines(completion))).strip()
    return text if len(text) <= MAX_STATEMENT_CHARACTERS else ""


def _rest_of_line(text: str, start: int) -> str:
    end = text.find("\n", start, start + MAX_STATEMENT_CHARACTERS)
    return text[start : end if end >= 0 else start + MAX_STATEMENT_CHARACTERS].strip()


def _boxes(text: str) -> Iterator[tuple[int, str]]:
    r"""(position, content) of every ``\boxed``; unclosed and empty ones are skipped."""
    boxes = list(_BOXED.finditer(text))[-MAX_STATEMENTS:]
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closing[opened.pop()] = brace.start()
    for box in boxes:
        if box[1]:
            end = closing.get(box.start(1))
            inside = text[box.end() : end].strip() if end is not None else ""
        else:
            inside = box[2] or ""
        if inside:
            yield box.start(), inside
