"""Checks, when a model is loaded, that it says of a row what plain transformers says of it, whatever the company.

Attention kernels may ignore a part of a model (Gemma 2's soft-capping under sdpa), and a model may compute a row
otherwise in a padded batch or with a cache. An engine and a learner that differ, or agree on something wrong, would
train a policy that nobody samples; so what is not the same is refused before any work.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any, Literal

import numpy as np
import torch
from transformers import GenerationConfig, PreTrainedModel

from tracer_agents.generation.attention import attention, completion_logits, grouped_queries, safe_width
from tracer_agents.generation.decoding.cache import can_come_and_go
from tracer_agents.generation.decoding.flight import Flight
from tracer_agents.generation.decoding.prompts import Prompts, padded
from tracer_env.errors import ConfigError

Kernel = Literal["auto", "sdpa", "eager"]

_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}  # of E|Δ log p| at any position; rounding is below 1e-4
_HALF_TOLERANCE = 0.1  # of its mean over positions in half precision, where single positions may be far off
_DECODED = 3  # tokens generated with the cache
_GROWING_ROPE = ("longrope", "dynamic")  # whose angles change once a batch holds a row beyond the original length
_SOFT_CAPS = ("attn_logit_softcapping", "attn_logit_softcap")  # what sdpa passes over without a word
_FLOOR = -1e4  # stands for log 0
_PADDED = 8  # tokens by which a batch may be wider than its longest row: models with a growing RoPE look at the width


def text_config(model: PreTrainedModel) -> Any:
    """The settings of the language model, which models of several modalities keep in a part of their own."""
    return model.config.get_text_config(decoder=True)


def context_of(model: PreTrainedModel) -> int | None:
    """The most tokens of a prompt with its completion; None: the model has no limit.

    LongRoPE and dynamic RoPE turn all rows of a batch by other angles once one of them is longer than the original
    length, and keys that were cached before keep the old ones; up to that length a row is the same in any company.
    """
    config = text_config(model)
    rope = getattr(config, "rope_parameters", None) or {}
    parts = [rope] if "rope_type" in rope else [part for part in rope.values() if isinstance(part, dict)]
    lengths = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    growing = [part for part in parts if part.get("rope_type") in _GROWING_ROPE]
    lengths += [(part.get("original_max_position_embeddings") or 0) - _PADDED for part in growing]
    known = [int(length) for length in lengths if length and length > 0]
    return min(known) if known else None


def settle_attention(model: PreTrainedModel, wanted: Kernel, rows: Sequence[Sequence[int]], pad_id: int) -> None:
    """Makes the model use an attention kernel under which it is sound.

    Args:
        model: as it was loaded.
        wanted: ``"auto"`` takes the first sound one of sdpa and eager.
        rows: token ids of a few texts of different lengths, within the context.
        pad_id: fills padding (masked everywhere).

    Raises:
        ConfigError: no wanted kernel is sound; names one that is, if there is one.
    """
    truth = _plain(model, rows)
    usable = [wanted] if wanted != "auto" else ["eager"] if _soft_caps(model) else ["sdpa", "eager"]
    flaws: dict[str, str] = {}
    for kernel in usable:
        flaw = _flaw(model, kernel, rows, truth, pad_id)
        if flaw is None:
            model.set_attn_implementation(kernel)
            return
        flaws[kernel] = flaw
    others = [kernel for kernel in ("eager", "sdpa") if kernel not in flaws]
    sound = next((kernel for kernel in others if _flaw(model, kernel, rows, truth, pad_id) is None), None)
    remedy = f"set speakers.attention: {sound}" if sound else "this model cannot be used; choose another"
    reasons = "; ".join(f"with {kernel} attention {flaw}" for kernel, flaw in flaws.items())
    raise ConfigError(f"speakers.model: {model.config.model_type}: {reasons}: {remedy}")


def _soft_caps(model: PreTrainedModel) -> bool:
    return any(getattr(text_config(model), name, None) for name in _SOFT_CAPS)


def _plain(model: PreTrainedModel, rows: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """(T, V) log-probabilities of each row alone, without a mask, positions or a cache, under the plainest kernel."""
    with attention(model, "eager") if _knows(model, "eager") else nullcontext():
        return [_alone(model, row) for row in rows]


def _knows(model: PreTrainedModel, kernel: str) -> bool:
    try:
        with attention(model, kernel):
            return True
    except ValueError:
        return False


@torch.no_grad()
def _alone(model: PreTrainedModel, row: Sequence[int]) -> torch.Tensor:
    logits = model(input_ids=torch.tensor([list(row)], device=model.device), use_cache=False).logits[0]
    return _logp(logits)


def _logp(logits: torch.Tensor) -> torch.Tensor:
    precision = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits, dim=-1, dtype=precision).clamp(min=_FLOOR)


def _flaw(
    model: PreTrainedModel, kernel: str, rows: Sequence[Sequence[int]], truth: list[torch.Tensor], pad_id: int
) -> str | None:
    """What is wrong with a kernel; None: nothing."""
    try:
        with attention(model, kernel):
            for what, reference, computed in _comparisons(model, rows, truth, pad_id):
                difference, allowed = _difference(reference, computed, model.dtype)
                if not difference <= allowed:
                    return f"log-probabilities of a row {what} differ by {difference:.2g} from plain transformers"
    except (TypeError, ValueError, RuntimeError, NotImplementedError) as error:
        return f"it fails with {type(error).__name__}: {error}"
    return None


def _comparisons(
    model: PreTrainedModel, rows: Sequence[Sequence[int]], truth: list[torch.Tensor], pad_id: int
) -> Iterator[tuple[str, torch.Tensor, torch.Tensor]]:
    """(what, the truth, what was computed), both (T, V)."""
    for row, reference in zip(rows, truth, strict=True):
        yield "alone", reference, _alone(model, row)
    ids, mask = _padded(rows, pad_id, model.device)
    shortest = min(len(row) for row in rows)
    with torch.no_grad():
        logits = completion_logits(model, ids, mask, shortest - 1)
    for row, reference, computed in zip(rows, truth, logits, strict=True):
        yield "in a padded batch", reference[len(row) - shortest : -1], _logp(computed)
    for row, (tokens, logits) in zip(rows, _decode(model, rows, pad_id), strict=True):
        [reference] = _plain(model, [[*row, *tokens[:-1]]])
        yield "that is generated", reference[len(row) - 1 :], _logp(logits)


def _padded(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, (B, P) each, padded on the left; even the longest row has some."""
    width = safe_width(max(len(row) for row in rows) + 2, device)
    ids, mask = padded(rows, width, pad_id)
    return ids.to(device), mask.to(device)


