"""Steps in half precision move every weight, and no step is taken that is not finite."""

import copy

import pytest
import torch

from tracer_agents.config import GSPOConfig
from tracer_agents.learners.optimiser import MasterAdamW

HALF = [torch.bfloat16, torch.float16]


def _weights(dtype: torch.dtype) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter((0.02 * torch.randn(200, 50, generator=generator)).to(dtype)) for _ in range(2)]


def _step(optimiser: MasterAdamW, parameters: list[torch.nn.Parameter], seed: int = 0, scale: float = 1e-3) -> float:
    generator = torch.Generator().manual_seed(seed)
    optimiser.clear()
    for parameter in parameters:
        parameter.grad = (scale * torch.randn(parameter.shape, generator=generator)).to(parameter.dtype)
    optimiser.gather()
    return optimiser.step(loss=0.0)


def _moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> float:
    return float(torch.cat([(a != b).flatten() for a, b in zip(before, after, strict=True)]).float().mean())


@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
def test_one_step_at_a_small_rate_moves_nearly_all_weights(dtype):
    parameters = _weights(dtype)
    optimiser = MasterAdamW(parameters, GSPOConfig(learning_rate=1e-6))
    before = copy.deepcopy(optimiser.masters)
    _step(optimiser, parameters)
    assert _moved(before, optimiser.masters) >= 0.99
    assert all(torch.isfinite(parameter).all() for parameter in parameters)
    assert {parameter.dtype for parameter in parameters} == {dtype}


@pytest.mark.parametrize("dtype", HALF)
def test_small_steps_add_up_in_the_model(dtype):
    """Two hundred steps of 1e-6 the same way: without masters each would round to nothing."""
    parameters = _weights(dtype)
    before = copy.deepcopy(parameters)
    optimiser = MasterAdamW(parameters, GSPOConfig(learning_rate=1e-6))
    for _ in range(200):
        _step(optimiser, parameters, seed=0)
    assert _moved(before, parameters) > 0.7
    assert _moved([m.to(dtype) for m in optimiser.masters], parameters) == 0


def test_single_precision_is_plain_adamw_bit_for_bit():
    parameters, plain = _weights(torch.float32), _weights(torch.float32)
    optimiser = MasterAdamW(parameters, GSPOConfig(learning_rate=1e-3, max_gradient_norm=1e9))
    adamw = torch.optim.AdamW(plain, lr=1e-3, betas=(0.9, 0.999), weight_decay=0.0)
    for seed in range(3):
        _step(optimiser, parameters, seed)
        for parameter, twin in zip(parameters, plain, strict=True):
            twin.grad = parameter.grad.clone()
        adamw.step()
    assert _moved(plain, parameters) == 0
    assert "masters" not in optimiser.state()


@pytest.mark.parametrize("dtype", HALF)
def test_gradients_of_half_precision_are_added_in_single_precision(dtype):
    """256 micro-batches of 1 and one of 0.5: bfloat16 would stop counting."""
    parameter = torch.nn.Parameter(torch.zeros(1, dtype=dtype))
    optimiser = MasterAdamW([parameter], GSPOConfig())
    for value in [1.0] * 256 + [0.5]:
        parameter.grad = torch.tensor([value], dtype=dtype)
        optimiser.gather()
    [master] = optimiser.masters
    assert float(master.grad) == 256.5


@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
@pytest.mark.parametrize("fault", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_nothing(dtype, fault):
    parameters = _weights(dtype)
    optimiser = MasterAdamW(parameters, GSPOConfig(learning_rate=0.1))
    _step(optimiser, parameters)
    before, state = copy.deepcopy(parameters), copy.deepcopy(optimiser.state())
    parameters[0].grad = torch.full_like(parameters[0], fault)
    optimiser.gather()
    assert optimiser.step(loss=0.0) is None
    optimiser.clear()
    assert optimiser.step(loss=fault) is None
    assert _moved(before, parameters) == 0
    assert str(optimiser.state()) == str(state)


@pytest.mark.parametrize("dtype", [*HALF, torch.float32])
def test_a_resumed_optimiser_goes_on_to_the_same_bits(dtype, tmp_path):
    parameters = _weights(dtype)
    optimiser = MasterAdamW(parameters, GSPOConfig(learning_rate=1e-5))
    _step(optimiser, parameters, seed=1)
    torch.save(optimiser.state(), tmp_path / "optimiser.pt")
    twins = copy.deepcopy(parameters)
    again = MasterAdamW(twins, GSPOConfig(learning_rate=1e-5))
    again.load_state(torch.load(tmp_path / "optimiser.pt", weights_only=True))
    for either, weights in ((optimiser, parameters), (again, twins)):
        _step(either, weights, seed=2)
    assert _moved(optimiser.masters, again.masters) == 0
    assert _moved(parameters, twins) == 0
