"""Methods that are controllers: played on recorded trees, so that all of them share what was generated."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.methods.base import PHASE, Cost, Method, Prepared
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.fitting import headline_price, over_prices
from benchmarks.suite.plan import Plan
from benchmarks.suite.point import Point
from tracer_agents.rollout.records import DialogueRecord, record_dialogues
from tracer_agents.rollout.tree import play
from tracer_agents.types import Controller, Episode
from tracer_env.dialogue import Rules
from tracer_env.tasks.base import Split


def fixed(name: str, *, title: str, reference: str, controller: Callable[[Bench], Controller]) -> Method:
    """The method of one controller that learns nothing, with the initial speakers."""
    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=lambda bench: played(bench, None, {Point(method=name): controller(bench)}),
        cost=_nothing,
        recordings=(("test", None),),
        headline=lambda plan: Point(method=name),
    )


def learned(
    name: str, *, title: str, reference: str, minimiser: Callable[[Plan], str], recipe: Recipe | None
) -> Method:
    """The method of regret-matching controllers, fitted at every price of the plan."""

    def prepare(bench: Bench) -> Prepared:
        controllers = over_prices(bench, recipe, name=name, minimiser=minimiser(bench.plan))
        return played(bench, recipe, controllers, fitted_on=("train", "validation"))

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        cost=_nothing,
        recipes=(recipe,) if recipe else (),
        recordings=(("train", recipe), ("validation", recipe), ("test", recipe)),
        headline=partial(headline_price, name),
    )


def played(
    bench: Bench,
    recipe: Recipe | None,
    controllers: Mapping[Point, Controller],
    *,
    fitted_on: Sequence[Split] = (),
    rules: Rules | None = None,
) -> Prepared:
    """Plays controllers, each for a point, on the recorded test questions.

    Args:
        fitted_on: splits whose recorded questions they were fitted on, which are then counted as training.
        rules: of the dialogues, with no more rounds than the plan's; by default the plan's.
    """
    recording, rules = bench.recording("test", recipe), rules or bench.config.dialogue.rules

    def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
        trees = recording.trees(rules, episodes)
        return {
            point: record_dialogues(
                episodes, play(trees, controller), recording, method=point.label, phase=PHASE, seed=bench.seed
            )
            for point, controller in controllers.items()
        }

    tokens, questions = (0, 0) if recipe is None else bench.training_cost(recipe)
    for split in fitted_on:
        seen = bench.recording(split, recipe)
        tokens, questions = tokens + seen.generated_tokens, questions + len(seen.episodes)
    return Prepared(points=tuple(controllers), answer=answer, training_tokens=tokens, training_questions=questions)


def _nothing(plan: Plan) -> Cost:
    return Cost()
