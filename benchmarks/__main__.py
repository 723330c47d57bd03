"""``python -m benchmarks run | status | report | methods | pool``: the comparison of methods on the same questions."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from benchmarks.methods import METHODS
from benchmarks.suite.cells import fitting_methods, jobs_of
from benchmarks.suite.display import Display
from benchmarks.suite.drawing import CHUNK, PoolOrder, draw_pool
from benchmarks.suite.estimate import DEVICES, Estimate, Work, declared_size, estimate
from benchmarks.suite.executors import EXECUTORS, workers_of
from benchmarks.suite.plan import Plan, make_plan, read_plan, task_of_label
from benchmarks.suite.runner import run_plan
from benchmarks.suite.shards import WHOLE, Shard
from benchmarks.suite.status import follow, jobs_in, table_of
from tracer_agents.cli import status_of, stoppable
from tracer_agents.config.options import take_settings
from tracer_env.errors import ConfigError
from tracer_env.rendering import escape
from tracer_env.tasks.base import SPLITS


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return status_of(lambda: _command(list(sys.argv[1:] if argv is None else argv)))


def _command(words: list[str]) -> None:
    settings, words = take_settings(words)
    options = _parser().parse_args(words)
    if settings and options.command not in (_run, _pool):
        raise ConfigError(f"--{next(iter(settings))}: settings belong to run and pool; records are what they are")
    with stoppable("what is answered is on disk: run the same command to go on"):
        options.command(options, settings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    run = commands.add_parser(
        "run",
        help="answer every (method, task, seed) that is not answered yet",
        epilog="--section.field VALUE pairs change the settings of all cells; tracer train --help lists them",
    )
    run.add_argument("--config", type=Path, help="a YAML file with the fields of a plan; options below override it")
    run.add_argument("--methods", nargs="+", help="names, or 'all'; see python -m benchmarks methods")
    run.add_argument("--tasks", nargs="+", metavar="T", help="gsm8k, math500, arithmetic-3, …")
    run.add_argument("--data", nargs="+", default=[], metavar="T=FILE", help="local test file of a task")
    run.add_argument("--train", metavar="T", help="the task that is trained on; by default each task's own questions")
    run.add_argument("--seeds", nargs="+", type=int)
    run.add_argument("--questions", type=int, help="held-out questions per cell")
    run.add_argument("--preset", help="the settings that cells start from; by default demo")
    run.add_argument("--out", type=Path, required=True, help="the folder of the records")
    run.add_argument(
        "--jobs", type=int, help="jobs at a time; by default 1, over Ray as many as the cluster has room for"
    )
    run.add_argument("--executor", choices=EXECUTORS, default="local", help="where jobs run; ray: a cluster that is up")
    run.add_argument("--shard", default="0/1", metavar="I/N", help="only the I-th of N parts, from 0")
    run.add_argument("--dry-run", action="store_true", help="only print what is left to do and what it would cost")
    run.add_argument(
        "--gpu", choices=sorted(DEVICES), help="of --dry-run; by default h100, or cpu for a CPU's settings"
    )
    run.set_defaults(command=_run)
    status = commands.add_parser("status", help="how far the jobs in a folder are, whoever works on them")
    status.add_argument("out", type=Path, help="the folder of the records")
    status.add_argument("--follow", action="store_true", help="goes on until everything is done")
    status.set_defaults(command=_status)
    report = commands.add_parser("report", help="rebuild tables and plots from the records")
    report.add_argument("out", type=Path, help="the folder of the records")
    report.add_argument("--compare", default="tracer", help="the method that the others are compared with")
    report.set_defaults(command=_report)
    commands.add_parser("methods", help="list the methods").set_defaults(command=_methods)
    _add_pool(commands.add_parser("pool", help="draw independent proposals and reviews of a split's questions"))
    return parser


def _add_pool(pool: argparse.ArgumentParser) -> None:
    pool.epilog = "--section.field VALUE pairs change the settings; the same command goes on after a kill"
    pool.add_argument("--out", type=Path, required=True, help="the file; one for each split")
    pool.add_argument("--split", choices=SPLITS, required=True)
    pool.add_argument("--questions", type=int, required=True, help="how many different ones")
    pool.add_argument("--draws", type=int, default=8, help="proposals per question and model")
    pool.add_argument("--reviews", type=int, default=1, help="of each reviewed proposal, by its own model")
    pool.add_argument(
        "--reviewed-draws", type=int, help="only so many of the first proposals are reviewed; default: all"
    )
    pool.add_argument("--cross", action="store_true", help="every model reviews every model's proposals")
    pool.add_argument("--preset", help="the settings to start from; by default those of --weights, or demo")
    pool.add_argument("--seed", type=int, help="of questions and draws")
    pool.add_argument("--weights", type=Path, metavar="RUN", help="a run, or one of its checkpoints: trained speakers")
    pool.add_argument("--chunk", type=int, default=CHUNK, help="questions that are drawn, and put on disk, together")
    pool.set_defaults(command=_pool)


def plan_of(options: argparse.Namespace, settings: dict[str, Any]) -> Plan:
    """The plan that a command line and its file describe.

    Raises:
        ConfigError: it describes none.
    """
    fields: dict[str, Any] = read_plan(options.config) if options.config else {}
    given = {
        "methods": options.methods,
        "tasks": {label: task_of_label(label).model_dump() for label in options.tasks} if options.tasks else None,
        "seeds": options.seeds,
        "questions": options.questions,
        "preset": options.preset,
        "train": options.train,
    }
    fields |= {name: value for name, value in given.items() if value is not None}
    everything = fields.get("methods") in ("all", ["all"])
    if everything:
        fields["methods"] = sorted(METHODS)
    if settings:
        fields["settings"] = {**fields.get("settings", {}), **settings}
    train = fields.get("train")
    if train is not None and train not in {**fields.get("tasks", {}), **fields.get("train_tasks", {})}:
        fields["train_tasks"] = {**fields.get("train_tasks", {}), train: task_of_label(train).model_dump()}
    for pair in options.data:
        label, _, file = pair.partition("=")
        task = fields.get("tasks", {}).get(label)
        if task is None or not file:
            raise ConfigError(
                f"--data {pair}: expected TASK=FILE with one of the tasks {sorted(fields.get('tasks', {}))}"
            )
        fields["tasks"] = {**fields["tasks"], label: {**task, "eval_data": file}}
    plan = make_plan(fields, str(options.config or "the command line"))
    return plan.model_copy(update={"methods": fitting_methods(plan)}) if everything else plan


def _run(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    plan = plan_of(options, settings)
    if options.dry_run:
        _dry_run(plan, options.out, options.gpu)
        return
    shard = Shard.parse(options.shard)
    workers = workers_of(options.executor, plan, options.out, options.jobs)
    with Display() as display:
        jobs = run_plan(plan, options.out, workers=workers, watch=display.watch, shard=shard)
    if shard == WHOLE:
        _browsable(options.out)
        print(f"{len(jobs)} jobs done; python -m benchmarks report {options.out}")
        return
    left = sum(not job.is_done for job in jobs)
    waiting = f"; {left} need what other shards have not done yet: run the same command again" if left else ""
    print(f"{len(jobs) - left} of the shard's {len(jobs)} jobs done{waiting}")


def _status(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    jobs = jobs_in(options.out)
    if options.follow:
        with Display() as display:
            follow(jobs, display.watch)
    Console().print(table_of(jobs))


def _browsable(out: Path) -> None:
    """Writes the benchmark's ``report.html``; where that fails, the records are as good, and a note says so."""
    from benchmarks.report.browse import PAGE, benchmark_page
    from tracer_agents.report.render import write_page

    try:
        write_page(benchmark_page(out), out / PAGE)
    except Exception as error:  # noqa: BLE001 - the records are on disk; the page can be written later
        reason = escape(str(error) or type(error).__name__)
        print(f"note: {out / PAGE}: not written ({reason}); later: python -m benchmarks report {out}", file=sys.stderr)


