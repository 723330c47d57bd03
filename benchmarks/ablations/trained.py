"""Choices that only training can show: what reviews are paid for, on whose lines speakers learn, in which order.

    python -m benchmarks.ablations.trained OUT --recipes tracer tracer_uplift --jobs 2

trains what is missing beside the recordings of a benchmark and records it; it can be killed and given again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ablations.replay import Replay
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.cells import Job, recording_job, training_job
from benchmarks.suite.display import Display
from benchmarks.suite.plan import Plan, make_plan, read_plan
from benchmarks.suite.recipes import GRPO, SINGLE_GRPO, SPEAKERS_ONLY, TRACER
from benchmarks.suite.runner import run_jobs
from benchmarks.suite.workers import processes
from tracer_agents.cli import status_of, stoppable
from tracer_agents.evaluation.metrics import review_rates
from tracer_env.dialogue import Role, Rules
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
DEFAULT = "as configured"
# As many steps and about as many tokens as TRACER, most of them spent on the bare question.
_ANSWERS_FIRST = {"trainer.answer_share": 0.625, "credit.answer_group_size": 40}
RECIPES: Mapping[str, Recipe] = {
    DEFAULT: TRACER,
    "reviews paid for uplift": Recipe(name="tracer_uplift", settings={"credit.reviewer": "uplift"}),
    "on dialogues in which everybody always speaks": SPEAKERS_ONLY,
    "GRPO's loss": Recipe(name="tracer_grpo", settings=GRPO),
    "answers first": Recipe(name="answer_first", settings=_ANSWERS_FIRST),
    "answers first, GRPO's loss": Recipe(name="answer_first_grpo", settings={**_ANSWERS_FIRST, **GRPO}),
    "answers alone, GRPO's loss": SINGLE_GRPO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What speakers are like, over every utterance of expanded test questions; NaN where nothing was to judge.

    Args:
        first: share of first proposals that are right.
        sensitivity: share of wrong solutions that their review calls WRONG.
        specificity: share of right solutions that their review calls RIGHT.
        tokens: of a dialogue in which everybody always speaks.
    """

    first: float
    sensitivity: float
    specificity: float
    tokens: float


def open_bench(out: Path, seed: int) -> Bench:
    """One seed of a benchmark, on the task it was trained on where that is evaluated too, else on its first.

    Raises:
        ConfigError: the folder holds no plan.
    """
    plan = read(out)
    label = plan.train if plan.train in plan.tasks else next(iter(plan.tasks))
    return Bench(plan=plan, out=out, label=label, seed=seed)


def read(out: Path) -> Plan:
    """The plan of a benchmark's folder.

    Raises:
        ConfigError: it holds none that can be read.
    """
    path = out / "plan.yaml"
    return make_plan(read_plan(path), str(path))


def jobs_of_recipes(out: Path, seeds: Sequence[int], recipes: Sequence[Recipe]) -> list[Job]:
    """The trainings, then the recordings of all splits, of every recipe and seed."""
    pairs = [(open_bench(out, seed), recipe) for seed in seeds for recipe in recipes]
    trainings = [training_job(bench, recipe) for bench, recipe in pairs]
    return trainings + [recording_job(bench, split, recipe) for bench, recipe in pairs for split in SPLITS]


def speech(replay: Replay, rules: Rules) -> Speech:
    """The figures of a replay's speakers."""
    trees = replay.trees("test", rules)
    reviews = review_rates(
        (tree.right(tree.states[prefix]), utterance.verdict)
        for tree in trees
        for prefix, utterance in tree.spoken()
        if tree.states[prefix].role is Role.REVIEWER
    )
    return Speech(
        first=float(np.mean([tree.right(tree.states["1"]) for tree in trees])),
        sensitivity=np.nan if reviews.sensitivity is None else reviews.sensitivity,
        specificity=np.nan if reviews.specificity is None else reviews.specificity,
        tokens=float(np.mean([tree.states["1" * rules.rounds].generated_tokens for tree in trees])),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations.trained", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of a benchmark")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the plan; by default all of them")
    names = [recipe.name for recipe in RECIPES.values()]
    parser.add_argument("--recipes", choices=names, default=names, nargs="+", help="by default all of them")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    options = parser.parse_args(argv)
    return status_of(lambda: _train(options.out, options.seeds, options.recipes, jobs=options.jobs))


def _train(out: Path, seeds: Sequence[int] | None, names: Sequence[str], *, jobs: int) -> None:
    plan = read(out)
    if unknown := set(seeds or ()) - set(plan.seeds):
        raise ConfigError(f"--seeds: the plan has {plan.seeds}, not {sorted(unknown)}")
    recipes = [recipe for recipe in RECIPES.values() if recipe.name in names]
    with stoppable("what is done is on disk: run the same command to go on"), Display() as display:
        run_jobs(jobs_of_recipes(out, seeds or plan.seeds, recipes), plan, workers=processes(jobs), watch=display.watch)


if __name__ == "__main__":
    sys.exit(main())
