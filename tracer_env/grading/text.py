"""Finds where a completion states its answer; every scan is linear in the text."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

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
_MARKUP = " \t*_:|#~=>`-"  # what may stand between a marker and its answer
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BOXED = re.compile(
    r"\\(?:boxed|fbox|framebox|bbox)(?![A-Za-z])\s{0,8}(?:\[[^\[\]\n]{0,80}\]\s{0,8}){0,2}"
    r"(?:(\{)|(\\[dtc]?frac\s?(?:\d\s?\d|\{[^{}]{1,40}\}\s?\{[^{}]{1,40}\})|\\(?:sqrt\s?\d|(?:sqrt|text)\s?\{[^{}]{1,40}\}|pi(?![A-Za-z])))|([-+]?\d[\d.,]{0,30}(?<![.,])|[A-Za-z](?![A-Za-z])))?"
)
_TAGGED = re.compile(
    r"<(final[_ -]?)?answer>[^\S\n]*(?:((?:(?!</?(?:final[_ -]?)?answer>).)*?)</(?:final[_ -]?)?answer>|([^\n]*))",
    re.IGNORECASE | re.DOTALL,
)
_A_LINE = re.compile(r"^[ \t*]{0,8}A[*]{0,2}:", re.MULTILINE)
_HASHES = re.compile(r"#{4,}")
_HEADING = re.compile(
    r"[*_\s]{0,4}(?:(?:step|part|case|section|method|approach|stage|phase|task|question|problem|example|check|verif\w*"
    r"|solution|explanation|reasoning|calculat\w*|set|summary|conclusion|note|analysis|given)\b|\d{1,2}[.)]\s+[*_]{0,2}[A-Za-z]"
    r"|(?P<counted>(?!answer|final|total|result|about|approx|roughly|exactly|only|so|the|a )"
    r"(?-i:[A-Z][a-z]{2,11})\s\d{1,2}[*_]{0,2}\s*(?:$|[:—–-])))",
    re.IGNORECASE,
)
_NUMBER_HEADING = re.compile(r"^[ \t]{0,3}#{1,3}[ \t]+(?=[^A-Za-z\n]{0,30}\d[^A-Za-z\n]{0,30}\s*\Z)", re.MULTILINE)
_BE = (
    r"(?:is|are|was|equals?|becomes|remains|(?:(?:would|should|must|will|could|might|may|can|has\s+to|ought\s+to)\s+(?:(?:therefore|thus|then|hence)\s+)?be)"
    r"|(?:(?:seems|appears|turns\s+out|works\s+out|comes\s+out)\s+to\s+be)|(?:comes|corresponds)\s+to)(?![A-Za-z'])"
)
_ASIDE = (
    r"(?:,?\s{0,2}(?:therefore|thus|hence|then|so|now|finally|again|indeed)(?![A-Za-z]),?"
    r"|,\s(?:in|for|to|at|as|of)\s[^\n.,:=?!;]{1,40},|\s{0,2}\([^()\n]{0,60}\)|\s{1,2}(?:to|for|of|in|at|that|which|we|you|I|here)\s[^\n.:=?!;]{1,80}?|\s{1,2}\d{1,3}"
    r"|\s{1,2}(?:choice|option|value|number|letter))"
)
_PHRASE = re.compile(
    rf"(?<![A-Za-z])(?:answers?|ans|(?:correct|right|best|final)\s(?:option|choice|letter))(?![A-Za-z]){_ASIDE}{{0,2}}[*_\s]{{0,6}}"
    rf"(?:(?<![A-Za-z]){_BE}(?:\s+as\s+follows)?(?!\s+(?:not|never|wrong|incorrect|correct|right)(?![A-Za-z]))|'s(?=\s)|[:=|→]|->|(?<=\s)-+(?=\s)"
    r"|(?<=\n)(?=\S))",
    re.IGNORECASE,
)
_BARE_HEADING = re.compile(
    r"^[ \t]{0,3}(?:#{1,6}[ \t]*)?[*_]{0,3}(?:the |my )?(?:final |correct )?answer[*_]{0,3}[ \t]*$",
    re.MULTILINE | re.IGNORECASE,
)
_BULLET = re.compile(r"[^\S\n]*(?:[-*•]\s+)?")
_OPEN_MATH = re.compile(r"(\\\[|\$\$|\\\()")
_NEXT_QUESTION = re.compile(
    r"^[#*\s]{0,6}(?:(?:Next|New|Another)\s)?(?:[Qq]uestion|Problem|Exercise|Q|User|Human|Input|Instruction)\s{0,2}\d{0,3}[*_]{0,2}:",
    re.MULTILINE,
)
_CHATTER = re.compile(
    r"[*_\s]*(?:let me know|i hope|hope this|feel free|if you (?:have|need|would|'d)|would you like|do you)\b",
    re.IGNORECASE,
)
_CONCLUSION = re.compile(
    r"(?:(?:so|thus|hence|therefore|finally|altogether|in total|in conclusion|consequently|then)\b,?"
    r"|the (?:total|sum|result|solutions?|values?|roots?|product|difference|remainder|number|final \w+)\b)"
    rf"[^=\n]{{0,120}}?(?:\b(?:{_BE}|gets?|have|has|obtain|find)|=)(?P<rest>[^\n]*)",
    re.IGNORECASE,
)
_BOLD_ALONE = re.compile(r"[-*•\s]*\*\*(?P<rest>[^*\n]{1,60})\*\*[.!\s]*")
_IS_ANSWER = re.compile(
    r"(?:(?:so|thus|hence|therefore),?\s)?(?P<rest>.{1,80}?)\s+is\s+(?:the|our|my)\s(?:final |correct )?answer\b.*",
    re.IGNORECASE,
)
_LABELLED = re.compile(r"[-*•\s]*(?:solution|result|total|conclusion|final)[*_\s]*[:=](?P<rest>.*)", re.IGNORECASE)
_IS_BOLD = re.compile(rf"[A-Z][^\n]*\b{_BE}\s+(?P<rest>\*\*[^*\n]{{1,200}}\*\*)[.!\s]*$")
_SENTENCE_END = re.compile(
    r"(?<!\bMr)(?<!\bMs)(?<!\bDr)(?<!\bSt)(?<!\bNo)(?<!\bvs)(?<!\bMrs)(?<!\bi\.e)(?<!\be\.g)(?<!\bsq)[.!?;](?=[*_]{0,2}(?:\s|$))"
)
_STRONG = re.compile(r"\*\*([^*\n]{1,200})\*\*|__([^_\n]{1,200})__")

Kind = Literal["box", "tag", "line", "phrase"]


@dataclass(frozen=True, slots=True)
class Statement:
    r"""One place where an answer is stated; ``text`` is what may hold it.

    ``kind`` is ``"box"`` (``\boxed{text}``), ``"tag"`` (``<answer>text</answer>``), ``"line"`` (``#### text`` or
    ``A: text``: the rest of the line) or ``"phrase"`` (``the answer is text``, ``Final answer: text``: the rest of
    the line, or the next line if nothing follows on this one).
    """

    kind: Kind
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


def own_text(completion: str) -> str:
    """A completion's words in plain characters: without thoughts and quotes, and only the end of a long text."""
    return plain("\n".join(own_lines(completion)))


