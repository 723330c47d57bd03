"""Tells a speaker's own words from text it quotes: quoted text never counts as an answer or a verdict."""

import re

from tracer_env.grading.thoughts import spoken

MAX_CHARACTERS = 20_000  # only the end of a longer text is read: answers and verdicts come last
_TAG = re.compile(r"<(/?)(solution|review)>", re.IGNORECASE)


def own_lines(text: str, limit: int = MAX_CHARACTERS) -> list[str]:
    """The lines of ``text`` that are said (``spoken``) and not quoted, in order; linear in the text.

    Quoted is what stands between ``<solution>`` or ``<review>`` and the matching closing tag, and any line
    starting with ``>``. An opening tag that is never closed quotes everything after it; a closing tag that was
    never opened quotes everything before it (its opening may lie before the ``limit`` last characters).
    """
    text = spoken(text)[-limit:]
    own: list[str] = []
    depth = position = 0
    for tag in _TAG.finditer(text):
        if depth == 0:
            own.append(text[position : tag.start()])
        if tag[1]:
            if depth == 0:
                own.clear()
            depth = max(0, depth - 1)
        else:
            depth += 1
        position = tag.end()
    if depth == 0:
        own.append(text[position:])
    return [line for line in "\n".join(own).splitlines() if not line.lstrip().startswith(">")]
