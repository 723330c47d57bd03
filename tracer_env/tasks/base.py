"""What a task is: questions with gold answers in disjoint splits, and how an answer is read and graded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from tracer_env.grading.base import Grade

__all__ = ["SPLITS", "Grade", "Question", "Split", "Task"]

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One question; ``id`` is stable across runs and machines, ``gold`` is in the task's canonical form."""

    id: str
    text: str
    gold: str


class Task(Protocol):
    """A source of questions and the judge of answers. Implementations are immutable after construction."""

    @property
    def name(self) -> str:
        """The task's name."""
        ...

    @property
    def trainable(self) -> bool:
        """False: evaluation only; asking for the train split raises LeakageError."""
        ...

    @property
    def answer_format(self) -> str:
        """How a completion must end, told to chat models: ``#### <number>``, ``\\boxed{…}``, ``#### <letter>``."""
        ...

    def draw(self, split: Split, start: int, count: int, *, seed: int) -> list[Question]:
        """Questions ``start … start+count−1`` of the split's stream: a pure function of its arguments.

        ``train`` is endless (finite data sets start a new seeded permutation each epoch); ``validation`` and
        ``test`` end with the data, so fewer than ``count`` may come back. ``validation`` is never trained on.

        Raises:
            LeakageError: ``train`` or ``validation`` asked of an evaluation-only task.
        """
        ...

    def parse(self, completion: str) -> str | None:
        """The canonical answer in a completion, or None; text quoted from another agent never counts."""
        ...

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """Grades answers against golds, one for one (a batch, as grading may cross a process boundary)."""
        ...
