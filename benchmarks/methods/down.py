"""DOWN (Eo et al. 2025, arXiv 2504.05047), debating only when necessary.

One proposal is made. Where the model is sure of it, its mean token probability being above θ, it is the answer;
otherwise more is spent. In the paper that is a debate; here it is k votes on the same pool, the first proposal among
them, so that the rule is compared on what it adds: when to stop after one. A proposal of unknown probability is never
sure.
"""

from collections.abc import Mapping

import numpy as np

from benchmarks.methods.stopping import stopping
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, thresholds

STEPS = 41


def gate(theta: float, k: int) -> Policy:
    """One answer where its mean token probability exceeds θ, else the majority of k."""

    def policy(table: Table) -> Stopped:
        sure = (np.exp(table.logp[:, 0]) > theta) & (table.answers[:, 0] >= 0)
        return Stopped(
            draws=np.where(sure, 1, k), answer=np.where(sure, table.plurality[:, 0], table.plurality[:, k - 1])
        )

    return policy


def family(training: Table) -> Mapping[Setting, Policy]:
    """Quantiles of the probabilities, with every k."""
    values = [-1.0, *thresholds(np.exp(training.logp[:, 0]), STEPS)]
    return {(theta, k): gate(theta, k) for theta in values for k in range(1, training.k + 1)}


METHODS = (
    stopping(
        "down",
        title="DOWN",
        reference="one proposal where the model is sure, else votes: after arXiv 2504.05047",
        family=family,
    ),
)