def statements(text: str, *, a_lines: bool = True) -> list[Statement]:
    """Where a text states an answer, in order of position; the last ``MAX_STATEMENTS``.

    A markdown heading such as ``#### Step 4`` states none. Once an answer is stated, a line that begins with
    ``Question:``, ``Q:`` or the like ends the reading: a base model goes on with questions of its own.

    Args:
        text: a completion's ``own_text``.
        a_lines: whether ``A: …`` is read (in choice questions ``A:`` labels a choice).
    """
    marked = [(start, Statement("box", inside)) for start, inside in _boxes(text)]
    marked += [
        (tag.start(), Statement("tag", inside.strip()))
        for tag in _TAGGED.finditer(text)
        if (inside := tag[2] if tag[2] is not None else tag[3]).strip()
    ]
    marked += [(start, Statement("line", rest)) for start, rest in _lines(text, a_lines=a_lines)]
    for marker in (*_PHRASE.finditer(text), *_BARE_HEADING.finditer(text)):
        marked.append((marker.start(), Statement("phrase", _rest(text, marker.end()))))
    marked.sort(key=lambda pair: pair[0])
    end = _run_on(text, [start for start, statement in marked if statement.text])
    return [statement for start, statement in marked if start < end and statement.text][-MAX_STATEMENTS:]


