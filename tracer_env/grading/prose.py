"""Reads a mathematical answer out of a sentence: what follows ``the answer is``."""

import re

from tracer_env.grading.latex import MAX_ANSWER_CHARACTERS, canonical_latex, readable
from tracer_env.grading.numeric import stated_number
from tracer_env.grading.text import first_sentence, strong

_MATH = re.compile(r"\$\$(.+?)\$\$|\$(?!\s?\d[\d,.]*\s(?!\s?[-+*/=<>\\]))(.+?)(?<!\\)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_SUBORDINATE = re.compile(
    r",?\s(?:because|since|when|where|if|given|assuming|so that|as|after|before"
    r"|which(?!\s(?:equals|simplifies|evaluates|comes))"
    r"|while|i\.e\.|for(?!.*\bis\b))\s"
    r"|[,;:]\s+(?=(?!and\b|or\b)[A-Za-z]{2,})"
)
_LINK = re.compile(r"\b(?:is|are|equals?|be|(?:simplifies|evaluates|comes) to)\b|(?<![<>!])=|\\approx(?![A-Za-z])")
_SEPARATOR = re.compile(r"\s*,?\s*(?:\band\b|\bor\b|,)\s*")
_FUNCTIONS = r"(?:arc)?(?:sqrt|pi|sin|cos|tan|cot|sec|csc|log|ln|frac)(?![A-Za-z])"  # 'since' is none
_UNIT_WORDS = r"square|cubic|sq"
_FORMULA = re.compile(
    rf"(?![aAI]\s+[A-Za-z]{{2}})(?:[-+.\d(\[{{|\\=√€£¥₹]|(?:US|USD|EUR|GBP|Rs\.?)\s?\$?\d|(?:{_FUNCTIONS})|[A-Za-z](?![A-Za-z]))"
)
_FORMULA_END = re.compile(
    rf"\s(?=(?!{_FUNCTIONS}|mod\b)[A-Za-z]{{2}})|[.;!?](?:\s|$)|,\s+(?=an?\s[a-z]{{2}}|(?!{_FUNCTIONS})[A-Za-z]{{2}})|\*\*|,$|,?\s\((?=[A-Za-z]{{2}})|(?<![-,=+*/<>(\[])(?<!\\c[ua]p)(?<!\\c[ua]p\s)\s\(|(?<=[A-Za-z]{{3}}):"
)
_WORD = re.compile(r"[*\s]{0,8}([A-Za-z]{3,40})[*\s.!]{0,8}")
_NO_SOLUTION = re.compile(r"[*\s]{0,8}(?:there (?:is|are) )?(no (?:real )?solutions?)[*\s.!]{0,8}", re.IGNORECASE)
_AND = re.compile(r",?\s+(?:and|or)\s+(?=[-+\d(\\√]|[A-Za-z](?![A-Za-z]))")
_SAYS = re.compile(r"\b(?:is|are|has|have|gets?|be|equals?|there)\b|=", re.IGNORECASE)
_RANGE = re.compile(r"\b(?:except|between|less|greater|more|fewer|than|most|least|all|not|cannot)\b", re.IGNORECASE)
_BOX_ASIDE = re.compile(r"\([^()\n]{0,80}\\boxed[^()\n]{0,80}\)")
_COMMA_WITHIN = re.compile(r",\s?\$(?=\s+(?:and\b|or\b|\$))\s*")  # $x=1,$ $x=2$
_HOLE = "\x00"


def stated_formula(text: str) -> str | None:
    """The canonical answer that ``text``, what follows a marker, states; None if it states no formula.

    Of a sentence the bold piece counts, else what its formulas come to: the last side of an equation (``$f(2)$ =
    7``), what ``is`` follows (``$x$ is $5$``), several for a list (``$5$ or $6$``). Outside of dollar signs a formula
    ends before the next word; a dollar sign without a second is a currency. A sentence that begins with words states
    its number (``numeric.stated_number``).
    """
    text = _COMMA_WITHIN.sub("$, ", _BOX_ASIDE.sub("", readable(text))).strip().lstrip(":*_ ")
    if "\\boxed" in text and "\\boxed" in (text := first_sentence(text)):  # an empty one, or the word
        return None
    bold = [piece for piece in strong(text) if re.search(r"\d|\$|\\", piece)]
    if len(bold) == 1:
        text = bold[0]
    pieces = [piece for match in _MATH.finditer(text) for piece in match.groups() if piece]
    if pieces:
        return _of_pieces(_MATH.sub(_HOLE, text), pieces)
    return _of_plain(text.replace("\\$", "").replace("$", ""))


def stated_word(text: str) -> str | None:
    """The canonical form of a single word, or of ``no solution``; None if ``text`` is more than that."""
    word = _WORD.fullmatch(text) or _NO_SOLUTION.fullmatch(text)
    return canonical_latex(f"\\text{{{word[1]}}}" if " " in word[1] else word[1]) if word else None


def lone_formula(text: str) -> str | None:
    """The canonical form of a completion that is one formula or word without a marker, or None."""
    if len(text) > MAX_ANSWER_CHARACTERS:
        return None
    text = readable(text.strip())
    if not text or "\\boxed" in text or _cut(text.rstrip(".")) != text.rstrip("."):
        return None
    return canonical_latex(text)


def _of_pieces(text: str, pieces: list[str]) -> str | None:
    """The answer of a sentence with formulas in the places of ``_HOLE``."""
    text = first_sentence(text)
    text = next((part for part in _SUBORDINATE.split(text) if _HOLE in part), text)
    start = 0
    for link in _LINK.finditer(text):
        if re.search(rf"{_HOLE}|\d", text[link.end() :]):
            start = link.end()
    before = text[:start].count(_HOLE)
    holes = iter(pieces[before:])
    rest = text[start:]
    if _HOLE not in rest:
        return _of_plain(rest)
    items = re.match(
        rf"(?P<words>[^{_HOLE}\d]*)(?P<list>(?:{_HOLE}|-?\d[\d.,]*\d|-?\d)(?:{_SEPARATOR.pattern}(?:{_HOLE}|-?\d[\d.]*))*)",
        rest,
    )
    if items is None:
        return canonical_latex(next(holes))
    listed = _SEPARATOR.sub(",", items["list"])
    return canonical_latex(re.sub(_HOLE, lambda _: next(holes), listed))


def _of_plain(text: str) -> str | None:
    text = text.strip().lstrip("*: ")
    if not _FORMULA.match(text) or re.match(r"\d[\d.,]*\s+(?:has|have|is|are|gets?)\s", text):
        return canonical_latex(stated_number(text) or "") if _SAYS.search(text) or not _RANGE.search(text) else None
    return canonical_latex(_cut(_AND.sub(",", text)))


def _cut(text: str) -> str:
    """``text`` up to the end of the formula that it begins with; a list in words becomes one with commas."""
    return _FORMULA_END.split(text, maxsplit=1)[0].strip()
