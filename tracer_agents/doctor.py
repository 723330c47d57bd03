"""Tells what is installed, which backends work, and whether a configuration can run here."""

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

import torch
from transformers import AutoConfig

from tracer_agents.build import SHIPPED, build
from tracer_agents.config import Config
from tracer_agents.generation.decoding.threads import threads_for
from tracer_agents.generation.gate import Status
from tracer_agents.generation.sglang.server import find_python
from tracer_agents.remedies import remedy_of
from tracer_agents.runs.directory import RunDirectory
from tracer_env.errors import ConfigError, TracerError

_PACKAGES = ("torch", "transformers", "peft", "pettingzoo", "gymnasium", "numpy")
_GIB = 1024**3
_CACHE_TOKENS = 8192  # of a server's prefix cache, at the least
# Of a parameter: weight, gradient and two moments; in half precision also a float32 master with its gradient.
_ADAMW_BYTES = {"float32": 16, "bfloat16": 20, "float16": 20}
_INNER = ("intermediate_size", "ffn_dim", "n_inner")  # how families call the width of the feed-forward layer
_LONGEST_CONTEXT = 2**20  # of models without a limit
_WEIGHT_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
# What the backward pass keeps of a token and layer, bytes per row and column of the linear modules, as autograd counted
# it on Llama, Qwen2 and Qwen3 of several widths: 1.1 to 1.3 numbers in float32, 1.2 to 1.5 in halves.
_KEPT_BYTES = {"float32": 5.2, "bfloat16": 3.0, "float16": 3.0}
_KEPT_BYTES_WITH_ADAPTERS = {"float32": 4.5, "bfloat16": 3.6, "float16": 3.6}  # their inputs are kept in float32
_PROMPT_TOKENS = 512  # of a question with its instructions


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    status: Status
    detail: str
    do: str = ""  # about it; by default what is usual for a finding of this name

    @property
    def remedy(self) -> str:
        """What to do about it; empty where it is passed."""
        return self.do or remedy_of(self.name, self.status)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What memory depends on.

    ``width`` is the hidden size, ``kv_width`` is KV heads × head size; ``linear_width`` sums rows and columns of a
    layer's linear modules.
    """

    parameters: float
    layers: int
    width: int
    kv_width: int
    linear_width: int
    context: int


def _linear_width(hidden: int, heads: int, kv: int, inner: int) -> int:
    """Of a layer with four attention and three gated feed-forward matrices; ``heads`` is heads × head size."""
    return 2 * (hidden + heads) + 2 * (hidden + kv) + 3 * (hidden + inner)


# From the models' published configurations: their weights need not be here to know what they take.
SHAPES = {
    "Qwen/Qwen2.5-1.5B-Instruct": ModelShape(
        parameters=1.54e9,
        layers=28,
        width=1536,
        kv_width=256,
        linear_width=_linear_width(1536, 1536, 256, 8960),
        context=32768,
    ),
    "Qwen/Qwen2.5-7B-Instruct": ModelShape(
        parameters=7.62e9,
        layers=28,
        width=3584,
        kv_width=512,
        linear_width=_linear_width(3584, 3584, 512, 18944),
        context=32768,
    ),
}


def served_model(name: str) -> str:
    """What a server is to load: the shipped model, a run's newest checkpoint, a folder or a hub name.

    Of a run with adapters it is the model that they are adapters of.
    """
    if name in SHIPPED:
        return str(SHIPPED[name])
    if (Path(name) / "config.yaml").is_file():
        run = RunDirectory(Path(name))
        speakers = run.config().speakers
        return str(run.checkpoints.latest()) if speakers.lora_rank is None else served_model(speakers.model)
    return name


def examine_setup(config: Config, *, python: Path | None = None) -> Iterator[Finding]:
    """Every finding about this machine and these settings, as it is made.

    Args:
        config: the settings that should run here.
        python: interpreter of the environment with SGLang; None: looked for.
    """
    yield from (_package(name) for name in _PACKAGES)
    yield _devices()
    yield Finding(name="backend transformers", status="passed", detail=f"torch {torch.__version__}, in this process")
    models = [config.of_model(use) for use in config.models]
    yield _sglang(python, needed=any(each.backend.served and each.backend.url is None for each in models))
    for each in models:
        if each.backend.trainable:  # else its weights are elsewhere
            yield _device(each.speakers.device)
            yield from _threads(each)
            yield _memory(each)
    if any(each.backend.served or not each.backend.trainable for each in models):
        yield from _servers(config)


def _package(name: str) -> Finding:
    try:
        return Finding(name=name, status="passed", detail=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name=name, status="failed", detail="not installed", do="reinstall tracer-debate")


def _devices() -> Finding:
    if not torch.cuda.is_available():
        return Finding(name="GPU", status="not applicable", detail=f"none; {os.cpu_count()} CPU cores")
    devices = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    detail = ", ".join(f"{device.name} with {device.total_memory / _GIB:.0f} GiB" for device in devices)
    return Finding(name="GPU", status="passed", detail=detail)


def _sglang(python: Path | None, *, needed: bool) -> Finding:
    name = "backend sglang"
    asks = "import json, importlib.metadata as m; print(json.dumps({n: m.version(n) for n in ('sglang', 'torch')}))"
    try:
        interpreter = find_python(python)
        ran = subprocess.run(
            [str(interpreter), "-c", asks], capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
        )
        if ran.returncode:
            raise ConfigError(f"{interpreter} has no SGLang")
        versions = json.loads(ran.stdout)
    except (ConfigError, OSError, subprocess.TimeoutExpired) as error:
        return Finding(name=name, status="failed" if needed else "not applicable", detail=str(error))
    return Finding(
        name=name, status="passed", detail=f"sglang {versions['sglang']} on torch {versions['torch']} in {interpreter}"
    )


def _device(name: str) -> Finding:
    """Whether the model can live where the settings say."""
    kind, _, index = name.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        detail = f"{name}, but torch sees no GPU"
    elif kind == "cuda" and index and int(index) >= torch.cuda.device_count():
        detail = f"{name}, but there are {torch.cuda.device_count()} GPUs, from cuda:0 on"
    else:
        return Finding(name="speakers.device", status="passed", detail=name)
    return Finding(name="speakers.device", status="failed", detail=detail)


def _threads(config: Config) -> Iterator[Finding]:
    """With how many CPU threads a model is computed that lives on the CPU."""
    device, shape = config.speakers.device, _shape(config.speakers.model)
    if shape is not None and (device == "cpu" or (device == "auto" and not torch.cuda.is_available())):
        threads = threads_for(shape.parameters)
        detail = f"{threads.count} of {os.cpu_count()}: {threads.reason}"
        yield Finding(name=f"CPU threads for {config.speakers.model}", status="passed", detail=detail)


def _memory(config: Config) -> Finding:
    """What learner, engine and servers on this machine take together, against what it has."""
    name = f"memory for {config.speakers.model}"
    shape = _shape(config.speakers.model)
    if shape is None:
        return Finding(name=name, status="not applicable", detail="its size is not known before it is downloaded")
    learner, holds = _learner(config, shape)
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    weights = shape.parameters * (2 if gpus else 4) / _GIB
    tokens = 2 * shape.layers * shape.kv_width * (2 if gpus else 4) / _GIB  # of the cache, per token
    server = weights + _CACHE_TOKENS * tokens
    kept, tokens_kept = _activations(config, shape), config.gspo.micro_batch_tokens
    need = f"the learner needs {learner:.1f} GiB ({holds})"
    need += f" and up to {kept:.1f} GiB of activations (gspo.micro_batch_tokens {tokens_kept})" if kept else ""
    if not config.backend.served:
        rows, length = config.backend.batch_size, _row_tokens(config, shape)
        width = 2 * shape.layers * shape.kv_width
        cache = rows * length * width * _WEIGHT_BYTES[config.speakers.dtype] / _GIB
        total = learner + max(kept, cache)  # it generates and learns by turns
        need += f", its engine up to {cache:.1f} GiB of cache (backend.batch_size {rows}, {length} tokens each)"
    else:
        local = _local_servers(config)
        # with several GPUs servers may have their own, and a learner on the CPU leaves the GPU to them
        beside = local if gpus < 2 and not (gpus and config.speakers.device == "cpu") else 0
        total = learner + kept + beside * server
        need += (
            f"; a server {server:.1f} GiB ({'bfloat16' if gpus else 'float32'}, {_CACHE_TOKENS} tokens of cache); "
            f"together with {beside} of them on this device {total:.1f} GiB"
        )
    if gpus and config.speakers.device != "cpu":
        have = torch.cuda.get_device_properties(0).total_memory / _GIB
        where = "of the first GPU"
    else:
        have = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / _GIB
        where = "of this machine" if gpus else "of this machine, which has no GPU"
    fits = total < 0.9 * have
    return Finding(name=name, status="passed" if fits else "failed", detail=f"{need}; there are {have:.1f} GiB {where}")


def _activations(config: Config, shape: ModelShape) -> float:
    """GiB that a backward pass keeps at the most, logits aside; 0 where nothing is trained."""
    if not config.credit.train:
        return 0.0
    kept = _KEPT_BYTES if config.speakers.lora_rank is None else _KEPT_BYTES_WITH_ADAPTERS
    bytes_per_token = shape.linear_width * kept[config.speakers.dtype]  # of a layer
    if config.gspo.gradient_checkpointing:  # layers keep their inputs, and one of them at a time the rest
        bytes_per_token += shape.layers * shape.width * _WEIGHT_BYTES[config.speakers.dtype]
    else:
        bytes_per_token *= shape.layers
    return config.gspo.micro_batch_tokens * bytes_per_token / _GIB


def _row_tokens(config: Config, shape: ModelShape) -> int:
    """The longest row of an engine: a question, a solution, its review, and the revision."""
    limits = config.limits
    return min(shape.context, _PROMPT_TOKENS + 2 * limits.proposer + limits.reviewer)


def _local_servers(config: Config) -> int:
    """How many of the servers run on this machine, by their addresses."""
    urls = {url for urls in config.backend.servers(config.policies).values() for url in urls}
    hosts = [urlsplit(url).hostname or "" for url in urls]
    return sum(host in ("localhost", "::1", "0.0.0.0") or host.startswith("127.") for host in hosts)


def _learner(config: Config, shape: ModelShape) -> tuple[float, str]:
    """GiB of weights, gradients and moments, and what they are."""
    speakers, trains = config.speakers, config.credit.train
    if speakers.lora_rank is None:
        each = (_ADAMW_BYTES if trains else _WEIGHT_BYTES)[speakers.dtype]
        return shape.parameters * each / _GIB, f"{speakers.dtype}, AdamW" if trains else speakers.dtype
    count = len(config.policies)
    adapters = count * speakers.lora_rank * shape.layers * shape.linear_width  # on every linear layer, at most
    each = _ADAMW_BYTES["float32"] if trains else _WEIGHT_BYTES["float32"]
    frozen = shape.parameters * _WEIGHT_BYTES[speakers.dtype]
    plural = "s" if count > 1 else ""
    return (
        (frozen + adapters * each) / _GIB,
        f"{speakers.dtype}, frozen, and {count} adapter{plural} of rank {speakers.lora_rank} in float32",
    )


def _shape(model: str) -> ModelShape | None:
    """The shape of a known model, or of one whose configuration lies in a folder."""
    folder = SHIPPED.get(model, Path(model))
    path = folder / "config.json"
    if not path.is_file():
        return SHAPES.get(model)
    try:
        config = AutoConfig.from_pretrained(str(folder)).get_text_config(decoder=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"speakers.model: {path} cannot be read: {error}") from error
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    hidden, attending = config.hidden_size, getattr(config, "num_attention_heads", 1)
    size = getattr(config, "head_dim", None) or hidden // attending
    kv = (getattr(config, "num_key_value_heads", None) or attending) * size
    inner = next((value for name in _INNER if (value := getattr(config, name, None))), 4 * hidden)
    return ModelShape(
        parameters=weights / _WEIGHT_BYTES.get(str(config.dtype).removeprefix("torch."), 4),
        layers=config.num_hidden_layers,
        width=hidden,
        kv_width=kv,
        linear_width=_linear_width(hidden, attending * size, kv, inner),
        context=getattr(config, "max_position_embeddings", None) or _LONGEST_CONTEXT,
    )


def _servers(config: Config) -> Iterator[Finding]:
    """The gate, check by check; of a chat server one short request, which is paid for once."""
    try:
        with build(config) as parts:
            checks = parts.gate()
    except TracerError as error:
        yield Finding(name="servers", status="failed", detail=str(error))
        return
    for check in checks:
        yield Finding(name=f"{check.server} {check.name}", status=check.status, detail=check.detail)
