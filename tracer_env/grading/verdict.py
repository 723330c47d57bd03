"""Reads the verdict out of a review."""

import re

from tracer_env.dialogue import Verdict
from tracer_env.grading.quotes import own_lines

_FENCE = re.compile(r"\s{0,3}(?:```|~~~)")
_STATEMENT = re.compile(
    r"(?:^|[.!?;]\s|[—–])[^A-Za-z\"'`“”«»‘’]{0,12}"
    r"(?:(?:so|thus|hence|therefore|my|our|the|final|overall|(?:in )?conclusion|finally|in summary|and)"
    r"[\s,:*_]{1,4}){0,4}"
    r"verdict[\W_]{1,8}(?:right|wrong)(?![A-Za-z])(?P<after>.{0,200})",
    re.IGNORECASE,
)
_OPENED = re.compile(r"^[\s#*_|\-]{0,8}(?:(?:my|the|final|overall)\s)?verdict[*_]{0,2}\s?[:=]", re.IGNORECASE)
_UNDECIDED = re.compile(
    r"\W{0,6}(?:\?|(?:or|and|vs|versus)\b\W{0,6}(?:verdict\W{0,8}|maybe |perhaps )?(?:right|wrong)\b"
    r"|(?:[/|>→-]{1,2}|~~)\W{0,4}(?:right|wrong)\b"
    r"|(?:if|unless|provided|assuming|maybe|perhaps|probably|possibly|i guess|i think|not sure|unsure|or not|except"
    r"|apart from)\b|(?<![.!;:]\s)(?<![.!;:(—–-])(?:right|wrong)\b(?!\s+(?:answer|value|result))"
    r"|[^.!?]{0,120}\b(?:unsure|not (?:entirely |fully |quite )?(?:sure|certain))\b)",
    re.IGNORECASE,
)
_AGAIN = re.compile(r"verdict[\W_]{1,8}(right|wrong)(?![A-Za-z])", re.IGNORECASE)


def parse_verdict(completion: str) -> Verdict | None:
    """The verdict stated by the last line that states one, or None.

    A line states a verdict with ``Verdict: RIGHT`` or ``Verdict: WRONG`` where a sentence begins, in any case, with
    markup such as ``**`` between the words allowed. What is quoted (``own_lines``) or stands in a code fence never
    counts, and neither does what is denied, asked, hedged or conditional (``Verdict: RIGHT if …``). A reviewer may
    change its mind: later lines win. But a review that ends undecided has no verdict, whatever came before: its last
    verdict names both (``Verdict: RIGHT or WRONG``) or neither (``Verdict: unsure``), or is two lines, one for each,
    as the prompt lists them.
    """
    rows = [row for row in _outside_fences(own_lines(completion)) if row.strip()]
    for index in range(len(rows) - 1, -1, -1):
        stated = _stated(rows[index])
        if stated is None:
            continue
        before = _stated(rows[index - 1]) if index else None
        both = before is not None and len(before | stated) > 1
        return Verdict(next(iter(stated))) if len(stated) == 1 and not both else None
    return None


def _stated(row: str) -> set[str] | None:
    """The verdicts that a line states: one, or none or both if it is undecided; None if it states nothing."""
    statements = list(_STATEMENT.finditer(row))
    if not statements:
        return set() if _OPENED.match(row) else None
    if any(_UNDECIDED.match(statement["after"]) for statement in statements):
        return set()
    return {verdict.upper() for verdict in _AGAIN.findall(row)}


def _outside_fences(rows: list[str]) -> list[str]:
    outside: list[str] = []
    fenced = False
    for row in rows:
        if _FENCE.match(row):
            fenced = not fenced
        elif not fenced:
            outside.append(row)
    return outside
