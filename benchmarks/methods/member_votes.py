"""The best single member: one model alone with the number of votes that is best for the price."""

from collections.abc import Mapping

from benchmarks.methods.pooled import Decision, Rule, Setting, Tuning, Used, answer_of, pooled
from tracer_agents.rollout.pools import PooledQuestion


def _votes(member: int, k: int) -> Rule:
    def rule(question: PooledQuestion) -> Decision:
        draws = question.members[member][:k]
        return answer_of(draws, [Used(member=member, draw=draw) for draw in draws])

    return rule


def _rules(tuning: Tuning) -> Mapping[Setting, Rule]:
    return {(member, k): _votes(member, k) for member in range(len(tuning.prices)) for k in range(1, tuning.draws + 1)}


METHODS = (
    pooled(
        "member_votes",
        title="Best single member, with votes",
        reference="one model alone, member and number of votes tuned: self-consistency, Wang et al. 2022",
        rules=_rules,
    ),
)
