"""The stages of a run, and the laps of a step: timed, and shown while they last."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Protocol

from tracer_agents import progress
from tracer_agents.training.report import StepReport


class Display(Protocol):
    """Shows how a run gets on."""

    def stage(self, name: str) -> None:
        """A new stage has begun."""
        ...

    def step(self, report: StepReport, steps: int) -> None:
        """A training step has ended."""
        ...

    def note(self, text: str) -> None:
        """Something that a person should know."""
        ...

    def questions(self, done: int, total: int, tokens: int) -> None:
        """So many questions have been played in this stage, with so many generated tokens in this process."""
        ...

    def utterances(self, done: int, total: int) -> None:
        """So many of the utterances that this stage may need are there; of its present part, if it plays in parts."""
        ...


class Silent:
    """Shows nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def step(self, report: StepReport, steps: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""

    def questions(self, done: int, total: int, tokens: int) -> None:
        """Nothing."""

    def utterances(self, done: int, total: int) -> None:
        """Nothing."""


class Stages:
    """Times the stages of a run and tells the display about them."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """One stage, from its begin to its end; its utterances are counted, unless it is counted in steps."""
        self._display.stage(name)
        start = time.perf_counter()
        with nullcontext() if name == "train" else progress.watched(self._display.utterances):
            yield
        self.seconds[name] = round(time.perf_counter() - start, 1)


class Laps:
    """Seconds by the name of what just ended."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last = now()
        self.seconds: dict[str, float] = {}

    def end(self, name: str) -> None:
        """What went on since the last call, or since the beginning, has ended."""
        now = self._now()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now
