"""Accuracy against cost: the settings worth having, and accuracy at exactly some cost, with paired resamples.

Shapes: V settings of a rule, Q questions, B resamples. What a rule does on a question is its mean over the orders in
which the question's draws can be seen, so a question is one row, however many orders there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from tracer_agents.evaluation.statistics import bootstrap_p, interval95

_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What the settings of one rule come to, from the cheapest to the dearest.

    Args:
        right: chance of a right answer, float of shape (V, Q).
        cost: float of shape (V, Q).
    """

    right: np.ndarray
    cost: np.ndarray

    def points(self) -> list[tuple[float, float]]:
        """(Mean cost, accuracy) of every setting."""
        return [(float(cost), float(right)) for cost, right in zip(self.cost.mean(1), self.right.mean(1), strict=True)]


def envelope(points: Mapping[_Key, tuple[float, float]]) -> list[_Key]:
    """The settings that are best at some price ≥ 0: the upper concave envelope of (cost, accuracy), cheapest first.

    Of settings with equal points the first stays.
    """
    ordered = sorted(points, key=lambda key: (points[key][0], -points[key][1]))  # stable: the first of equals
    kept: list[_Key] = []
    for key in ordered:
        cost, accuracy = points[key]
        if kept and accuracy <= points[kept[-1]][1]:
            continue  # costs no less and is no better
        while len(kept) > 1 and _below(points[kept[-2]], points[kept[-1]], (cost, accuracy)):
            kept.pop()
        kept.append(key)
    return kept


def _below(left: tuple[float, float], middle: tuple[float, float], right: tuple[float, float]) -> bool:
    """Whether the middle point lies on or below the line from left to right."""
    return (middle[1] - left[1]) * (right[0] - left[0]) <= (right[1] - left[1]) * (middle[0] - left[0])


def accuracy_at(curve: Curve, unit: np.ndarray, ratio: float, counts: np.ndarray | None = None) -> np.ndarray:
    """Accuracy at exactly ``ratio`` times the mean unit, by mixing the two settings whose costs are on either side.

    Which two is settled on all questions; the mixture is that which costs ``ratio`` in each resample. Where all
    settings cost less, it is the dearest as it is, where all cost more, the cheapest.

    Args:
        curve: of a rule.
        unit: what one answer costs, float of shape (Q,).
        ratio: of mean cost to mean unit.
        counts: how often each resample holds each question, (B, Q); None: once each.

    Returns:
        Float of shape (B,), or (1,) without resamples.
    """
    order = np.argsort(curve.cost.mean(axis=1), kind="stable")
    relative = curve.cost.mean(axis=1)[order] / unit.mean()
    above = int(np.searchsorted(relative, ratio, side="right"))
    counts = np.ones((1, len(unit))) if counts is None else counts.astype(float)
    size = counts.sum(axis=1)

    def mean(values: np.ndarray) -> np.ndarray:
        return counts @ values / size

    if above in (0, len(order)):
        return mean(curve.right[order[max(0, above - 1)]])
    cheap, dear = order[above - 1], order[above]
    target = ratio * mean(unit)
    low, high = mean(curve.cost[cheap]), mean(curve.cost[dear])
    share = np.divide(target - low, high - low, out=np.ones_like(low), where=high != low)
    return (1 - share) * mean(curve.right[cheap]) + share * mean(curve.right[dear])


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One rule's accuracy less another's, with its 95% percentile interval and a two-sided p-value."""

    estimate: float
    low: float
    high: float
    p: float


def difference(a: Sequence[tuple[np.ndarray, np.ndarray]], b: Sequence[tuple[np.ndarray, np.ndarray]]) -> Difference:
    """The mean difference over cells, resampled within each: a question's draws and orders go together.

    Args:
        a: per cell, the estimate, (1,), and the values in its resamples, (B,).
        b: the same of the other rule, in the same resamples.
    """
    draws = np.mean([mine - theirs for (_, mine), (_, theirs) in zip(a, b, strict=True)], axis=0)
    low, high = interval95(draws[:, None])[:, 0]
    return Difference(
        estimate=float(np.mean([mine[0] - theirs[0] for (mine, _), (theirs, _) in zip(a, b, strict=True)])),
        low=float(low),
        high=float(high),
        p=bootstrap_p(draws),
    )


def orders_of(questions: int, draws: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """Orders in which draws are seen, int of shape (count, questions, draws): the first as they were drawn."""
    drawn = np.tile(np.arange(draws), (questions, 1))
    return np.stack([drawn, *(rng.permuted(drawn, axis=1) for _ in range(count - 1))])
