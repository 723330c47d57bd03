"""Measures the sections on whatever a benchmark's folder has recorded."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from benchmarks.ablations.compare import Measured, Row, compare
from benchmarks.ablations.page import Table, speech_table
from benchmarks.ablations.replay import Replay, Setting
from benchmarks.ablations.sections import Section, rounds
from benchmarks.ablations.trained import DEFAULT, RECIPES, SPLITS, Speech, open_bench, read, speech
from benchmarks.bench import Bench, Recipe
from benchmarks.recipes import TRACER

SPEAKERS: Mapping[str, Recipe | None] = {"initial": None, "trained": TRACER}
Tell = Callable[[str], None]


def recorded_seeds(out: Path, recipe: Recipe | None) -> list[int]:
    """The plan's seeds for which all three recordings of some speakers have been begun."""
    benches = [open_bench(out, seed) for seed in read(out).seeds]
    return [bench.seed for bench in benches if all(bench.recording_path(split, recipe).is_file() for split in SPLITS)]


def replayed(out: Path, who: str, chosen: Mapping[str, Section], *, resamples: int, tell: Tell) -> dict[str, Table]:
    """A table for every section, by its name, over the seeds that are recorded; none where no seed is.

    Args:
        out: the benchmark's folder.
        who: of ``SPEAKERS``.
        chosen: the sections.
        resamples: of intervals and tests.
        tell: is told what is under way.

    Raises:
        RunError: a recording is incomplete.
    """
    recipe = SPEAKERS[who]
    replays = [(seed, Replay.of(open_bench(out, seed), recipe)) for seed in recorded_seeds(out, recipe)]
    measured: dict[str, list[Measured]] = {name: [] for name in chosen}
    while replays:
        seed, replay = replays.pop(0)  # millions of small objects, once it has expanded its trees
        for name, section in chosen.items():
            tell(f"{who} speakers, seed {seed}: {section.title}")
            outcomes = {label: measure(replay) for label, measure in section.rows.items()}
            measured[name].append(Measured(seed=seed, question_ids=replay.question_ids, outcomes=outcomes))
    return {
        name: Table(
            heading=f"{who.capitalize()} speakers, {_extent(seeds)}:",
            rows=_rows(out, seeds, default=chosen[name].default, resamples=resamples),
        )
        for name, seeds in measured.items()
        if seeds
    }


def longer(out: Path, *, resamples: int, tell: Tell) -> tuple[Section, list[Table]]:
    """The section of rounds on a benchmark of its own, whose dialogues are longer.

    Raises:
        RunError: a recording is incomplete.
    """
    plan = read(out)
    section = rounds(plan)
    tables = [replayed(out, who, {"rounds": section}, resamples=resamples, tell=tell) for who in SPEAKERS]
    about = (
        f"{section.about} Another recording, of up to {plan.base.dialogue.rounds} rounds, with {plan.fit_questions} "
        f"training and {plan.validation_questions} validation questions a seed."
    )
    return replace(section, title="Longer dialogues", about=about), [one["rounds"] for one in tables if one]


def trained(out: Path, *, resamples: int, tell: Tell) -> tuple[Section, list[Table]]:
    """What only training shows, over the seeds for which every recipe is recorded; without tables where none is.

    Raises:
        RunError: a recording is incomplete.
    """
    section = Section(
        title="What speakers are trained for",
        about="What a review is paid for (agreeing with the truth, or also the uplift of a revision after it), and "
        "on whose dialogues speakers are trained; controllers are then fitted to the trained speakers as by default.",
        default=DEFAULT,
        rows={label: lambda replay: replay.outcome(Setting.of(read(out))) for label in RECIPES},
    )
    measured: list[Measured] = []
    heard: dict[str, list[Speech]] = {label: [] for label in RECIPES}
    for seed in sorted(set.intersection(*(set(recorded_seeds(out, recipe)) for recipe in RECIPES.values()))):
        bench = open_bench(out, seed)
        tell(f"recipes, seed {seed}")
        replays = {label: Replay.of(bench, recipe) for label, recipe in RECIPES.items()}
        outcomes = {label: section.rows[label](replay) for label, replay in replays.items()}
        measured.append(Measured(seed=seed, question_ids=replays[DEFAULT].question_ids, outcomes=outcomes))
        for label, replay in replays.items():
            heard[label].append(speech(replay, bench.config.dialogue.rules))
    if not measured:
        return section, []
    rows = _rows(out, measured, default=DEFAULT, resamples=resamples)
    note = speech_table({label: _mean(speeches) for label, speeches in heard.items()})
    return section, [Table(heading=f"{_extent(measured)}:", rows=rows, note=note)]


def _rows(out: Path, seeds: Sequence[Measured], *, default: str, resamples: int) -> list[Row]:
    bench: Bench = open_bench(out, seeds[0].seed)
    price_per_token = bench.plan.price / bench.config.token_budget
    return compare(seeds, default=default, price_per_token=price_per_token, resamples=resamples, label=bench.label)


def _extent(seeds: Sequence[Measured]) -> str:
    questions = sum(len(one.question_ids) for one in seeds)
    named = ", ".join(str(one.seed) for one in seeds)
    return f"{questions:,} test questions of seed{'s' * (len(seeds) > 1)} {named}"


def _mean(speeches: Sequence[Speech]) -> Speech:
    names = [field.name for field in fields(Speech)]
    return Speech(**{name: float(np.mean([getattr(one, name) for one in speeches])) for name in names})
