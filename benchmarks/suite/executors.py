"""The names under which a command line knows who does its jobs."""

from pathlib import Path

from benchmarks.suite.plan import Plan
from benchmarks.suite.ray_workers import RayCluster
from benchmarks.suite.workers import Workers, processes

EXECUTORS = ("local", "ray")


def workers_of(executor: str, plan: Plan, out: Path, jobs: int | None) -> Workers:
    """Those who do a plan's jobs.

    Args:
        executor: one of ``EXECUTORS``.
        jobs: at most so many at a time; None: one here, as many as there is room for on a cluster.

    Raises:
        ConfigError: ``jobs`` is below 1.
    """
    local = processes(1 if jobs is None else jobs)
    return RayCluster(out, device=plan.base.speakers.device, limit=jobs) if executor == "ray" else local
