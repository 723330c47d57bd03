"""Chooses the attention kernel for a stretch of work: on CPUs the fastest one to sample with is slow to train with."""

from collections.abc import Iterator
from contextlib import contextmanager

from transformers import PreTrainedModel


@contextmanager
def attention(model: PreTrainedModel, kernel: str) -> Iterator[None]:
    """Lets ``model`` use another kernel (``"sdpa"``, ``"eager"``, …), then its own again."""
    own = model.config._attn_implementation or "sdpa"
    model.set_attn_implementation(kernel)
    try:
        yield
    finally:
        model.set_attn_implementation(own)
