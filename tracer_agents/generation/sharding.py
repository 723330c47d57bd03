"""A model's weights in parts over several processes, by FSDP2, and whole again where a process computes alone.

*Sharded*, every process holds its rows of every weight as a DTensor, and a forward pass is made by all processes at
once: each layer's weights are whole while it computes. *Whole*, a process holds all weights as plain tensors, and
computes, saves and sends them without the others. What is learned is learned while the model is sharded; what is
generated is generated while it is whole.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from tracer_env.errors import ConfigError

Compute = TypeVar("Compute", bound=Callable[..., Any])
_FORWARD = "forward_pass_of_its_own"  # the attribute under which FSDP keeps a further forward pass
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a number


def shard(model: PreTrainedModel, mesh: DeviceMesh) -> None:
    """Leaves to each process of ``mesh`` its part of the model; every process calls it with equal weights.

    Gradients are summed over the processes, in single precision at least: a loss is a sum over all of them.

    Raises:
        ConfigError: the model has no layers that transformers knows as such, or weights that FSDP2 cannot cut.
    """
    layers = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    kind = model.config.model_type
    if not layers:
        raise ConfigError(
            f"speakers.model: {kind} models have no layers that can be spread over processes; start one process"
        )
    half = torch.finfo(model.dtype).bits < 32
    precision = MixedPrecisionPolicy(reduce_dtype=torch.float32 if half else None)
    try:
        for module in (*layers, model):
            # Also the root's weights go after a forward pass: nothing then computes with those before a step.
            fully_shard(module, mesh=mesh, reshard_after_forward=True, mp_policy=precision)
    except (NotImplementedError, ValueError, AssertionError) as error:
        raise ConfigError(
            f"speakers.model: {kind} models cannot be spread over processes ({error}); start one process"
        ) from error
    for module in _sharded(model):
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)  # gloo has no other sum with a factor


def is_sharded(model: torch.nn.Module) -> bool:
    """Whether ``shard`` was called with the model."""
    return isinstance(model, FSDPModule)


def gather(model: PreTrainedModel, *, keep: bool) -> None:
    """Makes all weights whole; every process must call it.

    Args:
        model: sharded.
        keep: whether this process wants them; otherwise each layer's go as soon as the others have them.
    """
    for module in _sharded(model):
        module.unshard()
        if not keep:
            module.reshard()
    if keep:
        _root(model).set_reshard_after_forward(False)
        # FSDP's own takes the weights apart, so that they are those of the other processes, too.
        model.state_dict = lambda **options: _whole_state(model, **options)


def scatter(model: PreTrainedModel) -> None:
    """Takes the weights apart again; each process for itself, and none if they are apart."""
    model.__dict__.pop("state_dict", None)
    _root(model).set_reshard_after_forward(True)
    for module in _sharded(model):
        module.reshard()
    if hasattr(model, "reset_iter_state"):  # what a process noted of forward passes that the others did not make
        _root(model).reset_iter_state()


def as_forward(model: PreTrainedModel, compute: Compute) -> Compute:
    """``compute`` as a forward pass of the model: weights outside its layers are whole while it runs, too."""
    if not is_sharded(model):
        return compute
    setattr(model, _FORWARD, compute)
    register_fsdp_forward_method(model, _FORWARD)
    return cast("Compute", getattr(model, _FORWARD))


def is_part(tensor: torch.Tensor) -> bool:
    """Whether a tensor is sharded."""
    return isinstance(tensor, DTensor)


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The part of a tensor that this process holds, not a copy; all of one that is not sharded."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """All of a tensor; where it is sharded every process must call it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """What this process holds of a whole tensor, a view, if it is cut as ``like`` is; all where that is not."""
    if not isinstance(like, DTensor):
        return tensor
    parts = tensor.chunk(like.device_mesh.size(), dim=0)  # FSDP2 cuts rows
    rank = like.device_mesh.get_local_rank()
    return parts[rank] if rank < len(parts) else tensor[:0]


def cut_like(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor, sharded as ``like`` is; the tensor itself where that is not."""
    if not isinstance(like, DTensor):
        return tensor
    part = part_like(tensor, like).clone()
    return DTensor.from_local(
        part.to(like.device), like.device_mesh, like.placements, run_check=False, shape=like.shape, stride=like.stride()
    )


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> list[int]:
    """A number per parameter that tells other weights apart: the sum of its bits."""
    return [
        int(parameter.view(_INTEGERS[parameter.element_size()]).sum(dtype=torch.int64))
        for parameter in model.parameters()
    ]


def _whole_state(
    model: PreTrainedModel, *, destination: dict[str, Any] | None = None, prefix: str = "", keep_vars: bool = False
) -> dict[str, Any]:
    """What ``state_dict`` of a model that was never sharded returns."""
    state: dict[str, Any] = {} if destination is None else destination
    for module_name, module in model.named_modules(remove_duplicate=False):
        start = f"{prefix}{module_name}." if module_name else prefix
        kept = {key: buffer for key, buffer in module._buffers.items() if key not in module._non_persistent_buffers_set}
        for key, tensor in {**module._parameters, **kept}.items():
            if tensor is not None:
                state[start + key] = tensor if keep_vars else tensor.detach()
    return state


def _sharded(model: PreTrainedModel) -> Iterator[FSDPModule]:
    return (module for module in model.modules() if isinstance(module, FSDPModule))


def _root(model: PreTrainedModel) -> FSDPModule:
    return cast("FSDPModule", model)
