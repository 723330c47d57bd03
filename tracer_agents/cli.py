"""The ``tracer`` command: reads arguments, shows progress, prints tables."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from tracer_agents.config.options import SettingsCommand, given_settings
from tracer_agents.config.sources import PRESETS, load_config, preset_names
from tracer_env.errors import ConfigError, TracerError
from tracer_env.rendering import escape

if TYPE_CHECKING:
    from tracer_agents.config import Config
    from tracer_agents.evaluation.forecast import Work
    from tracer_env.tasks.base import Split

_TASKS = "arithmetic, gsm8k, math500, gpqa_diamond, jsonl or hub:OWNER/NAME"
_PATH = click.Path(path_type=Path)
_EPILOG = f"""\b
Every setting is an option, read as YAML: --trainer.steps 20 --dialogue.infoset recall.
Later ones win: preset, --config file, options.
Presets: {", ".join(preset_names())}.
Tasks: {_TASKS}."""


class Stopped(Exception):
    """Work that was stopped from outside; ``status`` is the exit status, the message says how to go on."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Terminated(BaseException):
    """SIGTERM came; like ``KeyboardInterrupt`` it passes every ``except Exception``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one ``tracer`` command; returns its exit status as ``status_of`` does."""
    return status_of(lambda: tracer.main(args=argv, prog_name="tracer", standalone_mode=False))


def status_of(command: Callable[[], int | None]) -> int:
    """The exit status of a command, 0 only if its work was done; what stopped it is shown in one line.

    It is what the command returns (None is 0), 1 after an error, 130 after an interrupt (Ctrl-C) and 143 after SIGTERM.
    A terminal of few characters and a reader that has gone are no errors.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of few characters shows what it can
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")
    try:
        status = command() or 0
    except click.ClickException as error:
        status = _fail(error.format_message())
    except TracerError as error:
        status = _fail(str(error))
    except OSError as error:
        status = _fail(_of_the_system(error))
    except Stopped as stopped:
        status = _fail(str(stopped), label="stopped", status=stopped.status)
    except click.Abort:
        status = _fail("nothing was written", label="interrupted", status=130)
    _flush(sys.stdout)
    return status


def _fail(message: str, *, label: str = "error", status: int = 1) -> int:
    """Shows what went wrong, with no power over the terminal for what came from outside."""
    try:
        click.echo(f"{click.style(f'{label}:', fg='red', bold=True)} {escape(message)}", err=True)
    except BrokenPipeError:
        _drop(sys.stderr)
    return status


def _of_the_system(error: OSError) -> str:
    """A file that cannot be used, or a full disk, in one line."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _flush(stream: Any) -> None:
    """A reader that has gone is no failure of the work."""
    try:
        stream.flush()
    except BrokenPipeError:
        _drop(stream)


