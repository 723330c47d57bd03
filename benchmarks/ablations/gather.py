"""Measures the sections on whatever a benchmark's folder has recorded."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import starmap
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.ablations.compare import Measured, Row, compare, resampled
from benchmarks.ablations.page import Table, speech_table
from benchmarks.ablations.replay import Replay, Setting
from benchmarks.ablations.sections import Section, sections
from benchmarks.ablations.trained import DEFAULT, RECIPES, SPLITS, Speech, open_bench, read, speech
from benchmarks.suite.bench import Recipe
from benchmarks.suite.recipes import TRACER
from tracer_agents.evaluation.statistics import Resamples

SPEAKERS: Mapping[str, Recipe | None] = {"initial": None, "trained": TRACER}


def recorded_seeds(out: Path, recipe: Recipe | None) -> list[int]:
    """The plan's seeds for which some speakers have been recorded.

    Raises:
        RunError: a recording has been begun and not ended.
    """
    seeds = []
    for bench in (open_bench(out, seed) for seed in read(out).seeds):
        if all(bench.recording_path(split, recipe).is_file() for split in SPLITS):
            Replay.of(bench, recipe)  # complete, or named
            seeds.append(bench.seed)
    return seeds


def measure(out: Path, who: str, seed: int, names: Sequence[str]) -> dict[str, Measured]:
    """What the rows of sections did under one seed, by the sections' names."""
    replay, chosen = Replay.of(open_bench(out, seed), SPEAKERS[who]), sections(read(out))
    ids = replay.question_ids
    return {
        name: Measured(
            seed=seed, question_ids=ids, outcomes={label: row(replay) for label, row in chosen[name].rows.items()}
        )
        for name in names
    }


def measure_all(out: Path, names: Sequence[str], *, jobs: int) -> dict[str, list[dict[str, Measured]]]:
    """``measure`` of every recorded seed, by whose speakers they are; nobody is named who is not recorded.

    Args:
        out: the benchmark's folder.
        names: of the sections.
        jobs: processes at a time; 1 works in this one.

    Raises:
        RunError: a recording has been begun and not ended.
    """
    runs = [(out, who, seed, names) for who, recipe in SPEAKERS.items() for seed in recorded_seeds(out, recipe)]
    if jobs == 1:
        measured = list(starmap(measure, runs))
    else:
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            measured = [future.result() for future in [pool.submit(measure, *run) for run in runs]]
    by_speakers: dict[str, list[dict[str, Measured]]] = {}
    for (_, who, _, _), by_name in zip(runs, measured, strict=True):
        by_speakers.setdefault(who, []).append(by_name)
    return by_speakers


def tables(out: Path, names: Sequence[str], *, jobs: int, resamples: int) -> dict[str, dict[str, Table]]:
    """Whose speakers -> name of the section -> its table, for everybody who is recorded.

    Raises:
        RunError: a recording has been begun and not ended.
    """
    chosen = sections(read(out))
    by_speakers: dict[str, dict[str, Table]] = {}
    for who, seeds in measure_all(out, names, jobs=jobs).items():
        by_name = {name: [of_seed[name] for of_seed in seeds] for name in names}
        compared = _Compared.of(out, by_name[names[0]], resamples)
        by_speakers[who] = {
            name: Table(
                who=f"{who} speakers", extent=_extent(measured), rows=compared.rows(measured, chosen[name].default)
            )
            for name, measured in by_name.items()
        }
    return by_speakers


def longer(out: Path, *, jobs: int, resamples: int) -> tuple[Section, list[Table]]:
    """The section of rounds on a benchmark of its own, whose dialogues are longer.

    Raises:
        RunError: a recording has been begun and not ended.
    """
    plan = read(out)
    section = sections(plan)["rounds"]
    about = (
        f"{section.about} Another recording, of up to {plan.base.dialogue.rounds} rounds, with {plan.fit_questions} "
        f"training and {plan.validation_questions} validation questions per seed."
    )
    measured = tables(out, ["rounds"], jobs=jobs, resamples=resamples)
    return replace(section, title="Longer dialogues", about=about), [by_name["rounds"] for by_name in measured.values()]


def trained(folders: Sequence[Path], *, resamples: int) -> tuple[Section, list[Table]]:
    """What only training shows: a table a folder, of the recipes that are recorded for as many seeds as the default.

    Raises:
        RunError: a recording is incomplete.
    """
    section = Section(
        title="What speakers are trained for",
        about="What a review is paid for (agreeing with the truth, or also the uplift of a revision after it), on "
        "whose dialogues speakers are trained, by which loss, and whether proposers learn to answer alone first; "
        "controllers are then fitted to the trained speakers as by default.",
        default=DEFAULT,
        rows={},  # each row is another recording
    )
    return section, [table for folder in folders for table in _trained(folder, resamples)]


def _trained(out: Path, resamples: int) -> list[Table]:
    """The table of a folder; none where there is nothing to compare."""
    seeds = recorded_seeds(out, RECIPES[DEFAULT])
    recipes = {label: recipe for label, recipe in RECIPES.items() if recorded_seeds(out, recipe) == seeds}
    if not seeds or len(recipes) == 1:
        return []
    measured: list[Measured] = []
    heard: dict[str, list[Speech]] = {label: [] for label in recipes}
    for seed in seeds:
        bench = open_bench(out, seed)
        replays = {label: Replay.of(bench, recipe) for label, recipe in recipes.items()}
        setting = Setting.of(bench.plan)
        outcomes = {label: replay.outcome(setting) for label, replay in replays.items()}
        measured.append(Measured(seed=seed, question_ids=replays[DEFAULT].question_ids, outcomes=outcomes))
        for label, replay in replays.items():
            heard[label].append(speech(replay, bench.config.rules))
    rows = _Compared.of(out, measured, resamples).rows(measured, DEFAULT)
    note = speech_table({label: _mean(speeches) for label, speeches in heard.items()})
    return [Table(who=f"trained speakers of {out.name}", extent=_extent(measured), rows=rows, note=note)]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """How tables of the same questions are compared."""

    drawn: Resamples
    price_per_token: float

    @classmethod
    def of(cls, out: Path, seeds: Sequence[Measured], resamples: int) -> "_Compared":
        bench = open_bench(out, seeds[0].seed)
        return cls(
            drawn=resampled(seeds, resamples=resamples, label=bench.label),
            price_per_token=bench.plan.price / bench.config.token_budget,
        )

    def rows(self, seeds: Sequence[Measured], default: str) -> list[Row]:
        return compare(seeds, self.drawn, default=default, price_per_token=self.price_per_token)


def _extent(seeds: Sequence[Measured]) -> str:
    questions = sum(len(run.question_ids) for run in seeds)
    named = ", ".join(str(run.seed) for run in seeds)
    return f"{questions:,} test questions of seed{'s' * (len(seeds) > 1)} {named}"


def _mean(speeches: Sequence[Speech]) -> Speech:
    names = [field.name for field in fields(Speech)]
    return Speech(**{name: float(np.mean([getattr(speech_, name) for speech_ in speeches])) for name in names})
