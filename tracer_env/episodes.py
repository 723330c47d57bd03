"""Turns an episode seed into the question that the episode plays."""

from functools import cached_property
from operator import index

from tracer_env.errors import ConfigError, DataError
from tracer_env.seeding import EPISODES
from tracer_env.tasks.base import SPLITS, Question, Split, Task

_RUN = 32  # questions drawn at once when they are asked for in order


class EpisodeSource:
    """The questions of one split, addressed by episode seed.

    Seed ``s`` plays question ``s mod 2**31`` of the split's stream (stream seed 0); a finite split of ``n``
    questions is taken round, so that seeds ``0 … n−1`` play each of its questions once, in order. Questions asked
    for one after the other are drawn some at a time, which is cheaper for most tasks.

    Args:
        task: where questions come from.
        split: ``"train"``, ``"validation"`` or ``"test"``.

    Raises:
        ConfigError: no such split.
    """

    def __init__(self, task: Task, split: Split) -> None:
        if split not in SPLITS:
            raise ConfigError(f"split must be one of {SPLITS}, got {split!r}")
        self.task = task
        self.split: Split = split
        self._drawn: tuple[int, list[Question]] = (0, [])  # a run of the stream: where it starts, and what it holds

    def question(self, seed: int) -> Question:
        """The question of episode ``seed``: a pure function of the task, the split and the seed.

        Raises:
            DataError: the split is empty.
            LeakageError: the split may not be played with this task.
        """
        position = seed % EPISODES
        return self._at(position) or self._at(position % self._size) or self._missing()

    def _at(self, position: int) -> Question | None:
        start, questions = self._drawn
        if not start <= position < start + len(questions):
            following = questions and position == start + len(questions)
            questions = self.task.draw(self.split, position, _RUN if following else 1, seed=0)
            start = position
            if questions:
                self._drawn = start, questions
        return questions[position - start] if questions else None

    @cached_property
    def _size(self) -> int:
        """The number of questions of a finite split, at least 1: found by doubling, then by bisection."""
        most = 1
        while self._at(most):
            most *= 2
        least = most // 2  # the last known question; ``most`` is past the end
        while most - least > 1:
            middle = (least + most) // 2
            least, most = (middle, most) if self._at(middle) else (least, middle)
        return most

    def _missing(self) -> Question:
        raise DataError(f"task {self.task.name!r} has no questions in its {self.split!r} split; choose another split")


def checked_seed(seed: int) -> int:
    """``seed`` as an ``int``.

    Raises:
        ConfigError: not an integer, or negative.
    """
    try:
        value = index(seed)
    except TypeError:
        value = -1
    if value < 0:
        raise ConfigError(f"seed must be an integer ≥ 0 or None, got {seed!r}")
    return value