def conclusion(text: str) -> str | None:
    """What the last sentence of a text concludes (``So we get 18.``: ``18.``), for texts without a marker, or None.

    A conclusion begins with ``so`` or the like or with ``the total`` or the like, ends with its answer in bold type
    (``The cost is **18 dollars**.``), follows ``Solution:``, or stands alone in bold. A last line such as
    ``Let me know …`` is passed over.
    """
    ends = [line.strip() for line in text[-MAX_STATEMENT_CHARACTERS:].splitlines() if line.strip()]
    last = next((line for line in reversed(ends) if not _CHATTER.match(line)), "")
    labelled = _LABELLED.fullmatch(last) or _BOLD_ALONE.fullmatch(last)
    if labelled:
        return labelled["rest"].strip(" *_")
    sentences = [sentence.strip() for sentence in _SENTENCE_END.split(last) if sentence.strip(" *_")]
    end = sentences[-1].lstrip("*_ ") if sentences else ""
    concluded = _IS_ANSWER.match(end) or _CONCLUSION.match(end) or _IS_BOLD.match(end)
    return concluded["rest"].strip() if concluded else None


def first_sentence(text: str) -> str:
    """``text`` up to the end of its first sentence; ``Mr.`` and the like end none."""
    return _SENTENCE_END.split(text, maxsplit=1)[0]


def strong(text: str) -> list[str]:
    """The pieces of ``text`` in bold type."""
    return [(first or second).strip() for first, second in _STRONG.findall(text)]


def _lines(text: str, *, a_lines: bool) -> Iterator[tuple[int, str]]:
    """(position, text) of every answer line; headings are skipped."""
    for marker in _HASHES.finditer(text):
        begins = not text[text.rfind("\n", 0, marker.start()) + 1 : marker.start()].strip(" *")
        rest = _rest(text, marker.end())
        if not (begins and _heads(text, marker.end(), rest)):
            yield marker.start(), rest
    if a_lines:
        for marker in _A_LINE.finditer(text):
            yield marker.start(), _rest(text, marker.end())
    for marker in _NUMBER_HEADING.finditer(text):
        yield marker.start(), _rest(text, marker.end())


def _heads(text: str, end: int, rest: str) -> bool:
    """Whether ``rest``, behind ``####`` at the start of a line, is the heading of what follows."""
    line_end = text.find("\n", end)
    body = line_end >= 0 and text[line_end : line_end + MAX_STATEMENT_CHARACTERS].strip() != ""
    heading = _HEADING.match(rest)
    if heading is None:
        return False
    return body or not (heading["counted"] or heading[0].strip("*_ ")[0].isdigit())


def _rest(text: str, start: int) -> str:
    """The rest of the line; of the next line with text if nothing but markup is left on this one."""
    end = text.find("\n", start)
    end = len(text) if end < 0 else end
    while not text[start:end].strip(_MARKUP) and end < len(text):
        start, end = end + 1, text.find("\n", end + 1)
        end = len(text) if end < 0 else end
        if bullet := _BULLET.match(text, start, end):
            start += len(bullet[0])
    rest = text[start : min(end, start + MAX_STATEMENT_CHARACTERS)].strip()
    if rest.startswith(("** ", "__ ")) or (rest.startswith("**") and rest.count("**") % 2):  # of the marker
        rest = rest[2:].strip()
    opening = _OPEN_MATH.match(rest)
    if opening:
        closing = {r"\[": r"\]", "$$": "$$", r"\(": r"\)"}[opening[1]]
        whole = text[start : start + MAX_STATEMENT_CHARACTERS].lstrip()
        close = whole.find(closing, 2)
        if close >= len(rest):
            return " ".join(whole[: close + 2].split())
    return rest


