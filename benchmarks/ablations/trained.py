"""Choices that only training can show: what reviews are paid for, and on whose lines speakers are trained.

    python -m benchmarks.ablations.trained OUT --seeds 0 1 2

trains what is missing beside the recordings of a benchmark and records it; it can be killed and given again.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.ablations.replay import Replay
from benchmarks.bench import Bench, Recipe
from benchmarks.plan import Plan, make_plan, read_plan
from benchmarks.recipes import SPEAKERS_ONLY, TRACER
from tracer_agents.checkpoint import locked
from tracer_env.dialogue import Role, Rules, Verdict
from tracer_env.errors import ConfigError, TracerError
from tracer_env.tasks.base import Split

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
UPLIFT = Recipe(name="tracer_uplift", settings={"credit.reviewer": "uplift"})
DEFAULT = "verdict, exploring controllers"
RECIPES: Mapping[str, Recipe] = {
    DEFAULT: TRACER,
    "uplift, exploring controllers": UPLIFT,
    "verdict, everybody always speaks": SPEAKERS_ONLY,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What speakers are like, over every utterance of expanded test questions; NaN where nothing was to judge.

    Args:
        first: share of first proposals that are right.
        sensitivity: share of the reviews of right solutions that say RIGHT.
        specificity: share of the reviews of wrong solutions that say WRONG.
        tokens: a dialogue in which everybody always speaks.
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


def prepare(bench: Bench, recipe: Recipe) -> None:
    """Trains a recipe's speakers and records the three splits with them, as far as that is not done yet."""
    if not (bench.run(recipe).folder / "summary.json").is_file():
        bench.train(recipe)
    for split in SPLITS:
        with locked(bench.recording_path(split, recipe).parent):
            bench.record(split, recipe)


def speech(replay: Replay, rules: Rules) -> Speech:
    """The figures of a replay's speakers."""
    trees = replay.trees("test", rules)
    reviews = [
        (tree.right(tree.states[prefix]), said.verdict)
        for tree in trees
        for prefix, said in tree.spoken()
        if tree.states[prefix].role is Role.REVIEWER
    ]
    return Speech(
        first=float(np.mean([tree.right(tree.states["1"]) for tree in trees])),
        sensitivity=_share([verdict is Verdict.RIGHT for right, verdict in reviews if right]),
        specificity=_share([verdict is Verdict.WRONG for right, verdict in reviews if not right]),
        tokens=float(np.mean([tree.states["1" * rules.rounds].generated_tokens for tree in trees])),
    )


def _share(held: Sequence[bool]) -> float:
    return float(np.mean(held)) if held else float("nan")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations.trained", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of a benchmark")
    parser.add_argument("--seeds", type=int, nargs="+", help="of the plan; by default all of them")
    options = parser.parse_args(argv)
    try:
        plan = read(options.out)
        if unknown := set(options.seeds or ()) - set(plan.seeds):
            raise ConfigError(f"--seeds: the plan has {plan.seeds}, not {sorted(unknown)}")
        for seed in options.seeds or plan.seeds:
            for recipe in RECIPES.values():
                prepare(open_bench(options.out, seed), recipe)
                print(f"{recipe.name}, seed {seed}: trained and recorded", file=sys.stderr)
    except TracerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
