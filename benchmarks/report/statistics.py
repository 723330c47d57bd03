"""Intervals and tests for methods that answered the same questions: pure functions on arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats
from statsmodels.stats.multitest import multipletests

RESAMPLES = 10_000
_BATCH = 500  # resamples held in float64 at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Resamples:
    """Bootstrap resamples of the rows of one task, the same for every column: differences come out paired.

    Args:
        cluster: of every row, int of shape (rows,).
        counts: how often each resample holds each cluster, uint16 of shape (resamples, clusters).
    """

    cluster: np.ndarray
    counts: np.ndarray

    def sums(self, columns: np.ndarray) -> np.ndarray:
        """The sum of every column over the rows of every resample: (rows, k) -> (resamples, k)."""
        totals = np.zeros((self.counts.shape[1], columns.shape[1]))
        np.add.at(totals, self.cluster, columns)
        batches = range(0, len(self.counts), _BATCH)
        return np.concatenate([self.counts[at : at + _BATCH].astype(np.float64) @ totals for at in batches])


def draw_resamples(
    seeds: Sequence[int] | np.ndarray,
    question_ids: Sequence[str] | np.ndarray,
    *,
    resamples: int,
    rng: np.random.Generator,
) -> Resamples:
    """Resamples questions, stratified over seeds.

    The rows of one question under several seeds are one cluster, drawn together: answers to the same question are
    not independent. Clusters are drawn with replacement within their stratum, the questions that the same seeds
    have. So where every seed has questions of its own, questions are resampled within each seed; where all seeds
    share their questions, questions are resampled jointly.

    Args:
        seeds: of every row.
        question_ids: of every row; a pair of seed and question comes once.
        resamples: how many.
        rng: of the draws.
    """
    ids, cluster = np.unique(np.asarray(question_ids, dtype=str), return_inverse=True)
    seeds_of: list[list[int]] = [[] for _ in ids]
    for seed, of in zip(seeds, cluster, strict=True):
        seeds_of[of].append(seed)
    patterns = [tuple(sorted(own)) for own in seeds_of]
    counts = np.zeros((resamples, len(ids)), dtype=np.uint16)
    for pattern in sorted(set(patterns)):
        members = np.array([at for at, own in enumerate(patterns) if own == pattern])
        even = np.full(len(members), 1 / len(members))
        for at in range(0, resamples, _BATCH):
            batch = slice(at, min(at + _BATCH, resamples))
            counts[batch, members] = rng.multinomial(len(members), even, size=batch.stop - batch.start)
    return Resamples(cluster=cluster, counts=counts)


def interval95(draws: np.ndarray) -> np.ndarray:
    """Percentile interval of every column, (resamples, k) -> (2, k); draws that are undefined (NaN) are left out."""
    out = np.full((2, draws.shape[1]), np.nan)
    defined = ~np.isnan(draws).all(axis=0)
    out[:, defined] = np.nanpercentile(draws[:, defined], [2.5, 97.5], axis=0)
    return out


def ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """``above / below`` elementwise, NaN where ``below`` is 0."""
    return np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below != 0)


def mcnemar_p(a: np.ndarray, b: np.ndarray) -> float:
    """Exact two-sided McNemar test that ``a`` and ``b``, bool of shape (n,), are right equally often.

    It takes the n pairs as independent, which holds where every seed has questions of its own.
    """
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    return float(stats.binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment of a family of p-values, in their order."""
    return np.asarray(multipletests(p_values, method="holm")[1]) if len(p_values) else np.zeros(0)


def probability_of_improvement(
    x: Sequence[np.ndarray], y: Sequence[np.ndarray], *, resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """P(X > Y) over runs within a task, a tie counting ½, averaged over tasks: (estimate, low, high of 95%).

    Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4.3; the
    interval is their stratified bootstrap: runs are resampled within each task, for X and Y apart. It speaks of
    runs, of which there are few: with three seeds it is wide, and it is a point when one side always wins.

    Args:
        x: one array a task, the scores of X's runs.
        y: the same of Y, tasks in the same order.
        resamples: of the interval.
        rng: of the interval.
    """

    def of(scores_x: np.ndarray, scores_y: np.ndarray) -> np.ndarray:  # (…, runs), (…, runs) -> (…)
        above = scores_x[..., :, None] - scores_y[..., None, :]
        return ((np.sign(above) + 1) / 2).mean(axis=(-2, -1))

    def again(scores: np.ndarray) -> np.ndarray:
        return scores[rng.integers(len(scores), size=(resamples, len(scores)))]

    estimate = float(np.mean([of(mine, theirs) for mine, theirs in zip(x, y, strict=True)]))
    draws = np.mean([of(again(mine), again(theirs)) for mine, theirs in zip(x, y, strict=True)], axis=0)
    low, high = interval95(draws[:, None])[:, 0]
    return estimate, float(low), float(high)


def bracket(tokens: np.ndarray, budget: float) -> tuple[int | None, int | None]:
    """The point with the most tokens not above the budget, and the one with the fewest above it; None: no such."""
    below, above = np.flatnonzero(tokens <= budget), np.flatnonzero(tokens > budget)
    return (
        int(below[np.argmax(tokens[below])]) if len(below) else None,
        int(above[np.argmin(tokens[above])]) if len(above) else None,
    )


def interpolate(
    tokens: tuple[np.ndarray, np.ndarray], scores: tuple[np.ndarray, np.ndarray], budget: np.ndarray
) -> np.ndarray:
    """The score at ``budget`` on the straight line through two points of a frontier; arrays of one shape.

    Asking one point for some questions and the other for the rest, at random, reaches every place between them.
    """
    share = ratio(budget - tokens[0], tokens[1] - tokens[0])
    return scores[0] + share * (scores[1] - scores[0])


def undominated(tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Which points no other beats: none has at most its tokens and at least its score, one of them strictly."""
    no_dearer = tokens[:, None] <= tokens  # [other, point]
    no_worse = scores[:, None] >= scores
    better = (tokens[:, None] < tokens) | (scores[:, None] > scores)
    return np.asarray(~(no_dearer & no_worse & better).any(axis=0))
