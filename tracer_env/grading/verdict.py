"""Reads the verdict out of a review."""

import re

from tracer_env.dialogue import Verdict
from tracer_env.grading.quotes import own_lines

_STATEMENT = re.compile(r"\bverdict\W{1,8}(right|wrong)\b", re.IGNORECASE)


def parse_verdict(completion: str) -> Verdict | None:
    """The verdict stated by the last line that states one, or None.

    A line states a verdict with ``Verdict: RIGHT`` or ``Verdict: WRONG``, in any case, with markup such as
    ``**`` between the words allowed. Quoted text never counts (``own_lines``). A reviewer may change its
    mind: later lines win. A line that states both verdicts states none, and neither do the lines before it:
    its author ended undecided, so the review has no verdict.
    """
    for line in reversed(own_lines(completion)):
        stated = {word.upper() for word in _STATEMENT.findall(line)}
        if stated:
            return Verdict(stated.pop()) if len(stated) == 1 else None
    return None
