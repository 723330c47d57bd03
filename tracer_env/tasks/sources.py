"""Builds tasks from where questions come from: local JSONL files or a hub data set."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tracer_env.errors import ConfigError
from tracer_env.grading.base import Grader
from tracer_env.tasks.finite import FiniteTask, Shares, evaluation_task, trainable_task
from tracer_env.tasks.rows import Row, hub_rows, jsonl_rows, question_set

Read = Callable[[Row], tuple[str, str, str | None]]  # identifying text, full text, canonical gold or None


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSource:
    """A data set of the Hugging Face hub, and which of its splits play which part."""

    name: str
    config: str | None = None
    train_split: str = "train"
    test_split: str = "test"


def plain_reader(grader: Grader, question_field: str, *answer_fields: str) -> Read:
    """Reads rows whose question and gold are fields of their own (the first of ``answer_fields`` that is there)."""

    def read(row: Row) -> tuple[str, str, str | None]:
        question = row.text(question_field)
        return question, question, grader.gold(row.text(*answer_fields))

    return read


def trainable_from(
    name: str,
    grader: Grader,
    read: Read,
    *,
    data: str | Path | None,
    eval_data: str | Path | None,
    hub: HubSource | None,
    shares: Shares,
) -> FiniteTask:
    """A task whose training questions are ``data`` and whose test questions are ``eval_data``.

    - both: ``train`` and ``validation`` are hash slices of ``data``; ``test`` is ``eval_data`` in file order.
    - ``data`` alone: ``test`` is a third hash slice of ``data``, never trained on.
    - ``eval_data`` alone: evaluation only; ``test`` is the file in its order.
    - neither: the hub data set's splits play these parts.

    Raises:
        LeakageError: a question is in both sources.
        DataError: a source that cannot be used.
        ConfigError: no source.
    """
    if data is None and eval_data is None:
        if hub is None:
            raise ConfigError(f"task {name!r} needs questions: data=FILE to train on, eval_data=FILE to evaluate on")
        rows = hub_rows(hub.name, config=hub.config, splits=(hub.train_split, hub.test_split))
        sets = {split: question_set(name, f"{hub.name} {split}", part, read) for split, part in rows.items()}
        training, test = sets.get(hub.train_split), sets.get(hub.test_split)
    else:
        training = None if data is None else question_set(name, str(data), jsonl_rows(data), read)
        test = None if eval_data is None else question_set(name, str(eval_data), jsonl_rows(eval_data), read)
    if training is not None:
        return trainable_task(name, grader, training, test, shares)
    assert test is not None
    return evaluation_task(
        name, grader, test, why=f"{test.source} is for evaluation; to train, give data=FILE with other questions"
    )


def evaluation_from(
    name: str,
    grader: Grader,
    read: Read,
    *,
    data: str | Path | None,
    eval_data: str | Path | None,
    hub: HubSource,
) -> FiniteTask:
    """An evaluation-only task: the questions of ``data`` or ``eval_data`` (the same here), else the hub's test split.

    Raises:
        DataError: a source that cannot be used.
        ConfigError: both files were given.
    """
    if data is not None and eval_data is not None:
        raise ConfigError(f"task {name!r} is evaluation only: give one file, as data or as eval_data, not both")
    path = data if data is not None else eval_data
    if path is not None:
        return evaluation_task(name, grader, question_set(name, str(path), jsonl_rows(path), read))
    rows = hub_rows(hub.name, config=hub.config, splits=(hub.test_split,))
    return evaluation_task(name, grader, question_set(name, hub.name, rows[hub.test_split], read))
