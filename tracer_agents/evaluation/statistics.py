"""Intervals and tests of everything that is measured: pure functions on arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

RESAMPLES = 10_000
Z95 = float(stats.norm.ppf(0.975))
_BATCH = 500  # resamples held in float64 at once


def mean_interval95(sample: np.ndarray, *, resamples: int, rng: np.random.Generator) -> tuple[float, float]:
    """Percentile bootstrap interval of the mean of ``sample``, (n,); a point where nothing varies."""
    if len(sample) < 2 or np.ptp(sample) == 0:
        return float(sample[0]), float(sample[0])
    result = stats.bootstrap(
        (sample,),
        np.mean,
        n_resamples=resamples,
        batch=max(1, 4_000_000 // len(sample)),
        method="percentile",
        rng=rng,
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def resampled_counts(n: int, *, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each of ``n`` rows, drawn with replacement, is in each resample: uint16 of shape (resamples, n)."""
    even, counts = np.full(n, 1 / n), np.empty((resamples, n), dtype=np.uint16)
    for first in range(0, resamples, _BATCH):
        batch = counts[first : first + _BATCH]
        batch[:] = rng.multinomial(n, even, size=len(batch))
    return counts


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
        return np.concatenate([self.counts[first : first + _BATCH].astype(np.float64) @ totals for first in batches])


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
    for seed, index in zip(seeds, cluster, strict=True):
        seeds_of[index].append(seed)
    patterns = [tuple(sorted(seeds)) for seeds in seeds_of]
    counts = np.zeros((resamples, len(ids)), dtype=np.uint16)
    for stratum in sorted(set(patterns)):
        members = np.array([index for index, pattern in enumerate(patterns) if pattern == stratum])
        counts[:, members] = resampled_counts(len(members), resamples=resamples, rng=rng)
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


def paired_t_p(difference: np.ndarray) -> float:
    """Two-sided t-test that paired differences, (n,), have mean 0; differences that never vary are certain."""
    if len(difference) < 2 or np.ptp(difference) == 0:
        return 1.0 if not difference.any() else 0.0
    return float(np.asarray(stats.ttest_1samp(difference, 0.0))[1])


def bootstrap_p(draws: np.ndarray) -> float:
    """Twice the smaller share of resampled differences on either side of zero; ties count for both sides.

    Efron & Tibshirani (1993), "An Introduction to the Bootstrap", section 15.4, with one draw added so that it is
    never 0.
    """
    below, above = (int(np.count_nonzero(side)) for side in (draws <= 1e-12, draws >= -1e-12))
    return min(1.0, 2 * (1 + min(below, above)) / (1 + len(draws)))


def probability_of_improvement(
    x: Sequence[np.ndarray], y: Sequence[np.ndarray], *, resamples: int, rng: np.random.Generator
) -> tuple[float, float, float]:
    """P(X > Y) over runs within a task, a tie counting ½, averaged over tasks: (estimate, low, high of 95%).

    Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice", section 4.3; the
    interval is their stratified bootstrap: runs are resampled within each task, for X and Y apart. It speaks of
    runs, of which there are few: with three seeds it is wide, and it is a point when one side always wins.

    Args:
        x: one array per task, the scores of X's runs.
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


def share_interval95(count: int, total: int) -> tuple[float, float]:
    """Wilson's interval of a share of ``total`` ≥ 1 independent questions."""
    bounds = stats.binomtest(count, total).proportion_ci(method="wilson")
    return float(bounds.low), float(bounds.high)
