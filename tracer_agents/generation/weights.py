"""What the weights of each policy are: the whole model, or a LoRA adapter on the model, which is then frozen.

A process holds one model, whatever the number of policies. A policy is *active* while the model computes with its
weights; rows of several policies can be generated in one batch.
"""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from tracer_agents.errors import RunError, TrainingDiverged
from tracer_env.seeding import adapter_seed

_EXPERTS = (
    "the targets reach the experts or the router of a mixture of experts, or layers of the same names; what is "
    "exported would not be what was trained; name others, e.g. [q_proj, k_proj, v_proj, o_proj]"
)
_ADAPTER_FILE = "adapter_model.safetensors"  # PEFT's name, which SGLang looks for


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

    def generate(self, rows: Sequence[str], **inputs: Any) -> torch.Tensor:
        """transformers' ``generate``, each row with the weights of the policy it names; (B, P+T) token ids."""
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

    def generate(self, rows: Sequence[str], **inputs: Any) -> torch.Tensor:
        """The model's own."""
        return _generate(self.model, inputs)

    def save(self, folder: Path) -> None:
        """The whole model in Hugging Face format."""
        require_finite(self.model.named_parameters())
        self.model.save_pretrained(folder)

    def folder(self, checkpoint: Path, name: str) -> Path:
        """The checkpoint itself."""
        return checkpoint

    def merged(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """The model's own parameters."""
        yield from revert_weight_conversion(self.model, dict(_kept(self.model))).items()

    def export(self, name: str, folder: Path) -> None:
        """The whole model in Hugging Face format."""
        self.model.save_pretrained(folder)


class LoraAdapters:
    """Policies that are LoRA adapters (arXiv 2106.09685) on one model, which stays as it is.

    Adapters begin as the model itself: their second factor is zero. Their weights are in single precision at least,
    whatever the model's: small steps would vanish otherwise.

    Args:
        model: receives the adapters' layers; it is frozen.
        names: of the policies.
        rank: of the adapters.
        alpha: their product is scaled by alpha / rank.
        targets: ``"all-linear"`` (every linear layer but the output's), or endings of module names.
        seed: of the first factors; each policy has its own.

    Raises:
        ValueError: targets that match nothing, or where what is exported would not be what was trained.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        names: Sequence[str],
        *,
        rank: int,
        alpha: int,
        targets: str | list[str],
        seed: int,
    ) -> None:
        self.model = model
        self.names = tuple(names)
        _check_targets(model, targets)
        for name in names:
            config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, task_type="CAUSAL_LM")
            with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what PEFT warns of is settled by it, or refused here
                torch.manual_seed(adapter_seed(seed, name))
                if name == names[0]:
                    self._peft = get_peft_model(model, config, adapter_name=name)
                else:
                    self._peft.add_adapter(name, config)
        if getattr(self._peft.peft_config[names[0]], "target_parameters", None):
            raise ValueError(_EXPERTS)
        self._peft.eval()
        self._switch(names[0])

    def parameters(self, name: str) -> list[torch.nn.Parameter]:
        """The adapter's factors, in the model's order."""
        return [
            parameter for key, parameter in self.model.named_parameters() if ".lora_" in key and name in key.split(".")
        ]

    @contextmanager
    def active(self, name: str) -> Iterator[None]:
        """One adapter is on and trainable; afterwards the one that was before is again."""
        before = self._on
        self._switch(name)
        try:
            yield
        finally:
            self._switch(before)

    def _switch(self, name: str) -> None:
        self._peft.set_adapter(name)
        self._on = name

    @contextmanager
    def reference(self) -> Iterator[None]:
        """All adapters are off."""
        with self._peft.disable_adapter():
            yield

    def generate(self, rows: Sequence[str], **inputs: Any) -> torch.Tensor:
        """Rows of different policies share the batch: each layer adds to each row what its own adapter says."""
        if len(set(rows)) > 1:
            return _generate(self._peft, {"adapter_names": list(rows), **inputs})
        with self.active(rows[0]):
            return _generate(self.model, inputs)

    def save(self, folder: Path) -> None:
        """Every adapter in PEFT's format, below ``adapters/``; not the model."""
        for name in self.names:
            require_finite(self._tensors(name).items())
        for name in self.names:
            self.save_adapter(name, self.folder(folder, name))

    def folder(self, checkpoint: Path, name: str) -> Path:
        """``adapters/NAME`` in the checkpoint."""
        return checkpoint / "adapters" / name

    def save_adapter(self, name: str, folder: Path) -> None:
        """One adapter in PEFT's format, as SGLang loads it."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file({key: tensor.contiguous() for key, tensor in self._tensors(name).items()}, folder / _ADAPTER_FILE)
        self._peft.peft_config[name].save_pretrained(str(folder))

    def load(self, checkpoint: Path) -> None:
        """Takes up the adapters of a checkpoint.

        Raises:
            RunError: an adapter is missing, damaged, or of another shape.
        """
        for name in self.names:
            file = self.folder(checkpoint, name) / _ADAPTER_FILE
            try:
                kept = load_file(file)
            except (OSError, SafetensorError) as error:
                raise RunError(f"{file}: cannot be read as the adapter of {name!r}: {error}") from error
            present = self._tensors(name)
            for key in sorted(present.keys() | kept.keys()):
                shapes = [list(tensors[key].shape) if key in tensors else None for tensors in (kept, present)]
                if shapes[0] != shapes[1]:
                    raise RunError(
                        f"{file}: {key!r} has shape {shapes[0]}, and {shapes[1]} under speakers.lora_rank and "
                        "lora_targets; use the settings that the run was made with"
                    )
            for key, tensor in present.items():
                tensor.copy_(kept[key])

    def _tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The adapter's own tensors, not copies, by PEFT's names."""
        return get_peft_model_state_dict(self._peft, adapter_name=name, save_embedding_layers=False)

    def merged(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """The model's own parameters, those under an adapter with its product added; the model stays as it is."""
        yield from revert_weight_conversion(self.model, dict(self._merged(name))).items()

    def _merged(self, name: str) -> Iterator[tuple[str, torch.Tensor]]:
        """The same by the names that the model has in memory, which are not always a checkpoint's."""
        for key, parameter in _kept(self.model):
            module, adapted, leaf = key.rpartition(".base_layer.")
            if ".lora_" in key:
                continue
            if not adapted:
                yield key, parameter
                continue
            layer: Any = self.model.get_submodule(module)
            tensor = parameter.detach()
            if leaf == "weight":
                tensor = (tensor + layer.get_delta_weight(name).detach()).to(tensor.dtype)
            yield f"{module}.{leaf}", tensor

    def export(self, name: str, folder: Path) -> None:
        """The merged model in Hugging Face format; for this long its changed tensors are in memory twice."""
        self.model.save_pretrained(folder, state_dict=dict(self._merged(name)))


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


def _kept(model: PreTrainedModel) -> Iterator[tuple[str, torch.Tensor]]:
    """What a checkpoint keeps, each tensor once: parameters, and buffers that are no mere caches."""
    yield from model.named_parameters()
    parameters = {key for key, _ in model.named_parameters(remove_duplicate=False)}
    yield from ((key, tensor) for key, tensor in model.state_dict().items() if key not in parameters)


def _check_targets(model: PreTrainedModel, targets: str | list[str]) -> None:
    """Lets adapters stand only where they are trained and can be merged into a checkpoint.

    Raises:
        ValueError: a target matches no module, or one whose weight belongs to another module, too.
    """
    if isinstance(targets, str):
        return
    modules = dict(model.named_modules())
    users: dict[int, list[str]] = {}
    for name, module in modules.items():
        weight = getattr(module, "weight", None)
        if isinstance(weight, torch.nn.Parameter):
            users.setdefault(id(weight), []).append(name)
    for target in targets:
        matched = [name for name in modules if name == target or name.endswith(f".{target}")]
        if not matched:
            leaves = sorted({name.rpartition(".")[2] for name, module in modules.items() if hasattr(module, "weight")})
            raise ValueError(f"no module is called {target!r}; there are {', '.join(leaves)}")
        for name in matched:
            shared = users.get(id(getattr(modules[name], "weight", None)), [])
            if len(shared) > 1:
                raise ValueError(
                    f"{target!r}: {' and '.join(shared)} are one weight, which an adapter would take apart: what is "
                    "exported would not be what was trained; drop the target"
                )


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
            kept = parameter.detach().clone()
            parameter.copy_(copy)
            copy.copy_(kept)


@torch.no_grad()
def _mapped(file: Path, parameter: torch.nn.Parameter) -> torch.Tensor:
    with file.open("wb") as empty:
        os.posix_fallocate(empty.fileno(), 0, parameter.numel() * parameter.element_size())
    copy = torch.from_file(str(file), shared=True, size=parameter.numel(), dtype=parameter.dtype).view(parameter.shape)
    return copy.copy_(parameter)


def _generate(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """``generate`` comes from a mix-in that the model classes' types do not show."""
    return model.generate(**inputs)
