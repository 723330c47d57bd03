"""An engine whose learner is sharded over processes: before it is asked for anything, this one holds all weights."""

from collections.abc import Callable, Mapping, Sequence
from typing import Self

from tracer_agents.generation.base import Engine, Generation, GenerationRequest
from tracer_agents.generation.gate import Check, Learner, Probes


class GatheringEngine:
    """Asks for the whole model, then does what its engine does; the other processes need not take part.

    Args:
        engine: generates with the learner's weights.
        gather: makes them whole in this process, if they are not.
    """

    def __init__(self, engine: Engine, gather: Callable[[], None]) -> None:
        self._engine = engine
        self._gather = gather

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """See ``Engine``."""
        self._gather()
        return self._engine.generate(requests)

    def sync(self, version: int) -> None:
        """See ``Engine``."""
        self._gather()
        self._engine.sync(version)

    @property
    def context(self) -> int | None:
        """See ``Engine``."""
        return self._engine.context

    def gate(self, learners: Mapping[str, Learner], probes: Probes) -> list[Check]:
        """See ``Engine``."""
        self._gather()
        return self._engine.gate(learners, probes)

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.__exit__(*exception)
