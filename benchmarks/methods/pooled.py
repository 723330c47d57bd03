"""Methods replayed on pools of independent proposals, their thresholds tuned on training questions at every price.

A rule is a pure function of what the pool holds on a question. What it does not look at it does not pay for.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.methods.base import PHASE, Method, Prepared
from benchmarks.suite.bench import Bench
from benchmarks.suite.draws import Family, Setting
from benchmarks.suite.fitting import main_price, price_point
from benchmarks.suite.point import Point
from tracer_agents.rollout.pools import Draw, PooledQuestion, tokens_of
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord, turn_record
from tracer_agents.types import Episode
from tracer_env.dialogue import Mode, Role, RoundUsage, Turn, Utterance
from tracer_env.rewards import Prices, Utility


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A draw that a rule looked at, and how many of its reviews."""

    member: int
    draw: Draw
    reviews: int = 0

    def utterances(self) -> list[tuple[Role, Utterance]]:
        """What was said, in order."""
        reviews = [(Role.REVIEWER, review) for review in self.draw.reviews[: self.reviews]]
        return [(Role.PROPOSER, self.draw.utterance), *reviews]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a rule answers and what it used.

    Args:
        answer: None: nothing that can be read.
        right: whether it is right, which the rule did not know.
        used: in the order of use.
    """

    answer: str | None
    right: bool
    used: tuple[Used, ...]


Rule = Callable[[PooledQuestion], Decision]


def answer_of(draws: Sequence[Draw], used: Sequence[Used], weights: Sequence[float] | None = None) -> Decision:
    """The answer with the largest weight among some draws, by default the most frequent one; the earliest wins ties."""
    totals: dict[str, float] = {}
    for draw, weight in zip(draws, weights or [1.0] * len(draws), strict=True):
        if draw.utterance.answer is not None:
            totals[draw.utterance.answer] = totals.get(draw.utterance.answer, 0.0) + weight
    if not totals:
        return Decision(answer=None, right=False, used=tuple(used))
    answer = max(totals, key=lambda each: totals[each])  # max keeps the first of the largest
    right = any(draw.right for draw in draws if draw.utterance.answer == answer)
    return Decision(answer=answer, right=right, used=tuple(used))


def consistency(draws: Sequence[Draw]) -> float:
    """The share of the most frequent answer among some draws; one that cannot be read agrees with none."""
    counts = Counter(draw.utterance.answer for draw in draws if draw.utterance.answer is not None)
    return max(counts.values(), default=0) / len(draws)


def cheapest_first(prices: Sequence[float]) -> list[int]:
    """The members in the order of their prices, equal ones in theirs."""
    return sorted(range(len(prices)), key=lambda member: prices[member])


def cost_of(decision: Decision, agents: Sequence[int], prices: Prices) -> float:
    """What a decision's tokens cost, at the prices of the members' agents."""
    return prices.cost(
        RoundUsage(agents[used.member], utterance.prompt_tokens, utterance.generated_tokens)
        for used in decision.used
        for _, utterance in used.utterances()
    )


Outcomes = Mapping[Setting, tuple[np.ndarray, np.ndarray]]  # per setting: right, cost, of shape (questions,)


def outcomes(
    rules: Mapping[Setting, Rule], pool: Sequence[PooledQuestion], agents: Sequence[int], prices: Prices
) -> Outcomes:
    """What every setting of a rule comes to on (training) questions, which no price of speech changes."""
    decided = {setting: [rule(question) for question in pool] for setting, rule in rules.items()}
    return {
        setting: (
            np.array([decision.right for decision in decisions]),
            np.array([cost_of(decision, agents, prices) for decision in decisions]),
        )
        for setting, decisions in decided.items()
    }


def tune(known: Outcomes, utility: Utility) -> Setting:
    """The setting with the highest mean utility, the first of equals."""
    return max(known, key=lambda setting: float(np.mean(utility(*known[setting]))))


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """What a method may know when it lists its rules.

    Args:
        pool: training questions.
        prices: of the members, per generated token.
        draws: of each member, per question.
        reviews: of each member's first draw.
    """

    pool: Sequence[PooledQuestion]
    prices: Sequence[float]
    draws: int
    reviews: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """What a method chooses from.

    Args:
        known: what every setting comes to on training questions.
        rule: a setting -> what it decides on test questions.
    """

    known: Outcomes
    rule: Callable[[Setting], Rule]


Pooled = Sequence[PooledQuestion]


def replayed(
    name: str,
    *,
    title: str,
    reference: str,
    candidates: Callable[[Bench, Pooled, Pooled], Candidates],
    several_models: bool = False,
    family: Family | None = None,
) -> Method:
    """The method that chooses among candidates on training questions, at every price of the plan.

    Args:
        name, title, reference, several_models, family: as of ``Method``.
        candidates: of a cell, given its pools of training and test questions.
    """

    def prepare(bench: Bench) -> Prepared:
        plan, agents = bench.plan, [voice.agents[0] for voice in bench.config.voices]
        training, test = bench.pool("train"), bench.pool("test")
        offered = candidates(bench, training, test)
        chosen: dict[Point, Rule] = {}
        for price in plan.all_prices:
            utility = plan.config(bench.label, bench.seed, {"dialogue.price_of_speech": price}).utility
            chosen[price_point(name, price)] = offered.rule(tune(offered.known, utility))
        asked = {question.episode.question.id: question for question in test}

        def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
            questions = [asked[episode.question.id] for episode in episodes]
            return {
                point: [answered(question, rule(question), agents, point, bench.seed) for question in questions]
                for point, rule in chosen.items()
            }

        return Prepared(
            points=tuple(chosen),
            answer=answer,
            training_tokens=tokens_of(training),
            training_questions=len(training),
        )

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        pools=("train", "test"),
        several_models=several_models,
        setting=main_price,
        family=family,
    )


def pooled(
    name: str,
    *,
    title: str,
    reference: str,
    rules: Callable[[Tuning], Mapping[Setting, Rule]],
    several_models: bool = True,
) -> Method:
    """The method of a family of rules, each a function of what the pool holds on a question."""

    def candidates(bench: Bench, training: Pooled, test: Pooled) -> Candidates:
        plan, prices = bench.plan, bench.config.utility.prices
        agents = [voice.agents[0] for voice in bench.config.voices]
        of_members = [prices.of_agent(agent) for agent in agents]
        family = rules(Tuning(pool=training, prices=of_members, draws=plan.draws, reviews=plan.reviews))
        return Candidates(known=outcomes(family, training, agents, prices), rule=family.__getitem__)

    return replayed(name, title=title, reference=reference, candidates=candidates, several_models=several_models)


def answered(
    question: PooledQuestion, decision: Decision, agents: Sequence[int], point: Point, seed: int
) -> DialogueRecord:
    """The record of a rule's decision on a question."""
    asked = question.episode.question
    return DialogueRecord(
        method=point.label,
        phase=PHASE,
        seed=seed,
        question_id=asked.id,
        question=asked.text,
        gold=asked.gold,
        answer=decision.answer,
        correct=decision.right,
        grade=Outcome.RIGHT if decision.right else Outcome.WRONG,
        kind=Kind.BALLOT,
        turns=tuple(turn for used in decision.used for turn in _turns(used, agents[used.member])),
    )


def _turns(used: Used, agent: int) -> list[TurnRecord]:
    return [
        turn_record(Turn(1 if role is Role.PROPOSER else 2, agent, role, Mode.SPEAK, True, utterance), used.draw.right)
        for role, utterance in used.utterances()
    ]
