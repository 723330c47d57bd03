"""Finds a task by its name: the one place that knows them all."""

import inspect
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tracer_env.errors import ConfigError
from tracer_env.names import nearest
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Task
from tracer_env.tasks.custom import hub, jsonl
from tracer_env.tasks.gpqa import gpqa_diamond
from tracer_env.tasks.gsm8k import gsm8k
from tracer_env.tasks.imported import imported, is_import_path, made
from tracer_env.tasks.math500 import math500

TASKS: dict[str, Callable[..., Task]] = {
    "arithmetic": Arithmetic,
    "gsm8k": gsm8k,
    "math500": math500,
    "gpqa_diamond": gpqa_diamond,
    "jsonl": jsonl,
}
_MEMBERS = ("name", "trainable", "answer_format", "draw", "parse", "grade")  # of a Task


def make_task(
    name: str, *, data: str | Path | None = None, eval_data: str | Path | None = None, **options: Any
) -> Task:
    """The task of that name.

    ``data`` is what may be trained on, ``eval_data`` what is only ever tested on:

    ==============  ===========================================  ==========================================
    given           ``gsm8k``, ``jsonl``                         ``math500``, ``gpqa_diamond``
    ==============  ===========================================  ==========================================
    ``data``        train, validation and test: hash slices      test: the file in its order
    ``eval_data``   test: the file in its order; no training     test: the file in its order
    both            train, validation: hash slices of ``data``;  an error
                    test: ``eval_data`` in its order
    neither         the hub's splits (``jsonl``: an error)       the hub's questions
    ==============  ===========================================  ==========================================

    So to evaluate on a file, give it as ``eval_data``. Slices are chosen by question hash: no seed, order or
    second file changes what is held away for validation.

    Args:
        name: one of ``TASKS``, ``hub:<owner/name>``, or ``package.module:name`` of a class or a function that
            returns a ``Task`` (looked for where Python looks, then in the working directory).
        data, eval_data: JSONL files in the task's official field names.
        options: the task's own, e.g. ``level`` of ``arithmetic``, ``grader`` of ``jsonl``, ``config`` of a hub set;
            keyword arguments of what an import path names.

    Raises:
        ConfigError: no such task or option, or a task of the user's that cannot be imported or is none.
        DataError: a file or data set that cannot be used.
        LeakageError: a question is both in ``data`` and in ``eval_data``.
    """
    if name.startswith("hub:"):
        make: Callable[..., Task] = partial(hub, name.removeprefix("hub:"))
    elif name in TASKS:
        make = TASKS[name]
    elif is_import_path(name):
        make = imported("task", name)
    else:
        raise ConfigError(
            f"task must be one of {sorted(TASKS)}, hub:<owner/name> or package.module:name, "
            f"got {name!r}{nearest(name, TASKS)}"
        )
    known = [option for option in inspect.signature(make).parameters if option != "name"]
    files = {field: path for field, path in (("data", data), ("eval_data", eval_data)) if path is not None}
    for option in (*files, *options):
        if option not in known:
            raise ConfigError(f"task {name!r} has no option {option!r}; it has {known}{nearest(option, known)}")
    if is_import_path(name):
        return made("task", name, make, {**files, **options}, needs=_MEMBERS)
    return make(**files, **options)
