"""Self-refine (Madaan et al. 2023): one agent answers, reviews its own answer and revises it until it is content.

Played on the recorded trees, with one agent: every solution is reviewed, and revised unless the review says RIGHT.
The prompts are the dialogue's: a revision sees the last solution and its review, not all earlier ones as in the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.methods.base import Method, Prepared
from benchmarks.methods.played import played
from benchmarks.suite.bench import Bench
from benchmarks.suite.point import Point
from tracer_env.dialogue import Dialogue, Verdict, is_forced

NAME = "self_refine"
POINT = Point(method=NAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class UntilContent:
    """Speaks until a review of the pending solution says RIGHT."""

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return np.array([float(is_forced(state) or not _is_content(state)) for state in states])


def _is_content(state: Dialogue) -> bool:
    reviews = (turn.utterance for turn in state.reviews_of_pending())
    return any(review is not None and review.verdict is Verdict.RIGHT for review in reviews)


def _prepare(bench: Bench) -> Prepared:
    alone = replace(bench.config.rules, n_agents=1, answer_rule="pending")  # the last revision, not a vote
    return played(bench, None, {POINT: UntilContent()}, rules=alone)


METHODS = (
    Method(
        name=NAME,
        title="Self-refine",
        reference="Madaan et al. 2023, arXiv 2303.17651",
        prepare=_prepare,
        recordings=(("test", None),),
    ),
)
