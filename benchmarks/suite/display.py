"""Shows how far a benchmark's jobs are."""

from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from benchmarks.suite.cells import Job


class Display:
    """A bar of everything to be done, in questions and training steps, and what is under way."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        )
        self._bar = self._progress.add_task("starting")
        self._done: dict[str, int] = {}

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def watch(self, jobs: Sequence[Job], running: Sequence[Job]) -> None:
        """Shows how things stand; jobs that are done are not looked at again."""
        under_way = {job.name for job in running}
        for job in jobs:
            known = self._done.get(job.name)
            if known is None or known < job.size:
                self._done[job.name] = job.size if job.is_done else job.completed()
                if self._done[job.name] == job.size and known is not None and known < job.size:
                    self._progress.console.print(f"done: {job.name}", highlight=False)
        left = sum(self._done[job.name] < job.size for job in jobs)
        now = "; ".join(sorted(under_way)) or "–"
        self._progress.update(
            self._bar,
            description=f"{left} of {len(jobs)} jobs left, now: {now[:100]}",
            completed=sum(self._done.values()),
            total=sum(job.size for job in jobs),
        )
