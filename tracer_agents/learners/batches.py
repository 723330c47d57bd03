"""Lays variable-length samples out as padded tensors, in micro-batches of similar length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from tracer_agents.generation.attention import safe_width
from tracer_env.dialogue import Role


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
class MicroBatch:
    """``rows`` are indices into the samples; prompts are padded on the left, completions on the right."""

    rows: np.ndarray  # (B,) int
    input_ids: torch.Tensor  # (B, P+T) int64
    attention_mask: torch.Tensor  # (B, P+T) int64
    mask: torch.Tensor  # (B, T) float32, 1 on completion tokens
    logp_engine: torch.Tensor  # (B, T) float32

    @property
    def completion_width(self) -> int:
        """T."""
        return self.mask.shape[1]

    @property
    def targets(self) -> torch.Tensor:
        """(B, T) int64."""
        return self.input_ids[:, -self.completion_width :]


def micro_batches(
    samples: Sequence[Sample], rows: np.ndarray, *, pad_id: int, max_tokens: int, device: torch.device
) -> list[MicroBatch]:
    """Cuts ``samples[rows]`` into micro-batches of similar length, each at most ``max_tokens`` padded tokens.

    A sample longer than ``max_tokens`` travels alone.
    """

    def size(row: int) -> tuple[int, int]:
        return len(samples[row].prompt_ids) + len(samples[row].output_ids), int(row)

    cuts: list[list[int]] = []
    prompt = output = 0
    for row in sorted(rows.tolist(), key=size):
        wider = max(prompt, len(samples[row].prompt_ids)), max(output, len(samples[row].output_ids))
        if not cuts or safe_width(sum(wider), device) * (len(cuts[-1]) + 1) > max_tokens:
            cuts.append([])
            wider = len(samples[row].prompt_ids), len(samples[row].output_ids)
        prompt, output = wider
        cuts[-1].append(row)
    return [_pad([samples[row] for row in cut], np.array(cut), pad_id, device) for cut in cuts]


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
