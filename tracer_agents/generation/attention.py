"""Chooses attention kernels and widths at which they compute the right thing, and makes the learner's forward pass."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def attention(model: PreTrainedModel, kernel: str) -> Iterator[None]:
    """Lets ``model`` use another kernel (``"sdpa"``, ``"eager"``, …), then its own again.

    Raises:
        ValueError: the model does not know the kernel.
    """
    before = kernel_of(model)
    model.set_attn_implementation(kernel)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def kernel_of(model: PreTrainedModel) -> str:
    """The kernel that the model uses."""
    return model.config._attn_implementation or "sdpa"


def safe_width(width: int, device: torch.device) -> int:
    """The width, in tokens, that a left-padded batch of at least ``width`` is given on a device.

    On GPUs the next multiple of 8: PyTorch's memory-efficient kernel, which sdpa takes for masked batches, is silently
    wrong at some widths that are 1 more than a multiple of 32 (pytorch issue 191937, transformers issue 47651).
    """
    return width if device.type == "cpu" else -(-width // 8) * 8


def completion_logits(
    model: PreTrainedModel, input_ids: torch.Tensor, attention_mask: torch.Tensor, width: int
) -> torch.Tensor:
    """The logits that predict the last ``width`` tokens of each row.

    Args:
        model: computes without a cache.
        input_ids: (B, P+T) int64.
        attention_mask: (B, P+T), 1 on tokens; padding may be on either side.
        width: T.

    Returns:
        (B, T, V).
    """
    positions = (attention_mask.cumsum(-1) - 1).clamp_(min=0)
    logits = model(
        input_ids=input_ids,
        attention_mask=attention_mask,
        position_ids=positions,
        logits_to_keep=width + 1,
        use_cache=False,
    ).logits
    return logits[:, -(width + 1) : -1]
