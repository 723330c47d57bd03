"""Where the time of a training step goes: ``python -m benchmarks.studies.step_time --json FILE [--gspo.loss grpo …]``.

Steps of a preset (``--preset``, by default the demo) are taken in CPU time, one thread, after one that warms up: some
in which proposers answer alone, if the preset has such, and some with whole dialogues. Timers stand around the
engine's ``generate``, the learner's ``update``, within it the scoring of completions before the first step, and the
engine's ``sync``; *learning* is the rest of ``update``: forward passes with gradients, the loss, backward passes and
the optimiser. *Bookkeeping* is everything else: prompts, parsing, grading, trees, groups, regrets and the report.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers.figures import publish, spread
from tracer_agents.build import build
from tracer_agents.cli import status_of
from tracer_agents.config import load_config
from tracer_agents.config.options import take_settings
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.training.trainer import Trainer

SCHEMA_VERSION = 1
PARTS = ("generation", "scoring", "learning", "sync", "bookkeeping")


class Watch:
    """Seconds by the name of the seam that they were spent in.

    Args:
        now: the clock.
    """

    def __init__(self, now: Callable[[], float] = time.process_time) -> None:
        self._now = now
        self.seconds: dict[str, float] = {}

    @contextmanager
    def around(self, owner: Any, method: str, name: str, *, when: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """Times the calls of a class's method for which ``when`` holds, until the context ends."""
        original = getattr(owner, method)

        def timed(*arguments: Any, **named: Any) -> Any:
            if not when():
                return original(*arguments, **named)
            began = self._now()
            try:
                return original(*arguments, **named)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + self._now() - began

        setattr(owner, method, timed)
        try:
            yield
        finally:
            setattr(owner, method, original)


def shares(seconds: Mapping[str, float]) -> dict[str, float]:
    """The parts of ``step`` seconds, from those of ``generation``, ``update``, ``scoring`` within it and ``sync``."""
    step = seconds["step"]
    outside = {name: seconds.get(name, 0.0) for name in ("generation", "update", "scoring", "sync")}
    parts = {
        "generation": outside["generation"],
        "scoring": outside["scoring"],
        "learning": outside["update"] - outside["scoring"],
        "sync": outside["sync"],
        "bookkeeping": step - outside["generation"] - outside["update"] - outside["sync"],
    }
    return {name: parts[name] / step for name in PARTS}


def timed_step(trainer: Trainer, number: int) -> dict[str, float]:
    """Seconds of a step by seam."""
    watch = Watch()
    with ExitStack() as seams:
        seams.enter_context(watch.around(TransformersBackend, "generate", "generation"))
        seams.enter_context(watch.around(TransformersBackend, "sync", "sync"))
        seams.enter_context(watch.around(GSPOLearner, "update", "update"))
        scoring = watch.around(GSPOLearner, "logps", "scoring", when=lambda: not torch.is_grad_enabled())
        seams.enter_context(scoring)
        seams.enter_context(watch.around(trainer, "step", "step"))
        trainer.step(number)
    return watch.seconds


def measure(trainer: Trainer, numbers: Sequence[int]) -> dict[str, Any]:
    """Medians over some steps."""
    taken = [timed_step(trainer, number) for number in numbers]
    split = [shares(seconds) for seconds in taken]
    return {
        "steps": list(numbers),
        "seconds": spread([seconds["step"] for seconds in taken]),
        "shares": {name: spread([each[name] for each in split]) for name in PARTS},
    }


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.step_time", description=__doc__)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--preset", default="demo")
    parser.add_argument("--repeats", type=int, default=3, help="steps of each kind")
    overrides, rest = take_settings(sys.argv[1:] if arguments is None else arguments)
    options = parser.parse_args(rest)
    if options.repeats < 1:
        parser.error("--repeats must be ≥ 1")
    torch.set_num_threads(1)
    config = load_config(preset=options.preset, overrides=overrides)
    with build(config) as parts:
        trainer = Trainer(config, parts)
        alone = trainer.schedule.answer_steps
        first = {"answers": 1} if alone else {}
        figures: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "preset": options.preset, "overrides": overrides}
        trainer.step(1)  # warm
        for kind, number in {**first, "dialogues": alone + 1}.items():
            figures[kind] = measure(trainer, range(number, number + options.repeats))
    publish(figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(status_of(main))
