"""Rows in flight: prompts that were computed once, and the batch of rows that decodes one token each per step."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel

from tracer_agents.generation.attention import safe_width
from tracer_agents.generation.decoding.cache import RowCache


class Prompts:
    """A few prompts after their forward pass: keys, values and the logits of what comes next.

    Args:
        model: computes with the weights that are on.
        prompts: token ids.
        pad_id: fills padding (masked everywhere).
    """

    def __init__(self, model: PreTrainedModel, prompts: Sequence[Sequence[int]], pad_id: int) -> None:
        device = model.device
        width = safe_width(max(len(prompt) for prompt in prompts), device)
        ids, mask = padded(prompts, width, pad_id)
        self.lengths = mask.sum(-1).to(device)  # (D,)
        self.cache = RowCache(model, slots=len(prompts), columns=width)
        self.cache.begin(len(prompts))
        mask = mask.to(device)
        output = model(
            input_ids=ids.to(device),
            attention_mask=mask,
            position_ids=(mask.cumsum(-1) - 1).clamp_(min=0),
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache.advance(width)
        self.logits = output.logits[:, -1]  # (D, V)


def padded(prompts: Sequence[Sequence[int]], width: int, pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, (B, width) int64 each, padded on the left."""
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    return ids, mask


class Flight:
    """The rows that decode together; each is the same as if it were alone.

    Args:
        model: whose forward pass it is.
        slots: the most rows at a time.
        room: tokens that the cache can grow by before it is reallocated.
    """

    def __init__(self, model: PreTrainedModel, *, slots: int, room: int) -> None:
        self._model = model
        self._room = room
        self._cache = RowCache(model, slots=slots, columns=0)
        self._mask = torch.zeros(slots, 0, dtype=torch.long, device=model.device)  # (slots, columns)
        self._lengths = torch.zeros(slots, dtype=torch.long, device=model.device)  # (slots,) tokens in the cache

    @property
    def rows(self) -> int:
        """B: how many rows there are."""
        return self._cache.rows

    def enter(self, prompts: Prompts, rows: torch.Tensor) -> None:
        """Appends copies of prompts, by their (E,) places among ``prompts``."""
        lengths = prompts.lengths[rows]
        width = prompts.cache.used.stop - prompts.cache.used.start
        self._ensure(width)
        first, last = self.rows, self.rows + len(rows)
        self._cache.take(prompts.cache, rows)
        self._lengths[first:last] = lengths
        end = self._cache.used.stop
        columns = torch.arange(self._mask.shape[1], device=self._mask.device)
        self._mask[first:last] = (columns >= (end - lengths).unsqueeze(-1)) & (columns < end)
        self._narrow()

    def leave(self, ended: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Lets rows out; the last of those that stay take their slots.

        Args:
            ended: (B,) bool.

        Returns:
            The slots of the rows that moved, (M,) int64, and the slots that they moved to.
        """
        kept = int((~ended).sum())
        sources, targets = (
            torch.from_numpy(slots).to(self._lengths.device)
            for slots in (kept + np.flatnonzero(~ended[kept:]), np.flatnonzero(ended[:kept]))
        )
        self._cache.keep(kept, sources, targets)
        self._mask[targets] = self._mask[sources]
        self._lengths[targets] = self._lengths[sources]
        if kept:
            self._narrow()
        return sources, targets

    def step(self, tokens: torch.Tensor, going: torch.Tensor) -> torch.Tensor:
        """Appends a token to every row.

        Args:
            tokens: (B,) int64.
            going: (B,) bool; rows that have ended and are still here stay at their position: there may be no next one.

        Returns:
            (B, V) logits of what comes next.
        """
        self._ensure(0)
        rows, end = self.rows, self._cache.used.stop
        self._mask[:rows, end] = 1
        output = self._model(
            input_ids=tokens.unsqueeze(-1),
            attention_mask=self._mask[:rows, self._cache.used.start : end + 1],
            position_ids=self._lengths[:rows].unsqueeze(-1),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._cache.advance(1)
        self._lengths[:rows] += going
        return output.logits[:, -1]

    def _ensure(self, width: int) -> None:
        before = self._cache.used
        shift = self._cache.ensure(width, self._room)
        after = self._cache.used
        columns = self._cache.columns
        if columns != self._mask.shape[1] or shift:
            mask = self._mask.new_zeros(len(self._mask), columns)
            mask[:, after] = self._mask[:, before]
            self._mask = mask

    def _narrow(self) -> None:
        self._cache.narrow(int(self._lengths[: self.rows].max()))
