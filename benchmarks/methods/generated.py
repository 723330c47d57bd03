"""Methods that generate as they answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.methods.base import PHASE, Answer, Cost, Method, Prepared
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.plan import Plan
from tracer_agents.build import Parts
from tracer_agents.evaluation.play import majority, play_team, sample_answers
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.types import Controller, Episode


def dialogues(
    name: str,
    *,
    title: str,
    reference: str,
    controller: Controller,
    cost: Callable[[Plan], Cost],
    recipe: Recipe | None = None,
    greedy: bool = False,
) -> Method:
    """The method of one controller whose dialogues are generated as they are played."""

    def prepare(bench: Bench) -> Prepared:
        parts, rules = bench.parts(recipe), bench.config.dialogue.rules
        speakers = parts.greedy_speakers if greedy else parts.speakers

        def answer(episodes: Sequence[Episode]) -> dict[str, list[DialogueRecord]]:
            records = play_team(
                episodes, rules, speakers, controller, parts.task, method=name, phase=PHASE, seed=bench.seed
            )
            return {name: records}

        return _prepared(bench, recipe, name, answer, parts)

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        cost=cost,
        recipes=(recipe,) if recipe else (),
        headline=lambda plan: name,
    )


def votes(name: str, *, title: str, reference: str, recipe: Recipe | None = None) -> Method:
    """The method of independent answers and a majority: a record holds all votes, its points are the first k."""

    def prepare(bench: Bench) -> Prepared:
        parts, rules = bench.parts(recipe), bench.config.dialogue.rules
        label = votes_label(name, bench.plan.votes)

        def answer(episodes: Sequence[Episode]) -> dict[str, list[DialogueRecord]]:
            ballots = sample_answers(
                episodes, rules, parts.speakers, parts.task, votes=bench.plan.votes, phase=PHASE, seed=bench.seed
            )
            return {label: [_named(majority(ballot, bench.plan.votes), label) for ballot in ballots]}

        return _prepared(bench, recipe, label, answer, parts)

    def points(records: Sequence[DialogueRecord]) -> dict[str, list[DialogueRecord]]:
        most = max(len(record.turns) for record in records)
        return {
            label: [_named(majority(record, k), label) for record in records]
            for k in range(1, most + 1)
            for label in (votes_label(name, k),)
        }

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        cost=lambda plan: Cost(proposals=plan.votes),
        recipes=(recipe,) if recipe else (),
        headline=lambda plan: votes_label(name, plan.votes),
        points=points,
    )


def votes_label(name: str, k: int) -> str:
    """The label of a method's point with ``k`` samples."""
    return f"{name}@k={k}"


def _named(record: DialogueRecord, label: str) -> DialogueRecord:
    return replace(record, method=label)


def _prepared(bench: Bench, recipe: Recipe | None, label: str, answer: Answer, parts: Parts) -> Prepared:
    tokens, questions = bench.training_cost(recipe) if recipe else (0, 0)
    return Prepared(
        points=(label,),
        answer=answer,
        training_tokens=tokens,
        training_questions=questions,
        resources=parts,
    )
