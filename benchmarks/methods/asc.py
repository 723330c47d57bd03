"""Adaptive-Consistency (Aggarwal et al. 2023, arXiv 2305.11860) with its Beta stopping criterion.

After every draw, v₁ and v₂ are the two largest counts. Under a uniform prior the share of the leading answer among the
two is Beta(v₁ + 1, v₂ + 1), and it stays ahead with probability

    P(share > ½) = Σ_{j ≤ v₁} C(v₁ + v₂ + 1, j) / 2^(v₁ + v₂ + 1).

The rule stops when that reaches τ, or at the limit, and answers with the majority.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import bdtr

from benchmarks.methods.stopping import stopping
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, first_stop


def stays_ahead(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """P(the leading answer stays ahead), elementwise; ½ where there is none."""
    return bdtr(first, first + second + 1, 0.5)


def until(tau: float, most: int) -> Policy:
    """Stops when the leading answer stays ahead with probability τ."""

    def policy(table: Table) -> Stopped:
        return first_stop(stays_ahead(*table.two_largest) >= tau, table.plurality, most)

    return policy


def family(training: Table) -> Mapping[Setting, Policy]:
    """Every value of the criterion that is met (between two, τ changes nothing), under every limit."""
    values = np.unique(stays_ahead(*training.two_largest).round(12))
    return {
        (float(tau), most): until(float(tau) - 1e-9, most)
        for tau in values
        if tau > 0.5  # at ½ it would stop at nothing
        for most in range(1, training.k + 1)
    }


METHODS = (
    stopping(
        "asc",
        title="Adaptive-Consistency",
        reference="until the majority is likely to stay: Aggarwal et al. 2023, arXiv 2305.11860",
        family=family,
    ),
)
