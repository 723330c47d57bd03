"""One member's draws as arrays, on which every stopping rule is a few array operations.

Shapes: Q questions, K draws of each, A distinct answers of the question with the most. A question's answers are
numbered by their first occurrence, so that ``argmax`` gives a tie to the earliest; −1 stands for one that cannot be
read.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

import numpy as np

from tracer_agents.rollout.pools import Draw, PooledQuestion
from tracer_env.dialogue import Utterance

Setting = tuple[float | str, ...]  # of a rule: what is tuned
_Made = TypeVar("_Made")


def generated_tokens(utterance: Utterance) -> float:
    """What an utterance costs where only generated tokens count."""
    return float(utterance.generated_tokens)


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """The draws of one member, each with its first review.

    Args:
        questions: theirs, in order.
        draws: those of each question, in the order in which rules look at them.
        answers: int of shape (Q, K).
        right: whether an answer is right, bool of shape (Q, A).
        cost: of the first 1, 2, … proposals, float of shape (Q, K).
        reviewed_cost: the same with the first review of each.
        logp: mean log-probability of the tokens, NaN where unknown, float of shape (Q, K).
        p_right: that the first review says RIGHT, NaN where unknown, float of shape (Q, K).
    """

    questions: tuple[PooledQuestion, ...]
    draws: tuple[tuple[Draw, ...], ...]
    answers: np.ndarray
    right: np.ndarray
    cost: np.ndarray
    reviewed_cost: np.ndarray
    logp: np.ndarray
    p_right: np.ndarray
    memory: dict = field(default_factory=dict)  # what rules have computed of it

    def graded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which draws can be read, bool (Q, K); and of these, in order, whether each is right, and its question."""
        readable = self.answers >= 0
        right = np.take_along_axis(self.right, np.maximum(self.answers, 0), axis=1)[readable]
        return readable, right, np.nonzero(readable)[0]

    @classmethod
    def of(
        cls,
        questions: Sequence[PooledQuestion],
        member: int = 0,
        *,
        cost: Callable[[Utterance], float] = generated_tokens,
        orders: np.ndarray | None = None,
    ) -> "Table":
        """The table of a pool.

        Args:
            questions: of the pool.
            member: whose draws.
            cost: of an utterance.
            orders: the place of the 1st, 2nd, … draw that rules see, int of shape (Q, K); by default the pool's order.
        """
        k = min(len(question.members[member]) for question in questions)
        orders = np.tile(np.arange(k), (len(questions), 1)) if orders is None else orders
        draws = tuple(
            tuple(question.members[member][place] for place in order)
            for question, order in zip(questions, orders, strict=True)
        )
        shape = len(draws), len(draws[0])
        answers = np.full(shape, -1)
        numbers: list[dict[str, int]] = [{} for _ in draws]
        for q, row in enumerate(draws):
            for place, draw in enumerate(row):
                if (answer := draw.utterance.answer) is not None:
                    answers[q, place] = numbers[q].setdefault(answer, len(numbers[q]))
        right = np.zeros((len(draws), max(1, *map(len, numbers))), dtype=bool)
        for q, row in enumerate(draws):
            right[q, [numbers[q][draw.utterance.answer] for draw in row if draw.right and draw.utterance.answer]] = True
        spoken = _array(draws, lambda draw: cost(draw.utterance))
        reviews = _array(draws, lambda draw: cost(draw.reviews[0]) if draw.reviews else 0.0)
        return cls(
            questions=tuple(questions),
            draws=draws,
            answers=answers,
            right=right,
            cost=spoken.cumsum(axis=1),
            reviewed_cost=(spoken + reviews).cumsum(axis=1),
            logp=_array(draws, lambda draw: _known(draw.utterance.mean_logp)),
            p_right=_array(draws, lambda draw: _known(draw.reviews[0].p_right if draw.reviews else None)),
        )

    @property
    def k(self) -> int:
        """Draws per question."""
        return self.answers.shape[1]

    @property
    def reviewed(self) -> bool:
        """Whether every draw has a review."""
        return all(draw.reviews for row in self.draws for draw in row)

    @cached_property
    def given(self) -> np.ndarray:
        """Which answer each draw gave, bool of shape (Q, K, A)."""
        return self.answers[:, :, None] == np.arange(self.right.shape[1])

    @cached_property
    def counts(self) -> np.ndarray:
        """How many of the first 1, 2, … draws gave each answer, int of shape (Q, K, A)."""
        return self.given.cumsum(axis=1)

    @cached_property
    def plurality(self) -> np.ndarray:
        """The most frequent answer of the first 1, 2, … draws, int of shape (Q, K)."""
        return leading(self.counts)

    @cached_property
    def two_largest(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest and the second largest count after 1, 2, … draws, int of shape (Q, K) each."""
        padded = np.concatenate([self.counts, np.zeros((*self.counts.shape[:2], 1), dtype=int)], axis=2)
        ordered = np.sort(padded, axis=2)
        return ordered[:, :, -1], ordered[:, :, -2]

    def remembered(self, name: object, make: Callable[[], _Made]) -> _Made:
        """What was computed of the table once."""
        if name not in self.memory:
            self.memory[name] = make()
        return self.memory[name]


def _array(draws: Sequence[Sequence[Draw]], value: Callable[[Draw], float]) -> np.ndarray:
    return np.array([[value(draw) for draw in row] for row in draws], dtype=float)


def _known(value: float | None) -> float:
    return np.nan if value is None else value


def leading(weights: np.ndarray) -> np.ndarray:
    """The answer with the largest weight, (…, A) -> (…); −1 where none has any."""
    return np.where(weights.max(axis=-1) > 0, weights.argmax(axis=-1), -1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stopped:
    """What a rule did on every question of a table.

    Args:
        draws: how many it looked at, ≥ 1, int of shape (Q,).
        answer: the number of its answer, −1: none, int of shape (Q,).
        reviews: whether it also looked at the first review of each.
    """

    draws: np.ndarray
    answer: np.ndarray
    reviews: bool = False

    def right(self, table: Table) -> np.ndarray:
        """Whether its answers are right, bool of shape (Q,)."""
        return (self.answer >= 0) & table.right[np.arange(len(self.answer)), self.answer]

    def cost(self, table: Table) -> np.ndarray:
        """What it looked at cost, float of shape (Q,)."""
        spent = table.reviewed_cost if self.reviews else table.cost
        return spent[np.arange(len(self.draws)), self.draws - 1]


Policy = Callable[[Table], Stopped]
Family = Callable[[Table], Mapping[Setting, Policy]]  # the training table -> a rule's settings


def first_stop(stop: np.ndarray, answers: np.ndarray, most: int, *, reviews: bool = False) -> Stopped:
    """Stops at the first draw where a rule says so, or after the last that is allowed.

    Args:
        stop: whether it says so after 1, 2, … draws, bool of shape (Q, K).
        answers: what it answers then, int of shape (Q, K).
        most: draws at most, 1 ≤ most ≤ K.
        reviews: whether it looks at reviews.
    """
    stop = stop[:, :most].copy()
    stop[:, -1] = True
    last = stop.argmax(axis=1)
    return Stopped(draws=last + 1, answer=answers[np.arange(len(last)), last], reviews=reviews)


def thresholds(values: np.ndarray, count: int) -> list[float]:
    """Quantiles of what is known of some values, at most so many different ones."""
    known = values[np.isfinite(values)]
    return [float(each) for each in np.unique(np.quantile(known, np.linspace(0, 1, count)))] if known.size else []
