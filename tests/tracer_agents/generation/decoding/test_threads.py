"""Small models compute with one thread, unless the user says otherwise."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tracer_agents.generation.decoding import threads
from tracer_agents.generation.decoding.threads import SMALL, suitable_threads, threads_for


@pytest.fixture(autouse=True)
def nobody_has_chosen(monkeypatch):
    """Torch has four threads, and it was not told to."""
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_BEFORE", 4)
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def test_a_small_model_gets_one_thread_and_a_large_one_what_torch_took():
    assert threads_for(SMALL - 1).count == 1
    assert threads_for(SMALL).count == 4
    assert "too few" in threads_for(860_000).reason


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_variable_of_the_users_wins(monkeypatch, name):
    monkeypatch.setenv(name, "4")
    assert (threads_for(1.0).count, threads_for(1.0).reason) == (4, f"{name} says so")


def test_torch_told_otherwise_wins():
    torch.set_num_threads(3)
    assert threads_for(1.0).count == 3
    assert "set_num_threads" in threads_for(1.0).reason


def test_the_number_is_as_before_afterwards():
    model: Any = SimpleNamespace(num_parameters=lambda: 6, device=torch.device("cpu"))
    with suitable_threads(model):
        assert torch.get_num_threads() == 1
        with suitable_threads(model):
            assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 4
