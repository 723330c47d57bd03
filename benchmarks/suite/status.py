"""How far the jobs in a folder are, read from its records alone: whoever works on them, and on whatever machine."""

import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Column, Table

from benchmarks.suite.cells import Job, jobs_of
from benchmarks.suite.plan import make_plan, read_plan
from benchmarks.suite.runner import Watch
from tracer_env.errors import ConfigError

POLL_SECONDS = 2.0
FRESH_SECONDS = 120.0  # what has grown since is taken to be under way
_UNITS = {"train": "steps", "record": "questions", "pool": "questions", "cell": "questions"}


def jobs_in(out: Path) -> list[Job]:
    """The jobs of the plan in a folder.

    Raises:
        ConfigError: it holds none.
    """
    path = out / "plan.yaml"
    if not path.is_file():
        raise ConfigError(f"{out}: holds no plan.yaml; python -m benchmarks run writes it")
    return jobs_of(make_plan(read_plan(path), str(path)), out)


def begun(jobs: Sequence[Job]) -> list[Job]:
    """Those that have left something on disk and are not done."""
    return [job for job in jobs if not job.is_done and job.progress.is_file()]


def silence(job: Job) -> float:
    """Seconds since a begun job put something on disk, by the clocks of both machines."""
    return max(0.0, time.time() - job.progress.stat().st_mtime)


def table_of(jobs: Sequence[Job]) -> Table:
    """Each kind of job, and each job that is begun and not done."""
    table = Table(Column("jobs"), Column("done", justify="right"), Column("of", justify="right"), "last on disk")
    for kind in dict.fromkeys(job.kind for job in jobs):
        alike = [job for job in jobs if job.kind == kind]
        table.add_row(f"{kind}", str(sum(job.is_done for job in alike)), str(len(alike)), "")
    table.add_section()
    for job in begun(jobs):
        size = f"{job.size} {_UNITS[job.kind]}"
        table.add_row(job.name, str(job.completed()), size, f"{silence(job):,.0f} s ago")
    return table


def follow(jobs: Sequence[Job], watch: Watch) -> None:
    """Tells ``watch`` how things stand until all jobs are done."""
    while not all(job.is_done for job in jobs):
        watch(jobs, [job for job in begun(jobs) if silence(job) < FRESH_SECONDS])
        time.sleep(POLL_SECONDS)
    watch(jobs, [])