def _dry_run(plan: Plan, out: Path, gpu: str | None) -> None:
    gpu = gpu or ("h100" if plan.base.speakers.device.startswith("cuda") else "cpu")
    jobs = jobs_of(plan, out, declared_size)
    left = [job for job in jobs if not job.is_done]
    estimates = estimate(left, DEVICES[gpu])
    total = sum((job.work for job in estimates), Work())
    table = Table(Column("job", no_wrap=True), title="millions of tokens, and hours of one device, by formula")
    priced = any(job.money for job in estimates)  # of a money that nobody named there is nothing to say
    for heading in ("generations", "generated", "of prompts", "trained on", f"hours, {gpu}", *["money"] * priced):
        table.add_column(heading, justify="right", no_wrap=True)
    for job in estimates:
        table.add_row(job.job.name, *_figures(job.work, job.hours), *[f"{job.money:,.2f}"] * priced)
    table.add_section()
    table.add_row(
        f"{len(left)} of {len(jobs)} jobs left",
        *_figures(total, sum(job.hours for job in estimates)),
        *[f"{sum(job.money for job in estimates):,.2f}"] * priced,
    )
    console = Console()
    Console(width=max(console.width, 120)).print(table)
    print(_hours_by_kind(estimates))


def _hours_by_kind(estimates: Sequence[Estimate]) -> str:
    """What of the time is training and what is not, and how far the formula may be trusted."""
    names = {"train": "training", "record": "recording", "pool": "drawing pools", "cell": "answering and evaluating"}
    hours = {name: sum(each.hours for each in estimates if each.job.kind == kind) for kind, name in names.items()}
    shares = ", ".join(f"{name} {_duration(each)}" for name, each in hours.items())
    total = sum(hours.values())
    return (
        f"of these, {shares}; by formula {_duration(total)}, to be taken as {_duration(total / 3)} to "
        f"{_duration(3 * total)}: loading, grading, fitting controllers, resampling and the page are not in it"
    )


def _duration(hours: float) -> str:
    return f"{hours:.1f} h" if hours >= 2 else f"{60 * hours:.0f} min" if hours >= 1 / 60 else f"{3600 * hours:.0f} s"


def _figures(work: Work, hours: float) -> list[str]:
    tokens = (work.generated_tokens, work.prompt_tokens, work.trained_tokens)
    return [f"{work.generations:,.0f}", *(f"{count / 1e6:,.2f}" for count in tokens), f"{hours:,.2f}"]


def _report(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    from benchmarks.report import write

    print(*write(options.out, reference=options.compare), sep="\n")


def _pool(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    from tracer_agents.training.terminal import RichDisplay

    named = {field.name: getattr(options, field.name) for field in fields(PoolOrder) if field.name != "settings"}
    with RichDisplay() as display:
        draw_pool(PoolOrder(settings=settings, **named), display)
    print(f"{options.out}: {options.questions} questions")


def _methods(options: argparse.Namespace, settings: dict[str, Any]) -> None:
    table = Table("name", "title", "what it is")
    for method in METHODS.values():
        table.add_row(method.name, method.title, method.reference)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
