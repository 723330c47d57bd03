"""The usual shape of a method that looks at one model's draws, one after the other, until it stops.

Its thresholds are tuned on training questions at every price of the plan.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.methods.base import Method, Prepared
from benchmarks.methods.pooled import Decision, Used, answered, nothing_more, tune
from benchmarks.suite.bench import Bench
from benchmarks.suite.draws import Family, Policy, Setting, Stopped, Table
from benchmarks.suite.fitting import main_price, price_point
from benchmarks.suite.point import Point
from tracer_agents.rollout.pools import PooledQuestion, tokens_of
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.types import Episode
from tracer_env.dialogue import RoundUsage, Utterance
from tracer_env.rewards import Prices

FAMILIES: dict[str, Family] = {}  # the rules of every such method, by its name


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

    def prepare(bench: Bench) -> Prepared:
        config, plan = bench.config, bench.plan
        agents = [voice.agents[0] for voice in config.voices]
        training, test = bench.pool("train"), bench.pool("test")
        place = {question.episode.question.id: index for index, question in enumerate(test)}
        known, policies, tables = {}, {}, []
        for member, agent in enumerate(agents):
            table = _table(training, member, agent, config.utility.prices)
            rules = family(table)
            known |= {(member, *setting): each for setting, each in outcomes_of(rules, table).items()}
            policies |= {(member, *setting): _Of(member, policy) for setting, policy in rules.items()}
            tables.append(_table(test, member, agent, config.utility.prices))
        chosen: dict[Point, list[Decision]] = {}
        for price in plan.all_prices:
            utility = plan.config(bench.label, bench.seed, {"dialogue.price_of_speech": price}).utility
            member, policy = policies[tune(known, utility)]
            chosen[price_point(name, price)] = decisions(policy(tables[member]), tables[member], member)

        def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
            rows = [place[episode.question.id] for episode in episodes]
            return {
                point: [answered(test[row], made[row], agents, point, bench.seed) for row in rows]
                for point, made in chosen.items()
            }

        return Prepared(
            points=tuple(chosen),
            answer=answer,
            training_tokens=tokens_of(training),
            training_questions=len(training),
        )

    FAMILIES[name] = family
    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        cost=nothing_more,
        pools=("train", "test"),
        setting=main_price,
    )


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
