"""A threshold cascade (FrugalGPT: Chen, Zaharia and Zou 2023, arXiv 2305.05176).

Members are asked from the cheapest to the dearest; a member's answer is accepted if its score reaches a threshold, and
the last one's always. FrugalGPT learns a scoring model; here the score is the mean log-probability of the answer's
tokens (confidence), or the agreement among a member's k draws, whichever is better on training questions.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from benchmarks.methods.pooled import (
    Decision,
    Rule,
    Setting,
    Tuning,
    Used,
    answer_of,
    cheapest_first,
    consistency,
    pooled,
)
from tracer_agents.rollout.pools import Draw, PooledQuestion

_QUANTILES = np.linspace(0.0, 1.0, 21)
_LAST = (1, 3)  # draws of the last member
Score = Callable[[Sequence[Draw]], float]


def _confidence(draws: Sequence[Draw]) -> float:
    """The mean log-probability of the first draw; an answer that cannot be read, or is of unknown chance, has none."""
    utterance = draws[0].utterance
    known = utterance.answer is not None and utterance.mean_logp is not None
    return float(utterance.mean_logp or 0.0) if known else -np.inf


def _cascade(order: Sequence[int], score: Score, k: int, threshold: float, last: int) -> Rule:
    def rule(question: PooledQuestion) -> Decision:
        used: list[Used] = []
        for member in order[:-1]:
            draws = question.members[member][:k]
            used += [Used(member=member, draw=draw) for draw in draws]
            if score(draws) >= threshold:
                return answer_of(draws, used)
        draws = question.members[order[-1]][:last]
        return answer_of(draws, [*used, *(Used(member=order[-1], draw=draw) for draw in draws)])

    return rule


def _rules(tuning: Tuning) -> Mapping[Setting, Rule]:
    order = cheapest_first(tuning.prices)
    scores = [_confidence(question.members[order[0]][:1]) for question in tuning.pool]
    finite = [score for score in scores if np.isfinite(score)] or [0.0]
    thresholds = [-np.inf, *np.unique(np.quantile(finite, _QUANTILES)), np.inf]
    rules: dict[Setting, Rule] = {}
    for last in (each for each in _LAST if each <= tuning.draws):
        for threshold in map(float, thresholds):
            rules["confidence", 1, threshold, last] = _cascade(order, _confidence, 1, threshold, last)
        for k in range(2, min(4, tuning.draws) + 1):
            for agreeing in range(1, k + 1):
                rules["agreement", k, agreeing / k, last] = _cascade(order, consistency, k, agreeing / k, last)
    return rules


METHODS = (
    pooled(
        "cascade",
        title="Cascade by threshold",
        reference="cheap first, the dear one where confidence or agreement is low: FrugalGPT, arXiv 2305.05176",
        rules=_rules,
    ),
)
