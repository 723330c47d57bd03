"""The ``tracer`` group, and the options that its commands share."""

from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tracer_agents.config.options import given_settings
from tracer_agents.config.sources import preset_names

if TYPE_CHECKING:
    from tracer_agents.config import Config
    from tracer_agents.evaluation.forecast import Work

TASKS = "arithmetic, gsm8k, math500, gpqa_diamond, jsonl, hub:OWNER/NAME or package.module:name"
PATH = click.Path(path_type=Path)
EPILOG = f"""\b
Every setting is an option, read as YAML: --trainer.steps 20 --dialogue.infoset recall.
Later ones win: preset, --config file, options.
Presets: {", ".join(preset_names())}.
Tasks: {TASKS}."""


def _version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"tracer {metadata.version('tracer-debate')}")
        ctx.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def tracer() -> None:
    """Train and measure teams of cooperating language models."""


def _presets(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Completes the name of a preset."""
    return [name for name in preset_names() if name.startswith(incomplete)]


preset = click.argument("preset", required=False, shell_complete=_presets)
config = click.option("--config", "file", type=PATH, help="A YAML file of settings.")
task = click.option("--task", help=f"{TASKS}; forgets the preset's other task settings.")
seed = click.option("--seed", type=int, metavar="INTEGER ≥ 0", help="Seed of every random choice.  [default: 0]")
out = click.option("--out", type=PATH, required=True, help="The directory to write.")
dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Say how many completions chat servers are asked for and what they can cost; no more.",
)
python = click.option(
    "--python", type=PATH, help="Interpreter of the environment that SGLang is installed in; by default it is sought."
)


def stored_settings(run: Path) -> Path:
    """The file of a run's settings.

    Raises:
        RunError: there is no run, or its settings are damaged.
    """
    from tracer_agents.runs.directory import RunDirectory

    RunDirectory(run).config()  # says what is wrong with it
    return run / "config.yaml"


def show_forecast(config: "Config", work: "Work") -> None:
    """What completions can cost; nothing is asked for, and nothing is written."""
    from tracer_agents.evaluation.forecast import forecast
    from tracer_agents.training.terminal import print_forecast

    print_forecast(forecast(config, work), config)


def overrides(ctx: click.Context, *, task: str | None, **named: Any) -> dict[str, Any]:
    """The settings of a command line, those with an option of their own last."""
    # another task means other questions: the preset's options and data were for its own
    chosen = {} if task is None else {"task": {"name": task}}
    return {**chosen, **given_settings(ctx), **{name: value for name, value in named.items() if value is not None}}
