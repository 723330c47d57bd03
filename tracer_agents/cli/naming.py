"""``tracer list``: the names that settings and options take, each with what it is."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping

import click

from tracer_agents.cli.shared import tracer
from tracer_agents.config.sources import PRESETS, preset_names
from tracer_env.errors import ConfigError
from tracer_env.names import nearest

Rows = Iterator[tuple[str, str]]


def _presets() -> Rows:
    """With the first sentence of the comment at the head of each file."""
    for name in preset_names():
        comment = re.match(r"(?:#.*\n)+", (PRESETS / f"{name}.yaml").read_text("utf-8"))
        text = " ".join(comment[0].replace("#", " ").split()) if comment else ""
        yield name, re.split(r"(?<=\.) ", text)[0]


def _tasks() -> Rows:
    from tracer_env.tasks.catalogue import TASKS

    yield from _described(TASKS)
    yield "hub:OWNER/NAME", "A question set on the Hugging Face hub, graded by task.options.grader."
    yield (
        "package.module:name",
        "A task of your own: a class or function, installed or in the working directory.",
    )


def _graders() -> Rows:
    from tracer_env.tasks.custom import GRADERS

    yield from _described(GRADERS)
    yield (
        "package.module:name",
        "A grader of your own: a class or function, installed or in the working directory.",
    )


def _minimisers() -> Rows:
    from tracer_agents.controllers.regret import MINIMISERS

    yield from _described(MINIMISERS)


def _controllers() -> Rows:
    from tracer_agents.controllers.fixed import fixed_controllers

    yield from _described({name: type(controller) for name, controller in fixed_controllers().items()})


def _filters() -> Rows:
    from tracer_agents.showing.shelf import FILTERS

    yield from ((name, meaning) for name, (meaning, _) in FILTERS.items())


def _described(things: Mapping[str, Callable[..., object]]) -> Rows:
    """Each name with the first paragraph of its docstring, in one row."""
    for name, thing in things.items():
        text = (inspect.getdoc(thing) or "").split("\n\n")[0]
        yield name, " ".join(text.replace("``", "").split())


_KINDS: dict[str, tuple[str, Callable[[], Rows]]] = {
    "presets": ("tracer train PRESET", _presets),
    "tasks": ("--task NAME", _tasks),
    "graders": ("--task.options.grader NAME, of jsonl and hub sets", _graders),
    "minimisers": ("--controllers.minimiser NAME", _minimisers),
    "controllers": ("fixed rules, candidates of the baseline best_fixed", _controllers),
    "filters": ("tracer show RUN --filter NAME", _filters),
}


@tracer.command("list", short_help="Presets, tasks, graders and other names.")
@click.argument("kind", required=False, metavar=f"[{'|'.join(_KINDS)}]")
def list_names(*, kind: str | None) -> None:
    """List the names of a KIND, each with what it is; without one, of every kind.

    The benchmark's methods are listed by python -m benchmarks methods, in a clone; settings by tracer train --help.
    """
    if kind is not None and kind not in _KINDS:
        raise ConfigError(f"there is no list of {kind!r}; there are: {', '.join(_KINDS)}{nearest(kind, _KINDS)}")
    for name in _KINDS if kind is None else (kind,):
        use, rows = _KINDS[name]
        formatter = click.HelpFormatter(width=max(60, min(120, click.get_current_context().terminal_width or 110)))
        with formatter.section(f"{name} ({use})"):
            formatter.write_dl(list(rows()), col_max=36)
        click.echo(formatter.getvalue())