def _run_on(text: str, starts: list[int]) -> int:
    """Where the model begins to answer questions of its own; the length of the text if it does not."""
    first = starts[0] if starts else len(text)
    return next((match.start() for match in _NEXT_QUESTION.finditer(text, first) if match.start() > first), len(text))


def _boxes(text: str) -> Iterator[tuple[int, str]]:
    r"""(position, content) of every ``\boxed``; unclosed, empty and inner ones are skipped, runs are joined.

    Boxes that one sentence lists (``\boxed{1}`` or ``\boxed{2}``) are one statement, ``1,2``; boxes that different
    variables equal (``$x=\boxed{3}$, $y=\boxed{2}$``) are ``(3,2)``.
    """
    run: list[tuple[int, int, str]] = []  # start, end, content
    for box in _single_boxes(text):
        if run and not _LISTED.fullmatch(text[run[-1][1] : box[0]]):
            yield run[0][0], _joined(text, run)
            run = []
        run.append(box)
    if run:
        yield run[0][0], _joined(text, run)


_PLACEHOLDER = re.compile(
    r"[\s\\<\[(]*(?:\\?text\s?\{)?\s*(?:(?:your|the|final|my)[\s_]+){0,2}(?:answer|result)(?:\s+here)?[\s>\])}.]*",
    re.IGNORECASE,
)
_GAP = r"(?:[\s$,&]|\\\\|\\quad|\\q?quad|\\[()\[\],; ])"
_LISTED = re.compile(
    rf"(?!\s*\Z){_GAP}{{0,8}}(?:[A-Za-z]{{3,20}}{_GAP}{{0,4}})?(?:[,;]|and|or|\\q?quad|\\text\s?\{{\s?(?:and|or)\s?\}}){_GAP}{{0,8}}"
    rf"(?:and|or)?{_GAP}{{0,8}}(?:[A-Za-z](?:_\{{?\w\}}?)?\s?=\s?)?{_GAP}{{0,4}}"
)
_VARIABLE = re.compile(r"([A-Za-z](?:_\{?\w\}?)?)\s?=\s?\Z")


def _joined(text: str, run: list[tuple[int, int, str]]) -> str:
    if len(run) == 1:
        return run[0][2]
    names = [name[1] for start, _, _ in run if (name := _VARIABLE.search(text[max(0, start - 10) : start]))]
    listed = ",".join(content for _, _, content in run)
    return f"({listed})" if len(set(names)) == len(run) else listed


def _single_boxes(text: str) -> Iterator[tuple[int, int, str]]:
    closing: dict[int, int] = {}
    opened: list[int] = []
    for brace in _BRACE.finditer(text):
        if brace[0] == "{":
            opened.append(brace.start())
        elif brace[0] == "}" and opened:
            closing[opened.pop()] = brace.start()
    outer = 0
    for box in list(_BOXED.finditer(text))[-MAX_STATEMENTS:]:
        if box.start() < outer:
            continue
        if box[1]:
            end = closing.get(box.start(1))
            if end is None:
                continue
            inside, after = text[box.end() : end].strip(), end + 1
        else:
            inside, after = box[2] or box[3] or "", box.end()
        if inside and not _PLACEHOLDER.fullmatch(inside):
            outer = after
            yield box.start(), after, _unboxed(inside)


def _unboxed(inside: str) -> str:
    r"""``\boxed{…}`` within a box gives way to what it holds."""
    return re.sub(r"\\(?:boxed|fbox|framebox)\s?\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", r"\1", inside)
