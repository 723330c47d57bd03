"""Commands that learn: ``train`` and ``fit``."""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracer_agents.cli import shared
from tracer_agents.cli.process import stoppable
from tracer_agents.cli.shared import PATH, tracer
from tracer_agents.config.options import SettingsCommand
from tracer_agents.config.sources import load_config
from tracer_env.errors import ConfigError, TracerError

if TYPE_CHECKING:
    from tracer_agents.config import Config
    from tracer_agents.learners.ranks import Ranks
    from tracer_agents.runs.watching import OpenLog
    from tracer_env.tasks.base import Split


@tracer.command(cls=SettingsCommand, epilog=shared.EPILOG, short_help="Train a team and compare it with baselines.")
@shared.preset
@click.option(
    "--log",
    type=click.Choice(["tensorboard", "wandb", "wandb-offline"]),
    default="tensorboard",
    show_default=True,
    help="Where curves go beside the run's own files and TensorBoard's, which are always written.",
)
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its own settings.")
@click.option(
    "--allow-older", is_flag=True, help="With --resume: go on from the newest whole checkpoint if newer are damaged."
)
@shared.config
@shared.task
@click.option("--data", help="A local JSONL file of questions that may be trained on (task.data).")
@shared.seed
@shared.out
@click.pass_context
def train(
    ctx: click.Context,
    *,
    preset: str | None,
    log: str,
    resume: bool,
    allow_older: bool,
    file: Path | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    out: Path,
) -> None:
    """Train a team, from a shipped PRESET or the defaults, and compare it with baselines."""
    from tracer_agents.learners.ranks import joined  # torch loads here: not for --help

    if allow_older and not resume:
        raise ConfigError("--allow-older goes with --resume")
    with joined() as ranks:
        if not ranks.leads:
            ctx.exit(_follow(ranks))
        logs = _logs(log)
        overrides = shared.overrides(ctx, task=task, **{"task.data": data, "seed": seed})
        file = shared.stored_settings(out) if resume and preset is None and file is None else file
        config = load_config(preset=preset, file=file, overrides=overrides)
        _train(config, out, resume=resume, allow_older=allow_older, logs=logs, ranks=ranks)


def _train(
    config: "Config", out: Path, *, resume: bool, allow_older: bool, logs: "list[OpenLog]", ranks: "Ranks"
) -> None:
    """Trains, prints what came of it, and lets the processes that followed go."""
    from tracer_agents.training.experiment import run_training
    from tracer_agents.training.terminal import RichDisplay, print_summary

    how = ", alone or by torchrun" if ranks.several else ""
    with stoppable(f"finished steps are on disk, go on with: tracer train --resume --out {out}{how}"):
        with RichDisplay() as display:
            summary = run_training(
                config, out, resume=resume, allow_older=allow_older, display=display, logs=logs, ranks=ranks
            )
        ranks.tell(None)
        print_summary(summary.as_json(), out)


def _follow(ranks: "Ranks") -> int:
    """Trains as rank 0 tells; returns the exit status. What stops all processes is for rank 0 to say."""
    from transformers.utils import logging

    from tracer_agents.build import follow_leader

    logging.disable_progress_bar()  # rank 0 shows what is done
    try:
        follow_leader(ranks)
    except TracerError:
        with suppress(TracerError):
            ranks.hear()  # until rank 0 has said why: torchrun stops everybody once a process has ended
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _logs(name: str) -> "list[OpenLog]":
    """What ``--log`` names, looked for before any work.

    Raises:
        ConfigError: a package that is not installed.
    """
    from tracer_agents.runs.wandb import WandbLog, installed

    if name == "tensorboard":
        return []
    return [partial(WandbLog.open, module=installed(), offline=name == "wandb-offline")]


@tracer.command(cls=SettingsCommand, epilog=shared.EPILOG, short_help="Learn controllers for speakers as they are.")
@shared.preset
@click.option("--model", help="'tiny', a folder, a hub name, or a name that the server of backend.url knows.")
@click.option("--questions", type=click.IntRange(min=1), help="Questions to learn from.  [default: 256]")
@click.option("--limit", type=int, help="How many held-out questions (evaluation.questions).")
@click.option("--resume", is_flag=True, help="Go on with the fit in --out, with its own settings.")
@click.option("--pool", type=PATH, help="Learn from proposals and reviews in a file instead; no model is loaded.")
@click.option("--validation-pool", type=PATH, help="With --pool: questions to choose on; by default a fifth of it.")
@click.option("--test-pool", type=PATH, help="With --pool: questions to measure on; by default a fifth of it.")
@shared.dry_run
@shared.config
@shared.task
@click.option("--data", help="A local JSONL file of questions that may be learned from (task.data).")
@shared.seed
@shared.out
@click.pass_context
def fit(
    ctx: click.Context,
    *,
    preset: str | None,
    model: str | None,
    questions: int | None,
    limit: int | None,
    resume: bool,
    pool: Path | None,
    validation_pool: Path | None,
    test_pool: Path | None,
    dry_run: bool,
    file: Path | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    out: Path,
) -> None:
    """Learn when agents should speak, for speakers that stay as they are: record, solve, certify, evaluate."""
    from tracer_agents.training.fit import fit_settings, run_fit
    from tracer_agents.training.terminal import RichDisplay, print_summary

    named = {"task.data": data, "seed": seed, "evaluation.questions": limit, "speakers.model": model}
    overrides = shared.overrides(ctx, task=task, **named)
    file = shared.stored_settings(out) if resume and preset is None and file is None else file
    config = fit_settings(load_config(preset=preset, file=file, overrides=overrides), overrides, questions)
    if pool is not None:
        if resume or dry_run or model or questions or limit:
            raise ConfigError(
                "--pool: a pool says what is asked and by whom, and a fit from it takes seconds; drop --resume, "
                "--dry-run, --model, --questions and --limit"
            )
        _fit_pool(config, {"train": pool, "validation": validation_pool, "test": test_pool}, out)
        return
    if validation_pool or test_pool:
        raise ConfigError("--validation-pool and --test-pool go with --pool")
    if dry_run:
        shared.show_forecast(config, "fit")
        return
    with stoppable(f"what was said is on disk, go on with: tracer fit --resume --out {out}"):
        with RichDisplay() as display:
            summary = run_fit(config, out, resume=resume, display=display)
        print_summary(summary.as_json(), out)


def _fit_pool(config: "Config", files: Mapping["Split", Path | None], out: Path) -> None:
    """Learns controllers from pools, and prints what they are worth."""
    from tracer_agents.training.pools import Pools, pool_settings, run_pool_fit
    from tracer_agents.training.terminal import RichDisplay, print_summary

    with stoppable("a fit from a pool starts anew, in another --out"):
        pools = Pools.load({split: path for split, path in files.items() if path is not None})
        with RichDisplay() as display:
            summary = run_pool_fit(pool_settings(config, pools), out, pools, display=display)
        print_summary(summary.as_json(), out)
