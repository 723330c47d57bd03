"""AdamW that keeps its weights in single precision and never takes a step that is not finite.

Half precision has 8 bits (bfloat16) or 11 bits (float16) of mantissa: a step at a usual learning rate is smaller than
the distance to the next number, so almost every weight would stay where it is, and float16 would lose AdamW's ε. Such
weights have a float32 master copy each (Micikevicius et al. 2018, arXiv 1710.03740): gradients are added up in float32,
the step is taken there, and the model receives the rounded result.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tracer_agents.config import GSPOConfig
from tracer_agents.generation.sharding import cut_like, is_part, whole


class MasterAdamW:
    """The optimiser of one policy's weights.

    Args:
        parameters: the model's; those of single or double precision are stepped in place.
        config: learning rate, second-moment decay, weight decay, largest gradient norm.
        beside: an optimiser of the same weights for another objective: both step the same master copies.
    """

    def __init__(
        self, parameters: Sequence[torch.nn.Parameter], config: GSPOConfig, *, beside: "MasterAdamW | None" = None
    ) -> None:
        self._pairs = beside._pairs if beside else [(parameter, _master(parameter)) for parameter in parameters]
        self._max_norm = config.max_gradient_norm
        self._adamw = torch.optim.AdamW(
            self.masters, lr=config.learning_rate, betas=(0.9, config.beta2), weight_decay=config.weight_decay
        )

    @property
    def masters(self) -> list[torch.nn.Parameter]:
        """What is stepped, in single precision at least; the model's own parameters where those are."""
        return [master for _, master in self._pairs]

    def clear(self) -> None:
        """Forgets all gradients."""
        for parameter, master in self._pairs:
            parameter.grad = master.grad = None

    def gather(self) -> None:
        """Adds the model's gradients to the masters', in the masters' precision; to be called after each backward."""
        for parameter, master in self._pairs:
            if parameter is master or parameter.grad is None:
                continue
            gradient = parameter.grad.to(master.dtype)
            master.grad = gradient if master.grad is None else master.grad.add_(gradient)
            parameter.grad = None

    def step(self, loss: float) -> float | None:
        """Takes a step and returns the norm that the gradient had; None if it or ``loss`` was not finite: no step."""
        masters = self.masters
        gradients = [master.grad for master in masters if master.grad is not None]
        total = whole(torch.nn.utils.get_total_norm(gradients))
        torch.nn.utils.clip_grads_with_norm_(masters, self._max_norm, total)
        norm = float(total)
        if not (math.isfinite(norm) and math.isfinite(loss)):
            return None
        self._adamw.step()
        self._publish()
        return norm

    def state(self) -> dict[str, Any]:
        """AdamW's state, and the masters of weights in half precision, whole; of sharded weights all processes ask."""
        halves = [master.detach() for parameter, master in self._pairs if parameter is not master]
        state = self._adamw.state_dict() | ({"masters": halves} if halves else {})
        return _each_tensor(state, _whole_on_cpu) if any(map(is_part, self.masters)) else state

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes up what ``state`` returned; the model's weights are those of the same moment."""
        masters = state.pop("masters", None)
        state["state"] = {
            index: {key: _cut(value, self.masters[index]) for key, value in moments.items()}
            for index, moments in state["state"].items()
        }
        self._adamw.load_state_dict(state)
        halves = [master for parameter, master in self._pairs if parameter is not master]
        with torch.no_grad():
            for master, kept in zip(halves, masters or [], strict=masters is not None):
                master.copy_(cut_like(kept, master))

    @torch.no_grad()
    def _publish(self) -> None:
        for parameter, master in self._pairs:
            if parameter is not master:
                parameter.copy_(master)


def _each_tensor(tree: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """Nested dicts and lists, with every tensor changed."""
    if isinstance(tree, torch.Tensor):
        return change(tree)
    if isinstance(tree, dict):
        return {key: _each_tensor(value, change) for key, value in tree.items()}
    return [_each_tensor(value, change) for value in tree] if isinstance(tree, list) else tree


def _whole_on_cpu(tensor: torch.Tensor) -> torch.Tensor:
    return whole(tensor).cpu()


def _cut(value: Any, like: torch.Tensor) -> Any:
    """A moment of a weight, sharded as the weight is; AdamW's count of steps stays as it is."""
    return cut_like(value, like) if isinstance(value, torch.Tensor) and value.shape == like.shape else value


def _master(parameter: torch.nn.Parameter) -> torch.nn.Parameter:
    if torch.finfo(parameter.dtype).bits >= 32:
        return parameter
    return torch.nn.Parameter(parameter.detach().to(torch.float32, copy=True))
