"""Self-consistency (Wang et al. 2022, arXiv 2203.11171) replayed on a pool: the most frequent of k answers."""

from collections.abc import Mapping

import numpy as np

from benchmarks.methods.stopping import stopping
from benchmarks.suite.draws import Policy, Setting, Stopped, Table


def votes(k: int) -> Policy:
    """The most frequent of the first k answers, the earliest of equals."""

    def policy(table: Table) -> Stopped:
        return Stopped(draws=np.full(len(table.draws), k), answer=table.plurality[:, k - 1])

    return policy


def family(training: Table) -> Mapping[Setting, Policy]:
    """Every number of votes."""
    return {(k,): votes(k) for k in range(1, training.k + 1)}


METHODS = (
    stopping(
        "pool_votes",
        title="Self-consistency, on the pool",
        reference="the most frequent of k answers, k tuned: Wang et al. 2022, arXiv 2203.11171",
        family=family,
    ),
)
