"""The usual shape of a method that looks at one model's draws, one after the other, until it stops.

Its thresholds are tuned on training questions at every price of the plan.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.methods.base import Method
from benchmarks.methods.pooled import Candidates, Decision, Pooled, Rule, Used, replayed
from benchmarks.suite.bench import Bench
from benchmarks.suite.draws import Family, Policy, Setting, Stopped, Table
from tracer_agents.rollout.pools import PooledQuestion
from tracer_env.dialogue import RoundUsage, Utterance
from tracer_env.rewards import Prices


class _Of(NamedTuple):
    """A policy and the member that it asks."""

    member: int
    policy: Policy


def outcomes_of(family: Mapping[Setting, Policy], table: Table) -> dict[Setting, tuple[np.ndarray, np.ndarray]]:
    """What every setting comes to: right, of shape (Q,), and cost, (Q,)."""
    stopped = {setting: policy(table) for setting, policy in family.items()}
    return {setting: (each.right(table), each.cost(table)) for setting, each in stopped.items()}


def stopping(name: str, *, title: str, reference: str, family: Family) -> Method:
    """The method of a family of stopping rules; in a team, the best member is chosen along with the setting."""

    def candidates(bench: Bench, training: Pooled, test: Pooled) -> Candidates:
        agents, prices = [voice.agents[0] for voice in bench.config.voices], bench.config.utility.prices
        known, policies, tables = {}, {}, []
        for member, agent in enumerate(agents):
            table = _table(training, member, agent, prices)
            rules = family(table)
            known |= {(member, *setting): each for setting, each in outcomes_of(rules, table).items()}
            policies |= {(member, *setting): _Of(member, policy) for setting, policy in rules.items()}
            tables.append(_table(test, member, agent, prices))

        def rule(setting: Setting) -> Rule:
            member, policy = policies[setting]
            made = decisions(policy(tables[member]), tables[member], member)
            by_id = {question.episode.question.id: each for question, each in zip(test, made, strict=True)}
            return lambda question: by_id[question.episode.question.id]

        return Candidates(known=known, rule=rule)

    return replayed(name, title=title, reference=reference, candidates=candidates, family=family)


def decisions(stopped: Stopped, table: Table, member: int) -> list[Decision]:
    """What a policy did, question by question, with everything that it looked at."""
    right = stopped.right(table)
    made = []
    for q, (count, number) in enumerate(zip(stopped.draws, stopped.answer, strict=True)):
        seen = table.draws[q][:count]
        answer = next((d.utterance.answer for d, n in zip(seen, table.answers[q], strict=False) if n == number), None)
        used = tuple(Used(member=member, draw=draw, reviews=int(stopped.reviews)) for draw in seen)
        made.append(Decision(answer=answer if number >= 0 else None, right=bool(right[q]), used=used))
    return made


def _table(pool: Sequence[PooledQuestion], member: int, agent: int, prices: Prices) -> Table:
    def cost(utterance: Utterance) -> float:
        return prices.cost([RoundUsage(agent, utterance.prompt_tokens, utterance.generated_tokens)])

    return Table.of(pool, member, cost=cost)
