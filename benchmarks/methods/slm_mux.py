"""SLM-MUX (Wang et al. 2025, arXiv 2510.05077): every model samples, and the most consistent one answers.

Each member gives k samples; its answer is the most frequent of them and its confidence their share. The most confident
member's answer is taken; of equals, that of the member with the higher accuracy, here on training questions.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.methods.pooled import Decision, Rule, Setting, Tuning, Used, answer_of, consistency, pooled
from tracer_agents.rollout.pools import PooledQuestion


def _mux(k: int, accuracy: Sequence[float]) -> Rule:
    def rule(question: PooledQuestion) -> Decision:
        samples = [draws[:k] for draws in question.members]
        used = [Used(member=member, draw=draw) for member, draws in enumerate(samples) for draw in draws]
        best = max(range(len(samples)), key=lambda member: (consistency(samples[member]), accuracy[member]))
        return answer_of(samples[best], used)

    return rule


def _rules(tuning: Tuning) -> Mapping[Setting, Rule]:
    members = range(len(tuning.prices))
    rules: dict[Setting, Rule] = {}
    for k in range(1, tuning.draws + 1):
        accuracy = [
            float(np.mean([answer_of(question.members[member][:k], []).right for question in tuning.pool]))
            for member in members
        ]
        rules[k,] = _mux(k, accuracy)
    return rules


METHODS = (
    pooled(
        "slm_mux",
        title="SLM-MUX",
        reference="every model samples, the most consistent one answers: arXiv 2510.05077",
        rules=_rules,
    ),
)
