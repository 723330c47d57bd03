"""Carries the learner's weights to SGLang servers: by disk, by tensor, or as LoRA adapters.

A transport first *publishes*, which fixes the present weights under a label, then *loads* them into one server at a
time; a server that restarts is loaded again from what was published. The server takes up a label only together with
the weights that carry it, so a load that fails half-way can never be mistaken for one that succeeded.
"""

import base64
import io
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Protocol

import torch
from torch import multiprocessing

from tracer_agents.errors import EngineFault
from tracer_agents.generation.sglang.wire import Worker

_KEPT = 2  # published versions that stay on disk: the present one, and the one before it while servers change over


class WeightTransport(Protocol):
    """A way for weights to reach servers."""

    def publish(self, label: str) -> None:
        """Fixes the learner's present weights as those called ``label``."""
        ...

    def load(self, worker: Worker, label: str) -> None:
        """Makes the published weights those that the server generates with, under their label, its cache empty.

        Raises:
            EngineFault: the server did not do it; its label is then still the old one.
        """
        ...

    def adapter(self, label: str, policy: str) -> str | None:
        """The adapter that every request of the policy must name, if the weights are one."""
        ...


@dataclass(kw_only=True)
class DiskWeights:
    """Whole checkpoints in a folder that the servers can read.

    Args:
        save: writes a checkpoint in Hugging Face format into the folder it is given.
        folder: where checkpoints are written; it must have the same path on the servers' machines.
    """

    save: Callable[[Path], None]
    folder: Path
    _written: list[Path] = field(default_factory=list, init=False)  # by this transport, the oldest first

    def publish(self, label: str) -> None:
        """Writes ``folder/label``, at once: a folder that exists is complete."""
        _write(self.folder / label, self.save, self._written)

    def load(self, worker: Worker, label: str) -> None:
        """Through ``/update_weights_from_disk``, which also flushes the prefix cache."""
        body = {"model_path": str(self.folder / label), "weight_version": label, "flush_cache": True}
        worker.load("/update_weights_from_disk", body)
        worker.flush()

    def adapter(self, label: str, policy: str) -> None:
        """None: the weights are the model's own."""


@dataclass(kw_only=True)
class TensorWeights:
    """Tensors through shared memory, for servers on this machine; nothing is written to disk.

    Args:
        named: the learner's parameters with their names in the checkpoint.
    """

    named: Callable[[], Iterable[tuple[str, torch.Tensor]]]
    _published: list[tuple[str, torch.Tensor]] = field(default_factory=list, init=False)

    def publish(self, label: str) -> None:
        """Copies the parameters, so that later optimiser steps do not reach what a server is yet to load."""
        self._published = [(name, tensor.detach().clone()) for name, tensor in self.named()]

    def load(self, worker: Worker, label: str) -> None:
        """Through ``/update_weights_from_tensor``, inside the weight-update session that SGLang asks for."""
        body = {
            "serialized_named_tensors": [_serialise(self._published)],
            "weight_version": label,
            "flush_cache": True,
        }
        worker.load("/begin_weight_update", {})
        worker.load("/update_weights_from_tensor", body)
        worker.load("/end_weight_update", {})
        worker.flush()

    def adapter(self, label: str, policy: str) -> None:
        """None: the weights are the model's own."""


@dataclass(kw_only=True)
class AdapterWeights:
    """LoRA adapters, a policy each, on servers started with ``--enable-lora`` (SGLang has no LoRA on CPU).

    Args:
        save: by policy; writes its adapter in PEFT's format into the folder it is given.
        folder: where adapters are written; it must have the same path on the servers' machines.
    """

    save: Mapping[str, Callable[[Path], None]]
    folder: Path
    _labels: set[str] = field(default_factory=set, init=False)  # all that this transport ever published
    _written: list[Path] = field(default_factory=list, init=False)  # by this transport, the oldest first

    def publish(self, label: str) -> None:
        """Writes ``folder/label/POLICY``, at once: a folder that exists is complete."""
        _write(self.folder / label, self._save, self._written)
        self._labels.add(label)

    def load(self, worker: Worker, label: str) -> None:
        """Loads the adapters under their names, labels the server, then drops the adapters before them."""
        before = worker.version()
        if before == label:
            return
        for policy in self.save:
            self._load(worker, self.adapter(label, policy), self.folder / label / policy)
        worker.flush()
        worker.load("/update_weight_version", {"new_version": label, "abort_all_requests": False})
        if before in self._labels:
            for policy in self.save:
                worker.load("/unload_lora_adapter", {"lora_name": self.adapter(before, policy)})

    def adapter(self, label: str, policy: str) -> str:
        """Adapters go by label and policy."""
        return f"{label}-{policy}"

    def _save(self, folder: Path) -> None:
        for policy, save in self.save.items():
            save(folder / policy)

    def _load(self, worker: Worker, name: str, folder: Path) -> None:
        body = {"lora_name": name, "lora_path": str(folder)}
        try:
            worker.load("/load_lora_adapter", body)
        except EngineFault:  # a load that ended half-way may have left it there, which SGLang refuses to repeat
            worker.load("/unload_lora_adapter", {"lora_name": name})
            worker.load("/load_lora_adapter", body)


def _write(target: Path, save: Callable[[Path], None], written: list[Path]) -> None:
    """Writes a folder at once, and removes the oldest of those in ``written``: the folder may hold other things too."""
    draft = target.with_name(f".{target.name}.draft")
    try:
        draft.mkdir(parents=True)
        save(draft)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    written.append(target)
    while len(written) > _KEPT:
        shutil.rmtree(written.pop(0))


def _serialise(named: list[tuple[str, torch.Tensor]]) -> str:
    """What SGLang reads with its own unpickler: torch's handles of shared tensors, in base64.

    Handles over file descriptors need the two processes to share an authentication key; names in shared memory do not.
    """
    before = multiprocessing.get_sharing_strategy()
    multiprocessing.set_sharing_strategy("file_system")
    try:
        buffer = io.BytesIO()
        ForkingPickler(buffer).dump(named)
    finally:
        multiprocessing.set_sharing_strategy(before)
    return base64.b64encode(buffer.getvalue()).decode()
