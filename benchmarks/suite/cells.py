"""The jobs of a benchmark: what each needs, what it leaves on disk, and how it goes on after a kill."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from benchmarks.methods import METHODS, Method
from benchmarks.suite import recordings
from benchmarks.suite.answers import read_answers, read_begun
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.plan import Plan
from benchmarks.suite.point import Point, cell_folder
from tracer_agents.config import Config
from tracer_agents.errors import RunError
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.runs.files import append_lines, locked, write_json, write_lines
from tracer_agents.runs.pools import verify_pool
from tracer_agents.types import Episode
from tracer_env.errors import ConfigError
from tracer_env.names import nearest
from tracer_env.tasks.base import Split

Kind = Literal["train", "record", "pool", "cell"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to be done once: train a recipe, record a split, or answer a cell's questions.

    Args:
        size: its length, in questions (of a training: steps).
        progress: the file that tells how far it is: one ``mark`` per question or step.
        done: the file that is there when it is done; None: it is done when progress says so.
        needs: names of the jobs to be done before.
    """

    name: str
    kind: Kind
    bench: Bench
    size: int
    progress: Path
    mark: bytes = b"\n"
    done: Path | None
    needs: tuple[str, ...] = ()
    recipe: Recipe | None = None
    split: Split | None = None
    method: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether it was done to its end."""
        return self.done.is_file() if self.done else self.completed() >= self.size

    def completed(self) -> int:
        """How much of it is on disk, at most ``size``."""
        if not self.progress.is_file():
            return 0
        return min(self.size, self.progress.read_bytes().count(self.mark))

    def verify(self) -> None:
        """Reads what was left when it was done.

        Raises:
            DataError, RunError: a file is damaged; the message names the line.
        """
        if self.kind == "train" and self.recipe is not None:
            self.bench.training_cost(self.recipe)
        elif self.kind == "record":
            recordings.read_rows(self.progress)
        elif self.kind == "pool":
            verify_pool(self.progress)
        else:
            read_answers(self.progress)

    def run(self) -> None:
        """Does what is missing of it; two processes never do so at once.

        Raises:
            RunError: another process is at it, or its folder holds something else.
        """
        if self.kind == "train" and self.recipe is not None:
            self.bench.train(self.recipe)
        elif self.kind == "record" and self.split is not None:
            with locked(self.progress.parent):
                self.bench.record(self.split, self.recipe)
        elif self.kind == "pool" and self.split is not None:
            with locked(self.progress.parent):
                self.bench.draw_pool(self.split)
        elif self.method is not None:
            with locked(self.progress.parent):
                answer_cell(self.bench, METHODS[self.method], self.progress.parent)


def answer_cell(bench: Bench, method: Method, folder: Path) -> None:
    """Answers the questions of a cell that ``records.jsonl`` does not hold yet, then writes ``cell.json``.

    A question's records depend on the question alone, but for the last bits of its signals, which an engine's batches
    change; so a chunk that was cut short is answered again whole, and a cell that was killed ends with the same bytes.

    Raises:
        RunError: the file holds other questions or other points.
    """
    start = time.perf_counter()
    prepared, episodes = method.prepare(bench), bench.episodes("test")
    path, points = folder / "records.jsonl", prepared.points
    records = read_begun(path)
    answered = len(records) // len(points)
    _check(path, records[: answered * len(points)], points, episodes)
    answered -= answered % bench.plan.chunk if answered < len(episodes) else 0
    whole = records[: answered * len(points)]
    write_lines(path, [record.as_json() for record in whole])
    with prepared.resources:
        for first in range(answered, len(episodes), bench.plan.chunk):
            part = episodes[first : first + bench.plan.chunk]
            new = prepared.answer(part)
            append_lines(path, [new[point][index].as_json() for index in range(len(part)) for point in points])
    facts = {
        "method": method.name,
        "task": bench.label,
        "seed": bench.seed,
        "questions": len(episodes),
        "points": [point.label for point in points],
        "training_tokens": prepared.training_tokens,
        "training_questions": prepared.training_questions,
        "timing": {"seconds": round(time.perf_counter() - start, 1), "questions": len(episodes) - answered},
    }
    write_json(folder / "cell.json", facts)


def _check(path: Path, records: Sequence[DialogueRecord], points: Sequence[Point], episodes: Sequence[Episode]) -> None:
    for index, record in enumerate(records):
        question, point = divmod(index, len(points))
        expected = (episodes[question].question.id, points[point].label) if question < len(episodes) else None
        if (record.question_id, record.method) != expected:
            raise RunError(
                f"{path}, line {index + 1}: holds {record.method!r} on {record.question_id!r} where the plan asks for "
                f"{expected}; choose another --out, or remove the folder to answer anew"
            )


Sizes = Callable[[Bench, Split], int]  # how many questions of a split there are


def drawn(bench: Bench, split: Split) -> int:
    """The number of a split's questions, found by drawing them."""
    return len(bench.episodes(split))


