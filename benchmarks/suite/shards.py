"""Which jobs of a plan are whose, where several commands share one folder."""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from benchmarks.suite.cells import Job
from tracer_env.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """A part of a plan's jobs: of each kind every ``count``-th, from the ``index``-th on.

    The parts of a plan depend on the plan alone, not on what is done: together they are all jobs, and no two of them
    have one in common.
    """

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The shard of ``I/N``, 0 ≤ I < N.

        Raises:
            ConfigError: it is none.
        """
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", text)
        if not match or int(match[1]) >= int(match[2]):
            raise ConfigError(f"--shard {text}: expected I/N with 0 ≤ I < N, such as 0/8 to 7/8")
        return cls(index=int(match[1]), count=int(match[2]))

    def of(self, jobs: Sequence[Job]) -> list[Job]:
        """Those of a plan's jobs that are this shard's."""
        if self.count == 1:
            return list(jobs)
        by_kind: dict[str, list[Job]] = defaultdict(list)
        for job in jobs:
            by_kind[job.kind].append(job)
        return [job for each in by_kind.values() for job in each[self.index :: self.count]]


WHOLE = Shard(index=0, count=1)
