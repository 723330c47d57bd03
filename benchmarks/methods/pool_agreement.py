"""Stop on agreement, replayed on a pool: until two answers agree, or m; at most so many draws, then the majority."""

from collections.abc import Mapping

from benchmarks.methods.stopping import stopping
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, first_stop


def until(agreeing: int, most: int) -> Policy:
    """Stops when so many answers agree."""

    def policy(table: Table) -> Stopped:
        return first_stop(table.two_largest[0] >= agreeing, table.plurality, most)

    return policy


def family(training: Table) -> Mapping[Setting, Policy]:
    """Two to half of the draws must agree, under every limit."""
    limits = range(1, training.k + 1)
    return {(m, most): until(m, most) for m in range(2, max(2, training.k // 2) + 1) for most in limits}


METHODS = (
    stopping(
        "pool_agreement",
        title="Stop on agreement, on the pool",
        reference="until m answers agree, m and the limit tuned",
        family=family,
    ),
)
