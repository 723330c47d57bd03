"""Commands that measure: ``eval`` and ``certify``."""

from pathlib import Path

import click

from tracer_agents.cli import shared
from tracer_agents.cli.process import stoppable
from tracer_agents.cli.shared import PATH, tracer
from tracer_agents.config.options import SettingsCommand
from tracer_agents.config.sources import PRESETS, load_config, preset_names
from tracer_env.errors import ConfigError


@tracer.command(
    "eval", cls=SettingsCommand, epilog=shared.EPILOG, short_help="Measure a trained run, a model or recorded answers."
)
@click.argument("run", type=PATH, required=False)
@click.option("--model", help="'tiny', a folder or a hub name: untrained controllers that always speak.")
@click.option("--speaker", type=click.Choice(["replay"]), help="replay: grade recorded completions.")
@click.option("--completions", type=PATH, help="A JSONL file of recorded completions.")
@click.option("--resume", is_flag=True, help="Go on with the evaluation in --out, question by question.")
@click.option("--limit", type=int, help="How many held-out questions (evaluation.questions).")
@shared.dry_run
@shared.config
@shared.task
@click.option("--data", help="A local JSONL file of questions that are only tested on (task.eval_data).")
@shared.seed
@shared.out
@click.pass_context
def evaluate(
    ctx: click.Context,
    *,
    run: Path | None,
    model: str | None,
    speaker: str | None,
    completions: Path | None,
    resume: bool,
    limit: int | None,
    dry_run: bool,
    file: Path | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    out: Path,
) -> None:
    """Measure a trained RUN, an untrained model or recorded completions on held-out questions."""
    from tracer_agents.training.experiment import run_evaluation, run_replay
    from tracer_agents.training.terminal import RichDisplay, print_summary

    given = sum(source is not None for source in (run, model, speaker))
    if given > 1 or (given == 0 and file is None):
        raise ConfigError("give one of RUN, --model NAME_OR_PATH, --speaker replay, or a team in --config FILE")
    if (speaker is None) != (completions is None):
        raise ConfigError("--speaker replay and --completions FILE go together")
    if resume and completions is not None:
        raise ConfigError("grading recorded completions starts anew: drop --resume and choose another --out")
    overrides = shared.overrides(
        ctx, task=task, **{"task.eval_data": data, "seed": seed, "evaluation.questions": limit}
    )
    if run is not None:
        if file is not None:
            raise ConfigError("a RUN has its own settings; drop --config and change them with --section.field VALUE")
        file = _settings_of(run)
    if model is not None:
        overrides = {"speakers.model": model, **overrides}
    config = load_config(file=file, overrides=overrides)
    if dry_run:
        shared.show_forecast(config, "eval --model" if run is None else "eval RUN")
        return
    again = "run the same command with another --out" if completions else "go on with the same command and --resume"
    with stoppable(f"what is answered is on disk, {again}"):
        with RichDisplay() as display:
            if completions is not None:
                summary = run_replay(config, out, completions=completions, display=display)
            else:
                summary = run_evaluation(config, out, run=run, display=display, resume=resume)
        print_summary(summary.as_json(), out)


def _settings_of(run: Path) -> Path:
    """The settings that a run was trained with.

    Raises:
        ConfigError: it is a preset's name, and no run.
        RunError: there is no run, or its settings are damaged.
    """
    if str(run) in preset_names() and not run.exists():
        raise ConfigError(
            f"{run} is a preset, and eval measures what was trained: tracer train {run} --out RUN, then "
            f"tracer eval RUN --out DIR; an untrained model with the preset's settings: tracer eval --model NAME "
            f"--config {PRESETS / f'{run}.yaml'} --out DIR"
        )
    return shared.stored_settings(run)


@tracer.command(short_help="How good a run's controllers are, with intervals.")
@click.argument("run", type=PATH)
@click.option(
    "--questions",
    type=click.IntRange(min=2),
    default=128,
    show_default=True,
    help="Held-out questions to expand.",
)
def certify(*, run: Path, questions: int) -> None:
    """Measure how far a RUN's controllers are from equilibrium and from the best there is."""
    from tracer_agents.evaluation.certify import certify_run
    from tracer_agents.runs.curves import draw_gaps
    from tracer_agents.runs.directory import RunDirectory
    from tracer_agents.team import Team
    from tracer_agents.training.terminal import RichDisplay, print_certificate, print_gaps

    with stoppable("the run is as it was; certify starts anew"):
        directory = RunDirectory(run)
        with RichDisplay() as display, Team.load(run) as team:
            display.stage("certify")
            measured = certify_run(directory, team.config, team.parts, team.controller, questions=questions)
        certificate = measured.as_json()
        draw_gaps(directory.metrics(), certificate, directory.folder / "certificate.png")
        print_gaps(directory.metrics())
        print_certificate(certificate)
