"""CGES, confidence-guided early stopping (Aghazadeh et al. 2025, arXiv 2511.02603).

P(a | draws) ∝ Π_i (c_i if a_i = a else (1 − c_i) / (M − 1)), c_i the probability that draw i is right by itself, and M
how many answers are possible. It stops when the largest posterior reaches γ, or at the limit, and answers with it.

The confidence is calibrated on training questions, from log-probability, tokens and, where reviews are looked at and
paid for, verdicts. M is not known where answers are open: it counts those seen so far and one that nobody gave. A draw
that cannot be read says nothing.
"""

from collections.abc import Mapping

import numpy as np

from benchmarks.methods.stopping import stopping
from benchmarks.suite.confidence import belief_of, confidence
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, first_stop, leading, thresholds
from tracer_env.beliefs import Belief

GAMMAS = 41
_LEAST = 1e-6  # a confidence is never certain


def posterior_of(given: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """The posterior after 1, 2, … draws of the answers seen so far, those not yet seen having 0.

    Args:
        given: which answer each draw gave, bool of shape (Q, K, A).
        chances: that each draw is right, NaN where it cannot be read, float of shape (Q, K).
    """
    read = given.any(axis=2)
    right = np.clip(np.nan_to_num(chances, nan=0.5), _LEAST, 1 - _LEAST)
    wrong = np.where(read, np.log1p(-right), 0.0)
    times = given.cumsum(axis=1)  # (Q, K, A)
    spread = np.log(np.maximum(1, (times > 0).sum(axis=2)))  # log(M − 1): those seen, less this one, and one unseen
    unseen = wrong.cumsum(axis=1) - read.cumsum(axis=1) * spread  # (Q, K): every draw is wrong
    in_favour = np.cumsum(given * (np.log(right) - wrong)[:, :, None], axis=1) + times * spread[:, :, None]
    logs = np.where(times > 0, unseen[:, :, None] + in_favour, -np.inf)
    top = np.maximum(logs.max(axis=2), unseen)
    weights = np.exp(logs - top[:, :, None])
    return weights / (weights.sum(axis=2) + np.exp(unseen - top))[:, :, None]


def until(belief: Belief, gamma: float, most: int, *, reviews: bool) -> Policy:
    """Stops when the largest posterior reaches γ."""

    def policy(table: Table) -> Stopped:
        answers, chances = _leaders(table, belief, reviews=reviews)
        return first_stop(chances >= gamma, answers, most, reviews=reviews)

    return policy


def _leaders(table: Table, belief: Belief, *, reviews: bool) -> tuple[np.ndarray, np.ndarray]:
    """The answer with the largest posterior after 1, 2, … draws, and that posterior, (Q, K) each."""

    def compute() -> tuple[np.ndarray, np.ndarray]:
        chances = posterior_of(table.given, confidence(table, belief, reviews=reviews))
        return leading(chances), chances.max(axis=2)

    return table.remembered(("cges", belief, reviews), compute)


def family(training: Table) -> Mapping[Setting, Policy]:
    """With and without reviews, quantiles of the largest posterior as γ, every limit."""
    rules: dict[Setting, Policy] = {}
    for reviews in (False, True) if training.reviewed else (False,):
        belief = belief_of(training, reviews=reviews, alone=True)
        values = _leaders(training, belief, reviews=reviews)[1]
        for gamma in [*thresholds(values, GAMMAS), 2.0]:
            for most in range(1, training.k + 1):
                setting = ("reviewed" if reviews else "plain", gamma, most)
                rules[setting] = until(belief, gamma, most, reviews=reviews)
    return rules


METHODS = (
    stopping(
        "cges",
        title="CGES",
        reference="until the posterior from calibrated confidences reaches γ: arXiv 2511.02603",
        family=family,
    ),
)
