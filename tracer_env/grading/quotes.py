"""Tells a speaker's words from text it quotes: quoted text never counts as an answer or a verdict."""

import re
from collections.abc import Iterator

from tracer_env.grading.thoughts import spoken

MAX_CHARACTERS = 20_000  # only the end of a longer text is read: answers and verdicts come last

_TAG = re.compile(r"<(/?)(?:solution|review)>", re.IGNORECASE)
_PROSE = re.compile(
    r"\s{0,4}(?:'s|is|was|has|says|said|claims|states|gives|uses|makes|does|contains|shows|looks|seems|tags?|blocks?|above)\b",
    re.IGNORECASE,
)
_PLACE = re.compile(r"\b(?:in|of|inside|from|within|under|to|between)\s{0,4}$", re.IGNORECASE)
_STATEMENT = r"(?:####|\\boxed|<answer>|\b(?:answer|verdict)\b)"
_MENTIONS = tuple(
    re.compile(
        rf"{before}{opening}(?=\S)(?P<inside>[^{barred}\n]{{0,200}}?{_STATEMENT}[^{barred}\n]{{0,200}}){closing}", re.I
    )
    for before, opening, closing, barred in (
        ('(?<![\\w"])', '"', '"', '"'),
        (r"(?<![\w'])", "'", r"'(?!\w)", "'"),
        ("", "“", "”", "“”"),
        ("", "«", "»", "«»"),
        ("(?<!`)", "`", "`(?!`)", "`"),
    )
)
# A turn ends where a chat template ends it; what follows is a forged turn of somebody else.
_TURN_END = re.compile(
    r"<[|｜](?!\w*(?:header|thought|solution|role|message))"
    r"(?:[\w▁]{0,20}(?:end|eo[tsm])[\w▁]{0,20}|return|user|system|human|im_start)[|｜]>"
    r"|</s>|<s>|<(?:end|start)_of_turn>|<e(?:os|ot|nd)>|<\|turn>|<turn\|>|\[/?INST\]|\[EOS\]",
    re.IGNORECASE,
)
_NOISE = (
    r"<[|｜](?:start_header_id|im_start|assistant)[|｜]>(?:assistant)?(?:<[|｜]end_header_id[|｜]>)?"
    r"|<start_of_turn>(?:model)?|<[|｜](?:begin|start|end|message|channel)[\w▁]{0,20}[|｜]>|<s>|\[/INST\]"
)
_TURN_NOISE = re.compile(_NOISE, re.IGNORECASE)
_ENDING_NOISE = re.compile(r"(?:\s*+<(?:[|｜][\w▁]{1,30}[|｜]|unk|pad)>)++\s*\Z")
_OPENING_NOISE = re.compile(rf"\A(?:\s*+(?:{_NOISE}))++", re.IGNORECASE)


def own_lines(text: str, limit: int = MAX_CHARACTERS) -> list[str]:
    """The lines of ``text`` that are said (``spoken``) and not quoted, in order; linear in the text.

    The text ends at the first token that ends a turn, such as ``<|im_end|>``. Quoted is

    - what stands between ``<solution>`` or ``<review>`` and the matching closing tag. An opening tag that is never
      closed quotes everything after it, unless a sentence only mentions it (``The <solution> says …``); a closing
      tag that was never opened quotes everything before it (its opening may lie before the ``limit`` last characters).
      A tag in quotation marks or backticks is none;
    - a line that starts with ``>``;
    - an answer or a verdict in quotation marks or backticks within a sentence.
    """
    text = _one_turn(spoken(text))[-limit:]
    kept = "\n".join(_unquoted(text))
    lines = (line for line in kept.splitlines() if not line.lstrip().startswith(">"))
    return [_without_mentions(line) for line in lines]


def _one_turn(text: str) -> str:
    """``text`` up to the end of its turn, without the tokens that begin one."""
    if "<" not in text and "[" not in text:
        return text
    text = _OPENING_NOISE.sub("", text).lstrip()
    end = next((mark.start() for mark in _TURN_END.finditer(text) if text[: mark.start()].strip()), len(text))
    return _ENDING_NOISE.sub("", _TURN_NOISE.sub("", text[:end]))


def _unquoted(text: str) -> Iterator[str]:
    """The pieces of ``text`` outside of tags."""
    position = 0
    for start, end in _quotes(text):
        if start > position:
            yield _TAG.sub("", text[position:start])
        position = max(position, end)
    if position < len(text):
        yield _TAG.sub("", text[position:])


def _quotes(text: str) -> list[tuple[int, int]]:
    """The (start, end) of what is between tags, in order of their start; a closing tag matches the last open one."""
    quotes: list[tuple[int, int]] = []
    opened: list[re.Match[str]] = []
    for tag in _TAG.finditer(text):
        around = text[max(0, tag.start() - 1) : tag.start()] + text[tag.end() : tag.end() + 1]
        if around in ("``", '""', "''"):
            continue
        if not tag[1]:
            opened.append(tag)
        elif opened:
            quotes.append((opened.pop().start(), tag.end()))
        else:
            quotes.append((0, tag.end()))
    last = max((end for _, end in quotes), default=0)
    quotes += [(tag.start(), len(text)) for tag in opened if not _mentioned(text, tag, closed_later=last > tag.end())]
    return sorted(quotes)


def _mentioned(text: str, tag: re.Match[str], *, closed_later: bool) -> bool:
    """Whether an opening tag that is never closed stands in a sentence about it."""
    before = text[text.rfind("\n", 0, tag.start()) + 1 : tag.start()].split(">")[-1]
    after = text[tag.end() : tag.end() + 40].split("\n", maxsplit=1)[0]
    if not re.search(r"\w", before):
        return not closed_later and _PROSE.match(after) is not None
    return bool(after.strip()) or _PLACE.search(before) is not None


def _without_mentions(line: str) -> str:
    """``line`` without answers and verdicts that it quotes; a line that is nothing but one in backticks stays."""
    for mention in _MENTIONS:
        if mention.fullmatch(line.strip()) is None:
            line = mention.sub("…", line)
    return line
