"""Early-Stopping Self-Consistency (Li et al. 2024, arXiv 2401.10480).

Draws come in windows of w, one after the other. If all answers of a window are the same, it stops; after the limit it
stops anyway. The answer is the majority of everything drawn. One that cannot be read agrees with none.
"""

from collections.abc import Mapping

import numpy as np

from benchmarks.methods.stopping import stopping
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, first_stop

WINDOWS = (2, 3, 5)


def until(window: int, most: int) -> Policy:
    """Stops after a window of equal answers."""

    def policy(table: Table) -> Stopped:
        return first_stop(unanimous(table.answers, window), table.plurality, most)

    return policy


def unanimous(answers: np.ndarray, window: int) -> np.ndarray:
    """Where a window has just ended in which all answers are the same, bool of the shape of ``answers``, (Q, K)."""
    stop = np.zeros(answers.shape, dtype=bool)
    for end in range(window, answers.shape[1] + 1, window):
        part = answers[:, end - window : end]
        stop[:, end - 1] = (part >= 0).all(axis=1) & (part == part[:, :1]).all(axis=1)
    return stop


def family(training: Table) -> Mapping[Setting, Policy]:
    """The windows under every limit that is not below the window."""
    return {(w, most): until(w, most) for w in WINDOWS for most in range(w, training.k + 1)} or {(1, 1): until(1, 1)}


METHODS = (
    stopping(
        "esc",
        title="Early-stopping self-consistency",
        reference="until a window of w answers agrees: Li et al. 2024, arXiv 2401.10480",
        family=family,
    ),
)
