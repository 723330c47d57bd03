"""ModelSwitch (Chen et al. 2025, arXiv 2504.00762): switch to the next model where the samples of one disagree.

A member gives k samples; if they all agree, that is the answer. Otherwise the next member gives k samples, and so on;
after the last, every sample votes, weighted by its member's internal weight (how consistent its samples are, one minus
their normalised entropy) times its external weight (its accuracy, here on training questions).
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.methods.pooled import Decision, Rule, Setting, Tuning, Used, answer_of, cheapest_first, pooled
from tracer_agents.rollout.pools import Draw, PooledQuestion


def internal_weight(draws: Sequence[Draw]) -> float:
    """One minus the entropy of the draws' answers over the largest there can be; each unreadable one is its own."""
    if len(draws) == 1:
        return 1.0
    answers = [draw.utterance.answer or f"unreadable {index}" for index, draw in enumerate(draws)]
    shares = np.array(list(Counter(answers).values())) / len(draws)
    return float(1 + (shares * np.log(shares)).sum() / np.log(len(draws)))


def _switch(order: Sequence[int], k: int, accuracy: Sequence[float]) -> Rule:
    def rule(question: PooledQuestion) -> Decision:
        used: list[Used] = []
        weights: list[float] = []
        for member in order:
            draws = question.members[member][:k]
            used += [Used(member=member, draw=draw) for draw in draws]
            weight = internal_weight(draws) * accuracy[member]
            weights += [weight] * len(draws)
            agreed = {draw.utterance.answer for draw in draws}
            if len(agreed) == 1 and None not in agreed:
                return answer_of(draws, used)
        return answer_of([each.draw for each in used], used, weights)

    return rule


def _rules(tuning: Tuning) -> Mapping[Setting, Rule]:
    order = cheapest_first(tuning.prices)
    accuracy = [
        float(np.mean([draw.right for question in tuning.pool for draw in question.members[member]]))
        for member in range(len(tuning.prices))
    ]
    return {(k,): _switch(order, k, accuracy) for k in range(1, tuning.draws + 1)}


METHODS = (
    pooled(
        "model_switch",
        title="ModelSwitch",
        reference="the next model where the samples of one disagree, then a weighted vote: arXiv 2504.00762",
        rules=_rules,
    ),
)
