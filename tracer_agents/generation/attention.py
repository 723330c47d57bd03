"""Chooses attention kernels, and widths of batches at which they compute the right thing."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def attention(model: PreTrainedModel, kernel: str) -> Iterator[None]:
    """Lets ``model`` use another kernel (``"sdpa"``, ``"eager"``, …), then its own again."""
    before = model.config._attn_implementation or "sdpa"
    model.set_attn_implementation(kernel)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def safe_width(width: int, device: torch.device) -> int:
    """The width, in tokens, that a left-padded batch of at least ``width`` is given on a device.

    On GPUs the next multiple of 8: PyTorch's memory-efficient kernel, which sdpa takes for masked batches, is silently
    wrong at some widths that are 1 more than a multiple of 32 (pytorch issue 191937, transformers issue 47651).
    """
    return width if device.type == "cpu" else -(-width // 8) * 8
