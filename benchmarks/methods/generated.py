"""Methods that generate as they answer."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from benchmarks.methods.base import PHASE, Answer, Cost, Method, Prepared
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.plan import Plan
from benchmarks.suite.point import Point
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
    point = Point(method=name)

    def prepare(bench: Bench) -> Prepared:
        parts, rules = bench.parts(recipe), bench.config.rules
        speakers = parts.greedy_speakers if greedy else parts.speakers

        def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
            records = play_team(
                episodes, rules, speakers, controller, parts.task, method=name, phase=PHASE, seed=bench.seed
            )
            return {point: records}

        return _prepared(bench, recipe, point, answer, parts)

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        cost=cost,
        recipes=(recipe,) if recipe else (),
    )


def votes(name: str, *, title: str, reference: str, recipe: Recipe | None = None) -> Method:
    """The method of independent answers and a majority: a record holds all votes, its points are the first k."""

    def prepare(bench: Bench) -> Prepared:
        parts, rules = bench.parts(recipe), bench.config.rules
        point = of_samples(name, bench.plan.votes)

        def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
            ballots = sample_answers(
                episodes, rules, parts.speakers, parts.task, votes=bench.plan.votes, phase=PHASE, seed=bench.seed
            )
            return {point: [_elected(ballot, bench.plan.votes, point) for ballot in ballots]}

        return _prepared(bench, recipe, point, answer, parts)

    def points(records: Sequence[DialogueRecord]) -> dict[Point, list[DialogueRecord]]:
        most = max(len(record.turns) for record in records)
        every = {k: of_samples(name, k) for k in range(1, most + 1)}
        return {point: [_elected(record, k, point) for record in records] for k, point in every.items()}

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        cost=lambda plan: Cost(proposals=plan.votes),
        recipes=(recipe,) if recipe else (),
        setting=lambda plan: of_samples(name, plan.votes).setting,
        points=points,
    )


def of_samples(name: str, k: int) -> Point:
    """A method's point with ``k`` samples."""
    return Point(method=name, setting=f"k={k}")


def _elected(ballot: DialogueRecord, k: int, point: Point) -> DialogueRecord:
    return replace(majority(ballot, k), method=point.label)


def _prepared(bench: Bench, recipe: Recipe | None, point: Point, answer: Answer, parts: Parts) -> Prepared:
    tokens, questions = bench.training_cost(recipe) if recipe else (0, 0)
    return Prepared(
        points=(point,),
        answer=answer,
        training_tokens=tokens,
        training_questions=questions,
        resources=parts,
    )