def _drop(stream: Any) -> None:
    """Sends what is left in the stream nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def stoppable(advice: str) -> Iterator[None]:
    """Turns Ctrl-C and SIGTERM into ``Stopped`` with advice, after everything below has cleaned up.

    A batch system sends SIGTERM some seconds before it kills.
    """

    def terminate(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up is under way
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(f"interrupted; {advice}", 130) from error
    except Terminated as error:
        raise Stopped(f"terminated; {advice}", 143) from error
    finally:
        signal.signal(signal.SIGTERM, before)


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


_preset = click.argument("preset", required=False, shell_complete=_presets)
_config = click.option("--config", "file", type=_PATH, help="A YAML file of settings.")
_task = click.option("--task", help=f"{_TASKS}; forgets the preset's other task settings.")
_seed = click.option("--seed", type=int, metavar="INTEGER ≥ 0", help="Seed of every random choice.  [default: 0]")
_out = click.option("--out", type=_PATH, required=True, help="The directory to write.")
_dry_run = click.option(
    "--dry-run",
    is_flag=True,
    help="Say how many completions chat servers are asked for and what they can cost; no more.",
)
_python = click.option(
    "--python", type=_PATH, help="Interpreter of the environment that SGLang is installed in; by default it is sought."
)


@tracer.command(cls=SettingsCommand, epilog=_EPILOG, short_help="Train a team and compare it with baselines.")
@_preset
@click.option("--resume", is_flag=True, help="Go on with the run in --out, with its own settings.")
@click.option(
    "--allow-older", is_flag=True, help="With --resume: go on from the newest whole checkpoint if newer are damaged."
)
@_config
@_task
@click.option("--data", help="A local JSONL file of questions that may be trained on (task.data).")
@_seed
@_out
@click.pass_context
def train(
    ctx: click.Context,
    *,
    preset: str | None,
    resume: bool,
    allow_older: bool,
    file: Path | None,
    task: str | None,
    data: str | None,
    seed: int | None,
    out: Path,
) -> None:
    """Train a team, from a shipped PRESET or the defaults, and compare it with baselines."""
    from tracer_agents.training.experiment import run_training
    from tracer_agents.training.terminal import RichDisplay, print_summary  # torch loads here: not for --help

    if allow_older and not resume:
        raise ConfigError("--allow-older goes with --resume")
    overrides = _overrides(ctx, task=task, **{"task.data": data, "seed": seed})
    file = _stored_settings(out) if resume and preset is None and file is None else file
    config = load_config(preset=preset, file=file, overrides=overrides)
    with stoppable(f"finished steps are on disk, go on with: tracer train --resume --out {out}"):
        with RichDisplay() as display:
            summary = run_training(config, out, resume=resume, allow_older=allow_older, display=display)
        print_summary(summary.as_json(), out)


@tracer.command(cls=SettingsCommand, epilog=_EPILOG, short_help="Learn controllers for speakers as they are.")
@_preset
@click.option("--model", help="'tiny', a folder, a hub name, or a name that the server of backend.url knows.")
@click.option("--questions", type=click.IntRange(min=1), help="Questions to learn from.  [default: 256]")
@click.option("--limit", type=int, help="How many held-out questions (evaluation.questions).")
@click.option("--resume", is_flag=True, help="Go on with the fit in --out, with its own settings.")
@click.option("--pool", type=_PATH, help="Learn from proposals and reviews in a file instead; no model is loaded.")
@click.option("--validation-pool", type=_PATH, help="With --pool: questions to choose on; by default a fifth of it.")
@click.option("--test-pool", type=_PATH, help="With --pool: questions to measure on; by default a fifth of it.")
@_dry_run
@_config
@_task
@click.option("--data", help="A local JSONL file of questions that may be learned from (task.data).")
@_seed
@_out
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
    overrides = _overrides(ctx, task=task, **named)
    file = _stored_settings(out) if resume and preset is None and file is None else file
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
        _print_forecast(config, "fit")
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


def _stored_settings(run: Path) -> Path:
    """The file of a run's settings.

    Raises:
        RunError: there is no run, or its settings are damaged.
    """
    from tracer_agents.runs.directory import RunDirectory

    RunDirectory(run).config()  # says what is wrong with it
    return run / "config.yaml"


def _print_forecast(config: "Config", work: "Work") -> None:
    """What completions can cost; nothing is asked for, and nothing is written."""
    from tracer_agents.evaluation.forecast import forecast
    from tracer_agents.training.terminal import print_forecast

    print_forecast(forecast(config, work), config)


def _overrides(ctx: click.Context, *, task: str | None, **named: Any) -> dict[str, Any]:
    """The settings of a command line, those with an option of their own last."""
    # another task means other questions: the preset's options and data were for its own
    chosen = {} if task is None else {"task": {"name": task}}
    return {**chosen, **given_settings(ctx), **{name: value for name, value in named.items() if value is not None}}


@tracer.command(
    "eval", cls=SettingsCommand, epilog=_EPILOG, short_help="Measure a trained run, a model or recorded answers."
)
@click.argument("run", type=_PATH, required=False)
@click.option("--model", help="'tiny', a folder or a hub name: untrained controllers that always speak.")
@click.option("--speaker", type=click.Choice(["replay"]), help="replay: grade recorded completions.")
@click.option("--completions", type=_PATH, help="A JSONL file of recorded completions.")
@click.option("--resume", is_flag=True, help="Go on with the evaluation in --out, question by question.")
@click.option("--limit", type=int, help="How many held-out questions (evaluation.questions).")
@_dry_run
@_config
@_task
@click.option("--data", help="A local JSONL file of questions that are only tested on (task.eval_data).")
@_seed
@_out
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
    overrides = _overrides(ctx, task=task, **{"task.eval_data": data, "seed": seed, "evaluation.questions": limit})
    if run is not None:
        if file is not None:
            raise ConfigError("a RUN has its own settings; drop --config and change them with --section.field VALUE")
        file = _settings_of(run)
    if model is not None:
        overrides = {"speakers.model": model, **overrides}
    config = load_config(file=file, overrides=overrides)
    if dry_run:
        _print_forecast(config, "eval --model" if run is None else "eval RUN")
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
    return _stored_settings(run)


@tracer.command(short_help="How good a run's controllers are, with intervals.")
@click.argument("run", type=_PATH)
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


@tracer.command(short_help="A trained run's speakers as plain model folders.")
@click.argument("run", type=_PATH)
@_out
def export(*, run: Path, out: Path) -> None:
    """Write the speakers of a RUN as plain model folders, adapters merged, each with a model card."""
    from transformers.utils import logging

    from tracer_agents.training.export import export_run

    logging.disable_progress_bar()  # the folders are what is printed
    with stoppable("nothing was exported"):
        for folder in export_run(run, out):
            click.echo(folder)


@tracer.command(short_help="Run a real SGLang server with the right flags.")
@click.argument("model")
@click.argument("flags", nargs=-1, metavar="[-- FLAG ...]")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=31000, show_default=True, help="Port to listen on.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="By default what is there.")
@_python
@click.option("--adapters", is_flag=True, help="Accept LoRA adapters (GPU only).")
@click.option("--restarts", default=3, show_default=True, help="How often a dead server is started anew.")
def serve(
    *,
    model: str,
    flags: tuple[str, ...],
    host: str,
    port: int,
    device: Literal["auto", "cpu", "cuda"],
    python: Path | None,
    adapters: bool,
    restarts: int,
) -> None:
    """Run a server of MODEL: 'tiny', a run directory, a folder or a hub name.

    After -- stand further flags of SGLang's launch_server.
    """
    from tracer_agents.doctor import served_model
    from tracer_agents.generation.sglang.server import Server, ServerSpec, detect_device, find_python, watch

    spec = ServerSpec(
        model=served_model(model),
        python=find_python(python),
        device=detect_device() if device == "auto" else device,
        host=host,
        port=port,
        adapters=adapters,
        further=flags,
    )
    try:
        with stoppable("the server is down too"):
            for state in watch(Server(spec), restarts=restarts):
                click.echo(f"tracer serve: {escape(state)}", err=True)
    except Stopped:  # how a server is meant to end
        click.echo("tracer serve: stopped", err=True)


@tracer.command(
    cls=SettingsCommand, epilog=_EPILOG, short_help="What is installed, which backends work, what a preset needs."
)
@_preset
@_config
@_python
@click.pass_context
def doctor(ctx: click.Context, *, preset: str | None, file: Path | None, python: Path | None) -> None:
    """Say what is installed, which backends work, and whether the settings can run on this machine."""
    from tracer_agents.doctor import examine_setup
    from tracer_agents.errors import DoctorFailed

    failed = []
    config = load_config(preset=preset, file=file, overrides=given_settings(ctx))
    for finding in examine_setup(config, python=python):
        click.echo(f"{finding.status:>14}  {escape(finding.name)}: {escape(finding.detail)}")
        failed += [finding.name] if finding.status == "failed" else []
    if failed:
        raise DoctorFailed(f"{len(failed)} of the checks failed: {', '.join(failed)}")
