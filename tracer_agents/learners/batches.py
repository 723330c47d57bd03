"""Lays variable-length samples out as padded tensors, in micro-batches of similar length."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from tracer_agents.generation.attention import safe_width
from tracer_agents.generation.decoding.prompts import padded
from tracer_env.dialogue import Role

LONG_PROMPT = 128  # tokens, on average
SPARED = 1.25  # how many times the tokens would be computed otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One completion to learn from: the engine's own tokens, its role, its advantage, and which policy said it."""

    prompt_ids: tuple[int, ...]
    output_ids: tuple[int, ...]
    logps_engine: tuple[float, ...]
    role: Role
    advantage: float
    policy: str = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompts:
    """The distinct prompts of a micro-batch, padded on the left."""

    ids: torch.Tensor  # (D, P) int64
    mask: torch.Tensor  # (D, P) int64
    of_row: torch.Tensor  # (B,) int64, each row's prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class MicroBatch:
    """``rows`` are indices into the samples; prompts are padded on the left, completions on the right."""

    rows: np.ndarray  # (B,) int
    input_ids: torch.Tensor  # (B, P+T) int64
    attention_mask: torch.Tensor  # (B, P+T) int64
    mask: torch.Tensor  # (B, T) float32, 1 on completion tokens
    logp_engine: torch.Tensor  # (B, T) float32
    prompts: Prompts | None = None  # where prompts are computed once

    @property
    def completion_width(self) -> int:
        """T."""
        return self.mask.shape[1]

    @property
    def targets(self) -> torch.Tensor:
        """(B, T) int64."""
        return self.input_ids[:, -self.completion_width :]


def sharing_pays(samples: Sequence[Sample], rows: np.ndarray) -> bool:
    """Whether prompts that are computed once spare enough: long ones, and a good part of all tokens.

    Short prompts spare little, and a second forward pass has a price of its own.
    """
    lengths = [len(samples[row].prompt_ids) for row in rows]
    outputs = sum(len(samples[row].output_ids) for row in rows)
    once = sum(map(len, {samples[row].prompt_ids for row in rows})) + outputs
    return bool(lengths) and sum(lengths) >= LONG_PROMPT * len(lengths) and sum(lengths) + outputs >= SPARED * once


def micro_batches(
    samples: Sequence[Sample],
    rows: np.ndarray,
    *,
    pad_id: int,
    max_tokens: int,
    device: torch.device,
    share_prompts: bool = False,
) -> list[MicroBatch]:
    """Cuts ``samples[rows]`` into micro-batches of similar length, each at most ``max_tokens`` padded tokens.

    A sample longer than ``max_tokens`` travels alone. With ``share_prompts`` a prompt counts once, and samples of
    the same prompt lie side by side.
    """

    def size(row: int) -> tuple[int | tuple[int, ...], ...]:
        sample = samples[row]
        length = len(sample.prompt_ids), len(sample.output_ids)
        return (length[0], sample.prompt_ids, length[1], row) if share_prompts else (sum(length), row)

    def tokens(together: list[int], prompt: int, output: int) -> int:
        if not share_prompts:
            return safe_width(prompt + output, device) * len(together)
        return prompt * len({samples[row].prompt_ids for row in together}) + output * len(together)

    cuts: list[list[int]] = []
    prompt = output = 0
    for row in sorted(rows.tolist(), key=size):
        wider = max(prompt, len(samples[row].prompt_ids)), max(output, len(samples[row].output_ids))
        if not cuts or tokens([*cuts[-1], row], *wider) > max_tokens:
            cuts.append([])
            wider = len(samples[row].prompt_ids), len(samples[row].output_ids)
        prompt, output = wider
        cuts[-1].append(row)
    batches = [_pad([samples[row] for row in cut], np.array(cut), pad_id, device) for cut in cuts]
    return [_with_prompts(batch, samples, pad_id) for batch in batches] if share_prompts else batches


def idle_batch(pad_id: int, device: torch.device) -> MicroBatch:
    """A micro-batch without rows, and with two tokens to compute: for a process that must compute as many as others."""
    sample = Sample(prompt_ids=(pad_id,), output_ids=(pad_id,), logps_engine=(0.0,), role=Role.PROPOSER, advantage=0.0)
    return _pad([sample], np.array([], dtype=np.int64), pad_id, device)


def _with_prompts(batch: MicroBatch, samples: Sequence[Sample], pad_id: int) -> MicroBatch:
    device = batch.input_ids.device
    asked = [samples[row].prompt_ids for row in batch.rows]
    distinct = list(dict.fromkeys(asked))
    place = {prompt: index for index, prompt in enumerate(distinct)}
    ids, mask = padded(distinct, safe_width(max(map(len, distinct)), device), pad_id)
    of_row = torch.tensor([place[prompt] for prompt in asked], device=device)
    return replace(batch, prompts=Prompts(ids=ids.to(device), mask=mask.to(device), of_row=of_row))


def _pad(samples: Sequence[Sample], rows: np.ndarray, pad_id: int, device: torch.device) -> MicroBatch:
    output = max(len(sample.output_ids) for sample in samples)
    prompt = safe_width(max(len(sample.prompt_ids) for sample in samples) + output, device) - output
    ids = np.full((len(samples), prompt + output), pad_id, dtype=np.int64)
    attention = np.zeros_like(ids)
    mask = np.zeros((len(samples), output), dtype=np.float32)
    logp = np.zeros_like(mask)
    for row, sample in enumerate(samples):
        start, length = prompt - len(sample.prompt_ids), len(sample.output_ids)
        ids[row, start : prompt + length] = sample.prompt_ids + sample.output_ids
        attention[row, start : prompt + length] = 1
        mask[row, :length] = 1
        logp[row, :length] = sample.logps_engine
    return MicroBatch(
        rows=rows,
        input_ids=torch.from_numpy(ids).to(device),
        attention_mask=torch.from_numpy(attention).to(device),
        mask=torch.from_numpy(mask).to(device),
        logp_engine=torch.from_numpy(logp).to(device),
    )
