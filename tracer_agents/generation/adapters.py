"""Policies that are LoRA adapters on one frozen model."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftConfig, get_peft_model, get_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from tracer_agents.errors import RunError
from tracer_agents.generation.weights import kept_tensors, require_finite
from tracer_env.seeding import adapter_seed

_EXPERTS = (
    "the targets reach the experts or the router of a mixture of experts, or layers of the same names; what is "
    "exported would not be what was trained; name others, e.g. [q_proj, k_proj, v_proj, o_proj]"
)
_ADAPTER_FILE = "adapter_model.safetensors"  # PEFT's name, which SGLang looks for


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

    @contextmanager
    def by_row(self, rows: Sequence[str]) -> Iterator[None]:
        """Rows of different policies share the batch: each layer adds to each row what its own adapter says."""
        mixed = len(set(rows)) > 1
        with self._peft._enable_peft_forward_hooks(adapter_names=list(rows)) if mixed else self.active(rows[0]):
            yield

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
            self._load(name, self.folder(checkpoint, name))

    def begin_with(self, checkpoint: Path) -> None:
        """Takes up those that a checkpoint has: a policy's own, or else that of its role; the others stay as they are.

        Raises:
            ValueError: it has none of them, or one with another alpha.
            RunError: an adapter is damaged, or of another shape.
        """
        begun = {
            name: folder
            for name in self.names
            for folder in [self.folder(checkpoint, name.rpartition("_")[0] or name), self.folder(checkpoint, name)]
            if folder.is_dir()  # the last one counts
        }
        if not begun:
            wanted = ", ".join(self.names)
            raise ValueError(
                f"{checkpoint} has no adapter of {wanted}: they lie in its folder adapters, by their names"
            )
        for name, folder in begun.items():
            configs: list[Any] = [PeftConfig.from_pretrained(str(folder)), self._peft.peft_config[name]]
            alphas = [getattr(config, "lora_alpha", None) for config in configs]
            if alphas[0] != alphas[1]:
                raise ValueError(
                    f"{folder} has an alpha of {alphas[0]}, not {alphas[1]}: set speakers.lora_alpha to it"
                )
            self._load(name, folder)

    def _load(self, name: str, folder: Path) -> None:
        file = folder / _ADAPTER_FILE
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
                    "lora_targets; use the settings that it was made with"
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
        for key, parameter in kept_tensors(self.model):
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
