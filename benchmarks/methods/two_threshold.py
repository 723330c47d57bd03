"""The two-threshold gate: stop where the belief in the answer is high enough, or so low that more is in vain.

The belief is the library's own (``tracer_env.beliefs``), fitted on the draws of the training questions: agreement,
log-probabilities, tokens and, where reviews are looked at and paid for, verdicts. It stops when the belief in its
answer is ≥ hi or ≤ lo, or at the limit. The answer is the majority, or the one that is believed most. As it sees
what TRACER's controllers see, and its thresholds are tuned for every price, it is the strictest of the rivals.
"""

from collections.abc import Mapping

import numpy as np

from benchmarks.methods.stopping import stopping
from benchmarks.suite.confidence import belief_of, posterior
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, first_stop, leading, thresholds
from tracer_env.beliefs import Belief

HIGH, LOW = 25, 9  # how many thresholds


def gate(belief: Belief, low: float, high: float, most: int, *, answer: str, reviews: bool) -> Policy:
    """Stops when the belief in the answer is at most ``low`` or at least ``high``."""

    def policy(table: Table) -> Stopped:
        answers, believed = leaders(table, belief, answer=answer, reviews=reviews)
        return first_stop((believed >= high) | (believed <= low), answers, most, reviews=reviews)

    return policy


def leaders(table: Table, belief: Belief, *, answer: str, reviews: bool) -> tuple[np.ndarray, np.ndarray]:
    """The answer after 1, 2, … draws, by ``"belief"`` or ``"plurality"``, and the belief in it, (Q, K) each."""

    def compute() -> tuple[np.ndarray, np.ndarray]:
        chances = posterior(table, belief, reviews=reviews)
        answers = leading(chances) if answer == "belief" else table.plurality
        believed = np.take_along_axis(chances, np.maximum(answers, 0)[:, :, None], axis=2)[:, :, 0]
        return answers, np.where(answers >= 0, believed, 0.5)  # nothing can be read: neither sure nor in vain

    return table.remembered(("leaders", belief, answer, reviews), compute)


def family(training: Table) -> Mapping[Setting, Policy]:
    """With and without reviews, both ways to answer, a grid of thresholds and every limit."""
    rules: dict[Setting, Policy] = {}
    for reviews in (False, True) if training.reviewed else (False,):
        belief = belief_of(training, reviews=reviews)
        for answer in ("belief", "plurality"):
            values = leaders(training, belief, answer=answer, reviews=reviews)[1].ravel()
            for high in [*thresholds(values, HIGH), 2.0]:
                for low in [-1.0, *(each for each in thresholds(values, LOW)[:-1] if each < high)]:
                    for most in range(1, training.k + 1):
                        setting = ("reviewed" if reviews else "plain", answer, low, high, most)
                        rules[setting] = gate(belief, low, high, most, answer=answer, reviews=reviews)
    return rules


METHODS = (
    stopping(
        "two_threshold",
        title="Two-threshold gate",
        reference="stops where the belief is high or hopeless, both thresholds tuned",
        family=family,
    ),
)
