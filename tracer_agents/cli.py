"""The ``tracer`` command: reads arguments, shows progress, prints tables."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from tracer_agents.config import Config, load_config
from tracer_env.errors import ConfigError, TracerError

_EPILOG = "Any setting can be given as --section.field VALUE, e.g. --trainer.steps 20 --dialogue.infoset recall."


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit status is 0 only if its work was done."""
    console = Console(stderr=True)
    try:
        arguments, overrides = _parse(list(sys.argv[1:] if argv is None else argv))
        arguments.command(arguments, overrides)
    except TracerError as error:
        console.print(f"[bold red]error:[/] {_plain(error)}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("interrupted; finished steps are on disk, continue with --resume")
        return 130
    return 0


def _plain(error: TracerError) -> str:
    return str(error).replace("[", r"\[")


def _parse(argv: list[str]) -> tuple[argparse.Namespace, dict[str, Any]]:
    parser = argparse.ArgumentParser(
        prog="tracer", description="Train and measure teams of cooperating language models.", allow_abbrev=False
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    train = commands.add_parser(
        "train", allow_abbrev=False, help="train a team and compare it with baselines", epilog=_EPILOG
    )
    train.add_argument("preset", nargs="?", help="a shipped configuration, e.g. demo")
    train.add_argument("--resume", action="store_true", help="continue the run in --out")
    train.set_defaults(command=_train, data_field="task.data")

    evaluate = commands.add_parser(
        "eval", allow_abbrev=False, help="measure a trained run, a model or recorded answers", epilog=_EPILOG
    )
    evaluate.add_argument("run", nargs="?", type=Path, help="a run directory of tracer train")
    evaluate.add_argument("--model", help="'tiny', a folder or a hub name: untrained controllers that always speak")
    evaluate.add_argument("--speaker", choices=["replay"], help="replay: grade recorded completions")
    evaluate.add_argument("--completions", type=Path, help="JSONL file of recorded completions")
    evaluate.add_argument("--limit", type=int, help="how many held-out questions (default: evaluation.questions)")
    evaluate.set_defaults(command=_evaluate, data_field="task.eval_data")

    certify = commands.add_parser(
        "certify", allow_abbrev=False, help="how good a run's controllers are, with intervals"
    )
    certify.add_argument("run", type=Path, help="a run directory of tracer train")
    certify.add_argument("--questions", type=int, default=128, help="held-out questions to expand (default: 128)")
    certify.set_defaults(command=_certify, task=None, data=None, data_field="task.data", seed=None)

    serve = commands.add_parser("serve", allow_abbrev=False, help="run a real SGLang server with the right flags")
    serve.add_argument("model", help="'tiny', a run directory, a folder or a hub name")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    serve.add_argument("--port", type=int, default=31000, help="port to listen on (default: 31000)")
    serve.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="default: what is there")
    serve.add_argument("--python", type=Path, help="interpreter of the environment that SGLang is installed in")
    serve.add_argument("--adapters", action="store_true", help="accept LoRA adapters (GPU only)")
    serve.add_argument("--restarts", type=int, default=3, help="how often a dead server is started anew (default: 3)")
    serve.add_argument("flags", nargs="*", metavar="-- FLAG", help="after --: further flags of SGLang's launch_server")
    serve.set_defaults(command=_serve, task=None, data=None, data_field="task.data", seed=None)

    doctor = commands.add_parser(
        "doctor", allow_abbrev=False, help="what is installed, which backends work, what a preset needs", epilog=_EPILOG
    )
    doctor.add_argument("preset", nargs="?", help="a shipped configuration, e.g. gsm8k-qwen2.5-1.5b")
    doctor.add_argument("--config", type=Path, help="a YAML file of settings")
    doctor.add_argument("--python", type=Path, help="interpreter of the environment that SGLang is installed in")
    doctor.set_defaults(command=_doctor, task=None, data=None, data_field="task.data", seed=None)

    for command in (train, evaluate):
        command.add_argument("--config", type=Path, help="a YAML file of settings")
        command.add_argument("--task", help="arithmetic, gsm8k, math500, gpqa_diamond, jsonl or hub:OWNER/NAME")
        command.add_argument("--data", help="a local JSONL file of the task's questions")
        command.add_argument("--seed", type=int, help="of every random choice")
        command.add_argument("--out", type=Path, required=True, help="the directory to write")

    overrides, argv = take_settings(argv)
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        raise ConfigError(f"unknown argument {unknown[0]!r}; settings are given as --section.field VALUE")
    if arguments.task is not None:
        # another task means other questions: the preset's options and data were for its own
        overrides = {"task": {"name": arguments.task}, **overrides}
    named = {"seed": arguments.seed, arguments.data_field: arguments.data}
    if hasattr(arguments, "limit"):
        named["evaluation.questions"] = arguments.limit
    return arguments, overrides | {name: value for name, value in named.items() if value is not None}


def take_settings(argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    """``--section.field VALUE`` or ``--section.field=VALUE`` pairs, values read as YAML, and all other words.

    They are taken out before argparse sees them: it would mistake their values for positional arguments.
    """
    found: dict[str, Any] = {}
    others: list[str] = []
    words = iter(argv)
    for word in words:
        name, given, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or "." not in name:
            others.append(word)
            continue
        if not given:
            value = next(words, "--")
            if value.startswith("--"):
                raise ConfigError(f"{word} needs a value")
        try:
            found[name] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{word}: {value!r} cannot be read as YAML: {error}") from error
    return found, others


def _train(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from tracer_agents.runs.directory import RunDirectory
    from tracer_agents.training.experiment import run_training
    from tracer_agents.training.terminal import RichDisplay, print_summary  # torch loads here: not for --help

    named = arguments.preset is not None or arguments.config is not None or overrides
    if arguments.resume and not named:
        config = RunDirectory(arguments.out).config()
    else:
        config = load_config(preset=arguments.preset, file=arguments.config, overrides=overrides)
    with RichDisplay() as display:
        summary = run_training(config, arguments.out, resume=arguments.resume, display=display)
    print_summary(summary, arguments.out)


def _certify(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from tracer_agents.evaluation.certify import certify_run
    from tracer_agents.runs.curves import draw_gaps
    from tracer_agents.runs.directory import RunDirectory
    from tracer_agents.team import Team
    from tracer_agents.training.terminal import print_certificate, print_gaps

    if overrides:
        raise ConfigError(f"certify takes a run's own settings; drop {sorted(overrides)}")
    if arguments.questions < 2:
        raise ConfigError(f"--questions must be ≥ 2, got {arguments.questions}")
    run = RunDirectory(arguments.run)
    with Team.load(arguments.run) as team:
        certified = certify_run(run, team.config, team.parts, team.controller, questions=arguments.questions)
    certificate = certified.as_json()
    draw_gaps(run.metrics(), certificate, run.folder / "certificate.png")
    print_gaps(run.metrics())
    print_certificate(certificate)


def _evaluate(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from tracer_agents.training.experiment import run_evaluation, run_replay
    from tracer_agents.training.terminal import RichDisplay, print_summary

    sources = [arguments.run, arguments.model, arguments.speaker]
    if sum(source is not None for source in sources) != 1:
        raise ConfigError("give exactly one of RUN, --model NAME_OR_PATH or --speaker replay")
    if (arguments.speaker is None) != (arguments.completions is None):
        raise ConfigError("--speaker replay and --completions FILE go together")
    config = _evaluation_config(arguments, overrides)
    with RichDisplay() as display:
        if arguments.speaker:
            summary = run_replay(config, arguments.out, completions=arguments.completions, display=display)
        else:
            summary = run_evaluation(config, arguments.out, run=arguments.run, display=display)
    print_summary(summary, arguments.out)


def _evaluation_config(arguments: argparse.Namespace, overrides: dict[str, Any]) -> Config:
    if arguments.run is not None:
        if arguments.config is not None:
            raise ConfigError("a RUN has its own settings; drop --config and change them with --section.field VALUE")
        return load_config(file=arguments.run / "config.yaml", overrides=overrides)
    if arguments.model is not None:
        overrides = {"speakers.model": arguments.model, **overrides}
    return load_config(file=arguments.config, overrides=overrides)


def _serve(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    import signal

    from tracer_agents.doctor import served_model
    from tracer_agents.generation.sglang.server import Server, ServerSpec, detect_device, find_python, watch

    if overrides:
        raise ConfigError(f"serve takes no settings, got {', '.join(overrides)}; give SGLang's own flags after --")
    spec = ServerSpec(
        model=served_model(arguments.model),
        python=find_python(arguments.python),
        device=detect_device() if arguments.device == "auto" else arguments.device,
        host=arguments.host,
        port=arguments.port,
        adapters=arguments.adapters,
        further=tuple(arguments.flags),
    )
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for state in watch(Server(spec), restarts=arguments.restarts):
            console.print(f"tracer serve: {state}", highlight=False, markup=False)
    except KeyboardInterrupt:
        console.print("tracer serve: stopped")


def _doctor(arguments: argparse.Namespace, overrides: dict[str, Any]) -> None:
    from tracer_agents.doctor import examine_setup
    from tracer_agents.errors import DoctorFailed

    console = Console(width=None if Console().is_terminal else 160)
    failed = []
    config = load_config(preset=arguments.preset, file=arguments.config, overrides=overrides)
    for finding in examine_setup(config, python=arguments.python):
        console.print(f"{finding.status:>14}  {finding.name}: {finding.detail}", highlight=False, markup=False)
        failed += [finding.name] if finding.status == "failed" else []
    if failed:
        raise DoctorFailed(f"{len(failed)} of the checks failed: {', '.join(failed)}")
