"""Runs a plan's jobs, side by side where the backend allows, and says what is left."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import active_children, connection, get_context, parent_process
from pathlib import Path

import torch
from transformers.utils import logging

from benchmarks.suite.cells import Job, jobs_of
from benchmarks.suite.plan import Plan, dump_plan, make_plan, read_plan
from tracer_agents.build import check_keys
from tracer_agents.errors import RunError
from tracer_agents.runs.files import write_text
from tracer_env.errors import ConfigError, TracerError

POLL_SECONDS = 1.0
Watch = Callable[[Sequence[Job], Sequence[Job]], None]  # (all jobs, those under way)


def open_plan(plan: Plan, out: Path) -> None:
    """Writes the plan into its folder; one that is continued must ask for the same cells, or for more.

    Raises:
        RunError: the folder holds records of a plan with other settings.
    """
    path = out / "plan.yaml"
    if path.is_file():
        stored = make_plan(read_plan(path), str(path))
        growing = {"methods", "tasks", "train_tasks", "seeds"}
        changed = [
            name
            for name in Plan.model_fields
            if name not in {*growing, "preset", "settings"} and getattr(stored, name) != getattr(plan, name)
        ]
        changed += [] if stored.base.binding == plan.base.binding else ["preset or settings"]
        changed += [f"tasks.{label}" for label, task in stored.tasks.items() if plan.tasks.get(label, task) != task]
        if changed:
            raise RunError(f"{out}: holds records of a plan with another {', '.join(changed)}; choose another --out")
        plan = plan.model_copy(
            update={
                "methods": list(dict.fromkeys([*stored.methods, *plan.methods])),
                "seeds": list(dict.fromkeys([*stored.seeds, *plan.seeds])),
                "tasks": {**stored.tasks, **plan.tasks},
                "train_tasks": {**stored.train_tasks, **plan.train_tasks},
            }
        )
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, dump_plan(plan))


def run_plan(plan: Plan, out: Path, *, jobs: int, watch: Watch) -> list[Job]:
    """Does every job of the plan that is not done yet; what is done already is left alone.

    Args:
        jobs, watch: as of ``run_jobs``.

    Raises:
        ConfigError: a method that does not exist or that the plan's team cannot have, a key that is not set, or several
            processes for a backend that takes one.
        RunError: some jobs failed; all others that could be done are done.
    """
    check_keys(plan.base)
    todo = jobs_of(plan, out)
    open_plan(plan, out)
    run_jobs(todo, plan, jobs=jobs, watch=watch)
    return todo


def run_jobs(todo: Sequence[Job], plan: Plan, *, jobs: int, watch: Watch) -> None:
    """Does those of a plan's jobs that are not done yet, each after those it needs.

    Args:
        todo: the jobs; what one of them needs is among them.
        plan: theirs.
        jobs: processes at a time; 1 works in this one.
        watch: told now and then how things stand.

    Raises:
        ConfigError: several processes for a backend that takes one.
        RunError: some jobs failed; all others that could be done are done.
    """
    if jobs > 1 and plan.base.backend.served:
        raise ConfigError("--jobs: a server holds one set of weights at a time; run one job at a time with sglang")
    logging.disable_progress_bar()
    failures = _run(todo, _Here() if jobs == 1 else _pool(jobs), limit=jobs, watch=watch)
    if failures:
        listed = "\n".join(f"  {name}: {reason}" for name, reason in failures.items())
        raise RunError(f"{len(failures)} of {len(todo)} jobs were not done:\n{listed}\nrun the same command to go on")


def _run(todo: Sequence[Job], pool: Executor, *, limit: int, watch: Watch) -> dict[str, str]:
    done = {job.name for job in todo if job.is_done}
    waiting = [job for job in todo if job.name not in done]
    failures = _damaged([job for job in todo if job.name in done])
    running: dict[Future, Job] = {}
    with pool, _children_end_with_us():
        while waiting or running:
            for job in [job for job in waiting if set(job.needs) & set(failures)]:
                waiting.remove(job)
                failures[job.name] = "needs one that failed"
            for job in [job for job in waiting if set(job.needs) <= done][: limit - len(running)]:
                waiting.remove(job)
                running[pool.submit(job.run)] = job
            watch(todo, list(running.values()))
            for future in wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                try:
                    future.result()
                    done.add(job.name)
                except TracerError as error:
                    failures[job.name] = str(error)
        watch(todo, [])
    return failures


def _damaged(jobs: Sequence[Job]) -> dict[str, str]:
    """What is wrong with the files of finished jobs, by the job's name."""
    reasons = {}
    for job in jobs:
        try:
            job.verify()
        except TracerError as error:
            reasons[job.name] = str(error)
    return reasons


@contextmanager
def _children_end_with_us() -> Iterator[None]:
    """What is interrupted here does not wait for the jobs under way: they go on next time."""
    try:
        yield
    except BaseException:
        for child in active_children():
            child.terminate()
        raise


class _Here(Executor):
    """Runs each job in this process, as it is submitted."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except TracerError as error:
            future.set_exception(error)
        return future


def _pool(jobs: int) -> ProcessPoolExecutor:
    threads = max(1, (os.cpu_count() or 1) // jobs)
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker, initargs=(threads,))


def _begin_worker(threads: int) -> None:
    """A worker shares the cores with the others, and ends when the process that began it does, however that ends."""
    torch.set_num_threads(threads)
    logging.disable_progress_bar()  # they would tear the parent's
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
