"""What a message says about a name that does not exist: the nearest that does."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: object, known: Iterable[str]) -> str:
    """What a message adds about a name that is none of the known ones: the nearest of them, or nothing.

    Case does not matter for what is near.
    """
    by_lower = {each.lower(): each for each in known}
    close = get_close_matches(str(name).lower(), list(by_lower), n=1)
    return f"; did you mean {by_lower[close[0]]}?" if close else ""
