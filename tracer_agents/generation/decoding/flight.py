"""Rows in flight: the batch that decodes one token of each row per step."""

import numpy as np
import torch
from transformers import PreTrainedModel

from tracer_agents.generation.decoding.cache import RowCache
from tracer_agents.generation.decoding.prompts import Prompts


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