@torch.no_grad()
def _decode(model: PreTrainedModel, rows: Sequence[Sequence[int]], pad_id: int) -> list[tuple[list[int], torch.Tensor]]:
    """A few likeliest tokens of each row, generated as the engine does, and the (T, V) logits that chose them."""
    if not can_come_and_go(model):
        return _decode_together(model, *_padded(rows, pad_id, model.device), pad_id)
    prompts = Prompts(model, rows, pad_id)
    flight = Flight(model, slots=len(rows), room=1)
    logits = [[row] for row in prompts.logits]
    waiting, flying = list(range(len(rows))), list[int]()
    with grouped_queries(model.device):
        while waiting or flying:
            entering, waiting = waiting[: len(rows) // 2 + 1], waiting[len(rows) // 2 + 1 :]
            if entering:
                flight.enter(prompts, torch.tensor(entering, device=model.device))
                flying += entering
            ended = np.array([len(logits[row]) == _DECODED for row in flying])
            for source, target in zip(*(slots.tolist() for slots in flight.leave(ended)), strict=True):
                flying[target] = flying[source]
            flying = flying[: flight.rows]
            if flying:
                tokens = torch.stack([logits[row][-1].argmax() for row in flying])
                for row, more in zip(flying, flight.step(tokens, torch.ones_like(tokens).bool()), strict=True):
                    logits[row].append(more)
    return [(torch.stack(row).argmax(-1).tolist(), torch.stack(row)) for row in logits]


def _decode_together(
    model: Any, ids: torch.Tensor, mask: torch.Tensor, pad_id: int
) -> list[tuple[list[int], torch.Tensor]]:
    """The same by transformers' ``generate``."""
    config = GenerationConfig(
        do_sample=False,
        max_new_tokens=_DECODED,
        pad_token_id=pad_id,
        use_cache=True,
        output_logits=True,
        return_dict_in_generate=True,
    )
    shipped, model.generation_config = model.generation_config, GenerationConfig(pad_token_id=pad_id)
    try:
        made = model.generate(input_ids=ids, attention_mask=mask, generation_config=config)
    finally:
        model.generation_config = shipped
    return list(zip(made.sequences[:, ids.shape[1] :].tolist(), torch.stack(made.logits, dim=1), strict=True))


def _difference(reference: torch.Tensor, computed: torch.Tensor, dtype: torch.dtype) -> tuple[float, float]:
    """E|Δ log p| under the reference, the largest of all positions or in half precision their mean; what is allowed."""
    expected = (reference.exp() * (computed.to(reference.dtype) - reference).abs()).sum(-1)
    if dtype in _TOLERANCE:
        return float(expected.max()), _TOLERANCE[dtype]
    return float(expected.mean()), _HALF_TOLERANCE
