"""How many CPU threads a model computes with, and why.

A step of a small model is over in milliseconds, and threads that wait for each other at every operation cost more
than they bring: beside other work on two cores the embedded model took 3.3 s for 441 completions with one thread and 31
to 52 s with two. So a small model gets one thread. Any other gets what torch took when it was loaded; so does every
model where the user has chosen, by ``OMP_NUM_THREADS`` or ``MKL_NUM_THREADS`` or ``torch.set_num_threads``.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

SMALL = 20_000_000  # parameters
_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_BEFORE = torch.get_num_threads()


@dataclass(frozen=True, slots=True, kw_only=True)
class Threads:
    """A number of CPU threads, and why it is that."""

    count: int
    reason: str


def threads_for(parameters: float) -> Threads:
    """The threads for a model of so many parameters on a CPU."""
    present = torch.get_num_threads()
    variable = next((name for name in _VARIABLES if os.environ.get(name)), None)
    if variable:
        return Threads(count=present, reason=f"{variable} says so")
    if present != _BEFORE:
        return Threads(count=present, reason="torch.set_num_threads was called")
    if parameters < SMALL:
        return Threads(count=1, reason=f"{parameters / 1e6:.2g} million parameters are too few to be split")
    return Threads(count=present, reason="torch takes so many; set OMP_NUM_THREADS lower beside other work")


@contextmanager
def suitable_threads(model: PreTrainedModel) -> Iterator[None]:
    """Computes with the threads that suit the model, while it is open."""
    before = torch.get_num_threads()
    count = threads_for(model.num_parameters()).count if model.device.type == "cpu" else before
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
