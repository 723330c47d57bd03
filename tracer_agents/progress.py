"""How far a stage has got, counted in utterances: those who generate count, and whoever watches is told.

Engines count completions as they come, so that a single batched call of an hour is seen to get on.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[int, int], None]  # how many utterances there are, and how many are expected at most


class _Count:
    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._expected = 0
        self._done = 0
        self._end = 0  # of the call under way

    def expect(self, count: int) -> None:
        self._expected += count

    def begin(self, count: int) -> None:
        self._end = self._done + count

    def come(self, count: int) -> None:
        count = min(count, self._end - self._done)
        self._done += count
        if count and self._done <= self._expected:
            self._tell(self._done, self._expected)

    def end(self) -> None:
        self.come(self._end - self._done)


_present: ContextVar[_Count | None] = ContextVar("utterances", default=None)


@contextmanager
def watched(tell: Tell) -> Iterator[None]:
    """While it is open, ``tell`` is told how many of the expected utterances there are, whenever more come."""
    before = _present.set(_Count(tell))
    try:
        yield
    finally:
        _present.reset(before)


def expect(count: int) -> None:
    """So many more utterances will be asked for, or will turn out not to be wanted."""
    if (present := _present.get()) is not None:
        present.expect(count)


@contextmanager
def call(count: int, of: int | None = None) -> Iterator[None]:
    """One batched call for ``count`` utterances; at its end all of them count as done, whether an engine counts or not.

    ``of`` is how many were expected at this place, where some of them are not wanted: those count as done at once.
    """
    present = _present.get()
    if present is None:
        yield
        return
    present.begin(count if of is None else of)
    present.come(0 if of is None else of - count)
    yield
    present.end()


def come(count: int = 1) -> None:
    """So many completions of the present call have come."""
    if (present := _present.get()) is not None:
        present.come(count)
