"""What the weights of each policy are: the whole model, or an adapter on the model (see ``adapters``).

A process holds one model, whatever the number of policies. A policy is *active* while the model computes with its
weights; rows of several policies can be generated in one batch.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol

import torch
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from tracer_agents.errors import TrainingDiverged
from tracer_agents.generation.sharding import local, part_like


class Weights(Protocol):
    """The weights of one or several policies that share a model."""

    model: PreTrainedModel
    names: tuple[str, ...]  # of the policies

    def parameters(self, name: str) -> list[torch.nn.Parameter]:
        """What training of the policy changes, and nothing else does."""
        ...

    def active(self, name: str) -> AbstractContextManager[None]:
        """The model computes with the policy's weights, and gradients reach those alone."""
        ...

    def reference(self) -> AbstractContextManager[None]:
        """The model computes with the weights it had before any training, which KL is measured to."""
        ...

    def by_row(self, rows: Sequence[str]) -> AbstractContextManager[None]:
        """The model computes each row of a batch with the weights of the policy that ``rows`` names for it."""
        ...

    def save(self, folder: Path) -> None:
        """Writes what training has made, in safetensors: a checkpoint's weights.

        Raises:
            TrainingDiverged: a weight is not finite.
        """
        ...

    def folder(self, checkpoint: Path, name: str) -> Path:
        """Where a checkpoint keeps what belongs to one policy alone."""
        ...

    def merged(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """The policy as a whole model: tensors by their names in a Hugging Face checkpoint."""
        ...

    def export(self, name: str, folder: Path) -> None:
        """Writes the policy as a whole model in Hugging Face format."""
        ...


class WholeModel:
    """One policy, ``shared``, whose weights are all the model's.

    Args:
        model: trained in place.
        initial: the weights before any training, where ``reference`` is wanted.
    """

    def __init__(self, model: PreTrainedModel, initial: "Shelf | None" = None) -> None:
        self.model = model
        self.names: tuple[str, ...] = ("shared",)
        self._initial = initial

    def parameters(self, name: str) -> list[torch.nn.Parameter]:
        """All of the model's."""
        return list(self.model.parameters())

    @contextmanager
    def active(self, name: str) -> Iterator[None]:
        """Nothing to do: there is no other policy."""
        yield

    @contextmanager
    def reference(self) -> Iterator[None]:
        """Exchanges the weights with the initial ones on disk, and back again after."""
        if self._initial is None:
            raise ValueError("the initial weights were not kept; pass them as 'initial'")
        self._initial.exchange(self.parameters("shared"))
        try:
            yield
        finally:
            self._initial.exchange(self.parameters("shared"))

    def by_row(self, rows: Sequence[str]) -> AbstractContextManager[None]:
        """Nothing to do: there is no other policy."""
        return nullcontext()

    def save(self, folder: Path) -> None:
        """The whole model in Hugging Face format."""
        require_finite(self.model.named_parameters())
        self.model.save_pretrained(folder)

    def folder(self, checkpoint: Path, name: str) -> Path:
        """The checkpoint itself."""
        return checkpoint

    def merged(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """The model's own parameters."""
        yield from revert_weight_conversion(self.model, dict(kept_tensors(self.model))).items()

    def export(self, name: str, folder: Path) -> None:
        """The whole model in Hugging Face format."""
        self.model.save_pretrained(folder)


@torch.no_grad()
def require_finite(named: Iterable[tuple[str, torch.Tensor]]) -> None:
    """Lets weights be kept only if they are numbers.

    Raises:
        TrainingDiverged: one is not; names its tensor.
    """
    for name, tensor in named:
        if not bool(torch.isfinite(tensor).all()):
            raise TrainingDiverged(
                f"the weights {name!r} are not finite and are not kept; the last checkpoint is intact: continue from "
                "it with a lower gspo.learning_rate, or with speakers.dtype: float32"
            )


def kept_tensors(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """What a checkpoint keeps, each tensor once: parameters, and buffers that are no mere caches."""
    yield from model.named_parameters()
    parameters = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    yield from ((key, tensor) for key, tensor in model.state_dict().items() if key not in parameters)


class Shelf:
    """A copy of parameters in files mapped into memory: it takes disk, not memory.

    Args:
        parameters: are copied as they are now.
        folder: where; it must be empty and have room for as many bytes as the parameters.

    Raises:
        OSError: the disk is full.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter], folder: Path) -> None:
        self._copies = [_mapped(folder / str(index), parameter) for index, parameter in enumerate(parameters)]

    @torch.no_grad()
    def exchange(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Swaps parameters with the copies, bit for bit, one after the other."""
        for parameter, copy in zip(parameters, self._copies, strict=True):
            here, there = local(parameter.detach()), part_like(copy, parameter)
            kept = here.clone()
            here.copy_(there)
            there.copy_(kept)


@torch.no_grad()
def _mapped(file: Path, parameter: torch.nn.Parameter) -> torch.Tensor:
    with file.open("wb") as empty:
        os.posix_fallocate(empty.fileno(), 0, parameter.numel() * parameter.element_size())
    copy = torch.from_file(str(file), shared=True, size=parameter.numel(), dtype=parameter.dtype).view(parameter.shape)
    return copy.copy_(parameter)