def jobs_of(plan: Plan, out: Path, sizes: Sizes = drawn) -> list[Job]:
    """Every job of a plan, each after those it needs; what methods share is one job.

    Args:
        sizes: tells the number of questions; by default the data is loaded for it.

    Raises:
        ConfigError: a method that does not exist, or that the plan's team cannot have.
    """
    _check_methods(plan)
    jobs: dict[str, Job] = {}
    for seed in plan.seeds:
        for label in plan.tasks:
            bench = Bench(plan=plan, out=out, label=label, seed=seed)
            for name in plan.methods:
                for job in _jobs_of_cell(bench, METHODS[name], sizes):
                    jobs.setdefault(job.name, job)
    return sorted(jobs.values(), key=lambda job: ("train", "record", "pool", "cell").index(job.kind))


def _check_methods(plan: Plan) -> None:
    unknown = [name for name in plan.methods if name not in METHODS]
    if unknown:
        there = ", ".join(sorted(METHODS))
        raise ConfigError(f"methods: there is no {unknown[0]!r}; there are {there}{nearest(unknown[0], METHODS)}")
    alone = len(plan.base.models) == 1
    if alone and (needing := [name for name in plan.methods if METHODS[name].several_models]):
        raise ConfigError(f"methods: {needing[0]} is for teams of several models; set speakers.members, or drop it")
    training = [name for name in plan.methods if METHODS[name].recipes]
    if training and not _can_train(plan.base):
        raise ConfigError(
            f"methods: {training[0]} trains speakers, and the settings leave none to train: chat servers "
            "(backend.name: openai) keep their weights; drop it, or take 'all', which leaves out what cannot be had"
        )
    if training:
        plan.base.require_trainable()


def _can_train(config: Config) -> bool:
    """Whether some speaker's weights are at hand."""
    return any(use.backend.trainable and use.trained for use in config.models)


def fitting_methods(plan: Plan) -> list[str]:
    """All methods that make sense for the plan's team.

    Rivals of teams need several models, lone agents one, and methods that train speakers some whose weights are here.
    """
    several, trainable = len(plan.base.models) > 1, _can_train(plan.base)

    def fits(method: Method) -> bool:
        alone = any("dialogue.n_agents" in recipe.settings for recipe in method.recipes)
        return (trainable or not method.recipes) and (not alone if several else not method.several_models)

    return sorted(name for name, method in METHODS.items() if fits(method))


def _jobs_of_cell(bench: Bench, method: Method, sizes: Sizes) -> Iterator[Job]:
    recipes = {recipe.name: training_job(bench, recipe) for recipe in method.recipes}
    yield from recipes.values()
    recorded = [recording_job(bench, split, recipe, sizes) for split, recipe in _recordings(bench, method)]
    yield from recorded
    pooled = [pool_job(bench, split, sizes) for split in method.pools]
    yield from pooled
    folder = cell_folder(bench.out, method.name, bench.label, bench.seed)
    needs = (*(job.name for job in recipes.values()), *(job.name for job in (*recorded, *pooled)))
    yield Job(
        name=f"{method.name} on {bench.label}, seed {bench.seed}",
        kind="cell",
        bench=bench,
        size=sizes(bench, "test"),
        done=folder / "cell.json",
        progress=folder / "records.jsonl",
        mark=b'{"method": "%b"' % method.headline(bench.plan).label.encode(),
        needs=needs,
        method=method.name,
    )


def _recordings(bench: Bench, method: Method) -> Sequence[tuple[Split, Recipe | None]]:
    """Those of a method, and the training questions that teach its speakers' belief where the settings ask for one."""
    taught: list[tuple[Split, Recipe | None]] = []
    if bench.config.dialogue.believes:
        taught = [("train", recipe) for _, recipe in method.recordings]
    by_name: dict[tuple[Split, str | None], tuple[Split, Recipe | None]] = {
        (split, recipe and recipe.name): (split, recipe) for split, recipe in (*method.recordings, *taught)
    }
    return [*by_name.values()]


def training_job(bench: Bench, recipe: Recipe) -> Job:
    """The training of a recipe's speakers."""
    folder = bench.run(recipe).folder
    return Job(
        name=f"train {recipe.name} on {bench.train_label}, seed {bench.seed}",
        kind="train",
        bench=bench,
        size=bench.training_config(recipe).trainer.steps,
        done=folder / "summary.json",
        progress=folder / "metrics.jsonl",
        recipe=recipe,
    )


def pool_job(bench: Bench, split: Split, sizes: Sizes = drawn) -> Job:
    """The drawing of a split's pool."""
    job = _job_per_question(bench, "pool", bench.out / "pools", bench.pool_path(split), split, sizes)
    return replace(job, mark=b'{"question_id": ')  # the first row is the header


def recording_job(bench: Bench, split: Split, recipe: Recipe | None, sizes: Sizes = drawn) -> Job:
    """The recording of a split, with the initial speakers or a recipe's."""
    path = bench.recording_path(split, recipe)
    job = _job_per_question(bench, "record", bench.out / "recordings", path, split, sizes)
    return replace(job, recipe=recipe, needs=(training_job(bench, recipe).name,)) if recipe else job


def _job_per_question(bench: Bench, kind: Kind, within: Path, path: Path, split: Split, sizes: Sizes) -> Job:
    """Filling a file that has one line for each question of a split; it is named by its folder in ``within``."""
    return Job(
        name=f"{kind} {path.parent.relative_to(within)}",
        kind=kind,
        bench=bench,
        size=sizes(bench, split),
        done=None,
        progress=path,
        split=split,
    )
