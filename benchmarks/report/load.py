"""Reads a benchmark's records into one table with a row for each answer, checking every line."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from benchmarks.suite.answers import read_answers
from benchmarks.suite.plan import Plan, make_plan, read_plan
from benchmarks.suite.point import Point, cell_folder
from tracer_agents.config import Config
from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome
from tracer_agents.speakers.prompts import Prompts
from tracer_agents.speakers.templates import Messages
from tracer_env.errors import DataError
from tracer_env.rewards import Utility


class Described(Protocol):
    """What the report asks of a method: see ``benchmarks.methods.Method``."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def reference(self) -> str: ...
    @property
    def bound(self) -> bool: ...
    def headline(self, plan: Plan, /) -> Point: ...
    def points(self, records: Sequence[DialogueRecord], /) -> Mapping[Point, Sequence[DialogueRecord]]: ...
    def prompts(self, prompts: Prompts, /) -> Mapping[str, Messages]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One finished (method, task, seed); ``folder`` holds its files."""

    method: str
    task: str
    seed: int
    folder: Path
    questions: int
    training_tokens: int
    training_questions: int


@dataclass(frozen=True, kw_only=True)
class Results:
    """All that a benchmark recorded.

    Args:
        plan: what was to be run.
        methods: name -> method, those of the plan in its order.
        cells: those that ended, in the plan's order.
        missing: the others, each in words.
        answers: one row per answer, with the columns of ``answer_row``, and ``method``, ``point`` (its label),
            ``task`` and ``seed``.
    """

    plan: Plan
    methods: Mapping[str, Described]
    cells: tuple[Cell, ...]
    missing: tuple[str, ...]
    answers: pd.DataFrame

    def records(self, method: str, task: str) -> Iterator[tuple[Cell, Mapping[Point, Sequence[DialogueRecord]]]]:
        """The records of a method's cells on a task by point, read again from disk, one cell at a time."""
        for cell in self.cells:
            if (cell.method, cell.task) == (method, task):
                yield cell, self.methods[method].points(read_answers(cell.folder / "records.jsonl"))


def load(out: Path, methods: Mapping[str, Described]) -> Results:
    """Reads what a benchmark left in ``out``.

    Args:
        out: its folder.
        methods: every method that exists, by name.

    Raises:
        ConfigError: ``out`` holds no plan that can be read.
        DataError: no cell has ended, a line is broken, a method is unknown, or methods of one (task, seed) had
            different questions.
    """
    path = out / "plan.yaml"
    plan = make_plan(read_plan(path), str(path))
    for name in plan.methods:
        if name not in methods:
            raise DataError(f"{path}: methods: there is no {name!r}; restore its file in benchmarks/methods/")
    config, cells, missing, frames = plan.base, [], [], []
    for task in plan.tasks:
        for method in plan.methods:
            for seed in plan.seeds:
                folder = cell_folder(out, method, task, seed)
                cell = _cell(folder, method, task, seed)
                if cell is None:
                    missing.append(f"{method} on {task}, seed {seed}")
                    continue
                cells.append(cell)
                frames.append(_frame(cell, methods[method], config))
    if not cells:
        raise DataError(f"{out}: no cell has ended, so there is nothing to report; continue the benchmark")
    answers = pd.concat(frames, ignore_index=True)
    _check_same_questions(answers)
    return Results(
        plan=plan,
        methods={name: methods[name] for name in plan.methods},
        cells=tuple(cells),
        missing=tuple(missing),
        answers=answers,
    )


def answer_row(record: DialogueRecord, utility: Utility) -> dict[str, Any]:
    """What the tables need of one dialogue, or of one question's votes or samples.

    ``right`` is 1.0 only for an answer that was read and graded right. ``first_right`` is the first proposal's.
    ``free`` rounds are those of a dialogue in which a controller had a choice, ``spoken`` those of them in which it
    spoke. ``cost`` is the share of the token budget of a dialogue, at most 1.
    """
    dialogue = record.kind is Kind.DIALOGUE
    free = [turn for turn in record.turns if dialogue and not turn.forced and turn.round > 1]
    return {
        "question_id": record.question_id,
        "right": float(record.correct),
        "first_right": float(record.first_correct),
        "tokens": float(record.generated_tokens),
        "prompt_tokens": float(record.prompt_tokens),
        "cost": float(utility.cost(utility.prices.cost(record.turns))),
        "free": float(len(free)),
        "spoken": float(sum(turn.mode for turn in free)),
        "grade": record.grade,
        "no_answer": float(record.answer is None),
        "ungradable": float(record.grade is Outcome.UNGRADABLE),
        "failed": float(record.grade is Outcome.FAILED),
        "answer": record.answer,
        "gold": record.gold,
    }


def _cell(folder: Path, method: str, task: str, seed: int) -> Cell | None:
    path = folder / "cell.json"
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        counts = {name: int(about[name]) for name in ("questions", "training_tokens", "training_questions")}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(
            f"{path}: not what a finished cell leaves ({error!r}); remove the folder and run it again"
        ) from error
    return Cell(method=method, task=task, seed=seed, folder=folder, **counts)


def _frame(cell: Cell, method: Described, config: Config) -> pd.DataFrame:
    """The answers of a cell, every point's in the order of the first point's questions."""
    records = read_answers(cell.folder / "records.jsonl")
    if len({record.question_id for record in records}) != cell.questions or not records:
        raise DataError(
            f"{cell.folder}: records.jsonl does not hold the {cell.questions} questions that cell.json counts; "
            "remove the folder and run it again"
        )
    rows, asked, utility = [], None, config.utility
    for point, of_point in method.points(records).items():
        ids = [record.question_id for record in of_point]
        asked = asked or set(ids)
        if len(ids) != cell.questions or set(ids) != asked:
            raise DataError(
                f"{cell.folder}: point {point.label!r} does not hold each of the {cell.questions} questions once; "
                "remove the folder and run it again"
            )
        rows += [{"point": point.label, **answer_row(record, utility)} for record in of_point]
    return pd.DataFrame(rows).assign(method=cell.method, task=cell.task, seed=cell.seed)


def _check_same_questions(answers: pd.DataFrame) -> None:
    """Every method of a (task, seed) must have been asked the same."""
    for (task, seed), cell in answers.groupby(["task", "seed"], sort=False):
        asked = {method: frozenset(rows["question_id"]) for method, rows in cell.groupby("method", sort=False)}
        first, *others = asked
        for other in others:
            if asked[other] != asked[first]:
                raise DataError(
                    f"{task}, seed {seed}: {first} and {other} were asked different questions; "
                    "run both again in one plan"
                )
