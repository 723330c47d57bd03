"""The names under which a command line knows who does its jobs."""

from pathlib import Path

from benchmarks.suite.plan import Plan
from benchmarks.suite.ray_workers import RayCluster
from benchmarks.suite.workers import Workers, processes
from tracer_env.errors import ConfigError

EXECUTORS = ("local", "ray")


def workers_of(executor: str, plan: Plan, out: Path, jobs: int | None) -> Workers:
    """Those who do a plan's jobs.

    Args:
        executor: one of ``EXECUTORS``.
        jobs: at most so many at a time; None: one here, as many as there is room for on a cluster.

    Raises:
        ConfigError: ``jobs`` is below 1.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"--jobs {jobs}: expected 1 or more")
    if executor == "ray":
        return RayCluster(out, device=plan.base.speakers.device, limit=jobs)
    return processes(jobs or 1)
