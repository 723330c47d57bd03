"""Chooses attention kernels and widths at which they compute the right thing, and makes the learner's forward pass."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

_TOLERANCE = {torch.float64: 1e-6, torch.float32: 1e-3}  # of logits that are computed in another way
_HALF_TOLERANCE = 0.1


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


@contextmanager
def grouped_queries(device: torch.device) -> Iterator[None]:
    """Lets sdpa take the heads that share a key as so many queries while single tokens are decoded on a CPU.

    transformers copies keys and values for each head that shares them whenever there is a mask; that copy is most of
    a step's time with several heads per key. What is computed is the same but for rounding.
    """
    if device.type != "cpu":
        yield
        return
    functions: Any = ALL_ATTENTION_FUNCTIONS
    plain = functions["sdpa"]
    functions["sdpa"] = _grouped(plain)
    try:
        yield
    finally:
        functions["sdpa"] = plain


def _grouped(plain: Callable[..., Any]) -> Callable[..., Any]:
    def forward(
        module: torch.nn.Module,
        query: torch.Tensor,  # (B, heads, T, size)
        key: torch.Tensor,  # (B, groups, W, size)
        value: torch.Tensor,  # (B, groups, W, size)
        attention_mask: torch.Tensor | None,  # (B, 1, T, W)
        *arguments: Any,
        **options: Any,
    ) -> tuple[torch.Tensor, None]:
        (rows, heads, length, size), groups = query.shape, key.shape[1]
        per_head = attention_mask is None or attention_mask.shape[1] > 1 or options.get("position_bias") is not None
        if attention_mask is None or per_head or length > 1 or heads == groups or heads % groups:
            return plain(module, query, key, value, attention_mask, *arguments, **options)
        each = heads // groups
        output = torch.nn.functional.scaled_dot_product_attention(
            query.reshape(rows, groups, each, size),
            key,
            value,
            attn_mask=attention_mask.expand(-1, 1, each, -1),
            scale=options.get("scaling"),
        )
        return output.reshape(rows, 1, heads, value.shape[-1]), None

    return forward


def safe_width(width: int, device: torch.device) -> int:
    """The width, in tokens, that a left-padded batch of at least ``width`` is given on a device.

    On GPUs the next multiple of 8: PyTorch's memory-efficient kernel, which sdpa takes for masked batches, is silently
    wrong at some widths that are 1 more than a multiple of 32 (pytorch issue 191937, transformers issue 47651).
    """
    return width if device.type == "cpu" else -(-width // 8) * 8


def agree(computed: torch.Tensor, expected: torch.Tensor, dtype: torch.dtype) -> bool:
    """Whether logits are the same but for the rounding of a model in ``dtype``."""
    allowed = _TOLERANCE.get(dtype, _HALF_TOLERANCE) * (1 + float(expected.abs().max()))
    return float((computed.float() - expected.float()).abs().max()) <= allowed


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
