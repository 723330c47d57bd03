"""Methods that are controllers: played on recorded trees, so that all of them share what was generated."""

from collections.abc import Callable, Mapping, Sequence

from benchmarks.methods.base import PHASE, Method, Prepared
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.fitting import main_price, over_prices
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
        recordings=(("test", None),),
    )


def learned(name: str, *, title: str, reference: str, recipe: Recipe | None, minimiser: str | None = None) -> Method:
    """The method of regret-matching controllers, fitted at every price of the plan; by default with its minimiser."""

    def prepare(bench: Bench) -> Prepared:
        rule = minimiser or bench.plan.base.controllers.minimiser
        controllers = over_prices(bench, recipe, name=name, minimiser=rule)
        return played(bench, recipe, controllers, fitted_on=("train", "validation"))

    return Method(
        name=name,
        title=title,
        reference=reference,
        prepare=prepare,
        recipes=(recipe,) if recipe else (),
        recordings=(("train", recipe), ("validation", recipe), ("test", recipe)),
        setting=main_price,
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
    recording, rules = bench.recording("test", recipe), rules or bench.rules(recipe)

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
