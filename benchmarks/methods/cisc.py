"""Confidence-Informed Self-Consistency (Taubenfeld et al. 2025, arXiv 2502.06233).

The k answers of a question vote with weights softmax(c_i / T) over the question's draws, c_i the confidence in draw i:
its mean log-probability, or P(RIGHT) of its review, which then is paid for. The temperature T and k are tuned; T = ∞
is self-consistency. A draw of unknown confidence counts as the mean of those that are known.
"""

import warnings
from collections.abc import Mapping

import numpy as np

from benchmarks.methods.stopping import stopping
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, leading

TEMPERATURES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, np.inf)


def weights(confidence: np.ndarray, temperature: float) -> np.ndarray:
    """Softmax over the draws of each question, (Q, k) -> (Q, k); NaN is the mean of the row's others."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a row of NaN has no mean
        mean = np.nan_to_num(np.nanmean(confidence, axis=1, keepdims=True))
    known = np.where(np.isnan(confidence), mean, confidence)
    scaled = (known - known.max(axis=1, keepdims=True)) / temperature
    return np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)


def weighted(signal: str, temperature: float, k: int) -> Policy:
    """The answer with the largest weight among k draws."""

    def policy(table: Table) -> Stopped:
        confidence = (table.p_right if signal == "verdict" else table.logp)[:, :k]
        totals = (weights(confidence, temperature)[:, :, None] * table.given[:, :k]).sum(axis=1)
        totals += 1e-12 * (totals > 0)  # rounding decides no tie
        draws = np.full(len(table.draws), k)
        return Stopped(draws=draws, answer=leading(totals.round(9)), reviews=signal == "verdict")

    return policy


def family(training: Table) -> Mapping[Setting, Policy]:
    """Every signal that the pool has, with every temperature and number of draws."""
    signals = ["logp", *(["verdict"] if np.isfinite(training.p_right).any() else [])]
    sizes = range(1, training.k + 1)
    return {(signal, t, k): weighted(signal, t, k) for signal in signals for t in TEMPERATURES for k in sizes}


METHODS = (
    stopping(
        "cisc",
        title="CISC",
        reference="votes weighted by softmax of confidence: Taubenfeld et al. 2025, arXiv 2502.06233",
        family=family,
    ),
)
