"""The ``tracer`` command: reads arguments, shows progress, prints tables; a module for each group of commands."""

from collections.abc import Sequence

# Each adds its commands to the group.
from tracer_agents.cli import learning, measuring, naming, reading, reporting, serving  # noqa: F401
from tracer_agents.cli.process import Stopped, Terminated, status_of, stoppable
from tracer_agents.cli.shared import tracer

__all__ = ["Stopped", "Terminated", "main", "status_of", "stoppable", "tracer"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one ``tracer`` command; returns its exit status as ``status_of`` does."""
    return status_of(lambda: tracer.main(args=argv, prog_name="tracer", standalone_mode=False))
