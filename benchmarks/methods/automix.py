"""AutoMix (Aggarwal et al. 2023, arXiv 2310.12963) with its threshold router.

The cheapest member answers and reviews its own answer k times; the share of RIGHT verdicts is its confidence. Where
that is below a threshold, the next member answers, and so on; the last one's answer is taken as it is.
"""

from collections.abc import Mapping, Sequence

from benchmarks.methods.pooled import Decision, Rule, Setting, Tuning, Used, answer_of, cheapest_first, pooled
from tracer_agents.rollout.pools import PooledQuestion
from tracer_env.dialogue import Verdict


def _route(order: Sequence[int], k: int, threshold: float) -> Rule:
    def rule(question: PooledQuestion) -> Decision:
        used: list[Used] = []
        for member in order[:-1]:
            draw = question.members[member][0]
            if draw.utterance.answer is None:  # nothing to be sure of
                used.append(Used(member=member, draw=draw))
                continue
            used.append(Used(member=member, draw=draw, reviews=k))
            verdicts = [review.verdict for review in draw.reviews[:k]]
            if verdicts and verdicts.count(Verdict.RIGHT) / len(verdicts) >= threshold:
                return answer_of([draw], used)
        last = question.members[order[-1]][0]
        return answer_of([last], [*used, Used(member=order[-1], draw=last)])

    return rule


def _rules(tuning: Tuning) -> Mapping[Setting, Rule]:
    order = cheapest_first(tuning.prices)
    return {
        (k, right / k): _route(order, k, right / k)
        for k in range(1, tuning.reviews + 1)
        for right in range(k + 2)  # more than all: the dear member always
    }


METHODS = (
    pooled(
        "automix",
        title="AutoMix",
        reference="the dear one where the cheap one's reviews of itself are bad: arXiv 2310.12963",
        rules=_rules,
    ),
)
