"""Runs a plan's jobs, side by side where the backend allows, and says what is left."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path

from transformers.utils import logging

from benchmarks.suite.cells import Job, jobs_of
from benchmarks.suite.plan import Plan, dump_plan, make_plan, read_plan
from benchmarks.suite.shards import WHOLE, Shard
from benchmarks.suite.workers import MachineLost, WorkerLost, Workers
from tracer_agents.build import check_keys
from tracer_agents.errors import RunError
from tracer_agents.runs.files import write_text
from tracer_env.errors import ConfigError, TracerError

POLL_SECONDS = 1.0
LOSSES = 3  # of processes in a row, between which a job does not get on, before it is given up
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
        if plan == stored:
            return
    out.mkdir(parents=True, exist_ok=True)
    write_text(path, dump_plan(plan))


def run_plan(plan: Plan, out: Path, *, workers: Workers, watch: Watch, shard: Shard = WHOLE) -> list[Job]:
    """Does every job of the plan that is not done yet; what is done already is left alone.

    Args:
        workers, watch, shard: as of ``run_jobs``.

    Returns:
        the jobs of the shard.

    Raises:
        ConfigError: a method that does not exist or that the plan's team cannot have, a key that is not set, or several
            workers for a backend that takes one.
        RunError: some jobs failed; all others that could be done are done.
    """
    check_keys(plan.base)
    todo = jobs_of(plan, out)
    open_plan(plan, out)
    run_jobs(todo, plan, workers=workers, watch=watch, shard=shard)
    return shard.of(todo)


def run_jobs(todo: Sequence[Job], plan: Plan, *, workers: Workers, watch: Watch, shard: Shard = WHOLE) -> None:
    """Does those of a plan's jobs that are not done yet, each after those it needs.

    Args:
        todo: the jobs; what one of them needs is among them.
        plan: theirs.
        workers: who does them.
        watch: told now and then how things stand.
        shard: only its jobs are done; what needs an undone job of another shard is left.

    Raises:
        ConfigError: several workers for a backend that takes one.
        RunError: some jobs failed; all others that could be done are done.
    """
    logging.disable_progress_bar()
    with workers:
        if workers.places > 1 and plan.base.backend.served:
            raise ConfigError(
                "--jobs: a server holds one set of weights at a time; run one job at a time with sglang, or shards "
                "(--shard) with a server each"
            )
        run = _Run(todo=todo, mine=shard.of(todo), workers=workers)
        run.run(watch)
    if run.failures:
        listed = "\n".join(f"  {name}: {reason}" for name, reason in run.failures.items())
        raise RunError(
            f"{len(run.failures)} of {len(run.mine)} jobs were not done:\n{listed}\nrun the same command to go on"
        )


@dataclass(kw_only=True)
class _Run:
    """Jobs under way, from the first to the last that can be done."""

    todo: Sequence[Job]
    mine: Sequence[Job]
    workers: Workers
    failures: dict[str, str] = field(default_factory=dict)
    _waiting: list[Job] = field(default_factory=list)
    _running: dict[Future[None], Job] = field(default_factory=dict)
    _losses: dict[str, list[int]] = field(default_factory=dict)  # a job's name -> how far it was at each loss

    def run(self, watch: Watch) -> None:
        """Does what can be done; ``failures`` says what was not, and why."""
        done = {job.name for job in self.todo if job.is_done}
        self.failures = _damaged([job for job in self.mine if job.name in done])
        self._waiting = [job for job in self.mine if job.name not in done]
        names = {job.name for job in self.mine}
        others = [job for job in self.todo if job.name not in names]
        while True:
            done |= {job.name for job in others if job.name not in done and job.is_done}
            ready = self._begin(done)
            watch(self.mine, list(self._running.values()))
            if not self._running and not ready:
                return
            if not self._running:
                time.sleep(POLL_SECONDS)  # every place was lost; new ones may come
            for future in wait(self._running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                job = self._running.pop(future)
                if self._ended(job, future):
                    done.add(job.name)

    def _begin(self, done: set[str]) -> list[Job]:
        """Submits what can start and has a place; returns what could start."""
        for job in [job for job in self._waiting if set(job.needs) & set(self.failures)]:
            self._waiting.remove(job)
            self.failures[job.name] = "needs one that failed"
        ready = [job for job in self._waiting if set(job.needs) <= done]
        for job in ready[: max(0, self.workers.places - len(self._running))] if ready else []:
            self._waiting.remove(job)
            self._running[self.workers.submit(job.run)] = job
        return ready

    def _ended(self, job: Job, future: Future[None]) -> bool:
        """Whether a job is done; one whose worker was lost goes to another, from where it was."""
        try:
            future.result()
        except TracerError as error:
            self.failures[job.name] = str(error)
            return False
        except MachineLost:
            self._waiting.insert(0, job)
            return False
        except WorkerLost as error:
            reached = self._losses.setdefault(job.name, [])
            reached.append(job.completed())
            if len(reached) >= LOSSES and len(set(reached[-LOSSES:])) == 1:
                self.failures[job.name] = f"lost {LOSSES} processes at {reached[-1]} of {job.size}: {error}"
            else:
                self._waiting.insert(0, job)
            return False
        return True


def _damaged(jobs: Sequence[Job]) -> dict[str, str]:
    """What is wrong with the files of finished jobs, by the job's name."""
    reasons = {}
    for job in jobs:
        try:
            job.verify()
        except TracerError as error:
            reasons[job.name] = str(error)
    return reasons
