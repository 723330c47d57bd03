"""Log-probabilities of completions, without the whole of (batch, time, vocabulary) and with shared prompts once.

Two savings, each taken only where it pays and where the model is seen to support it:

- *Logits in parts.* Where a micro-batch's logits would be large, the output layer is applied to a few tokens at a time,
  and once more in the backward pass, so that no more than a part of them is ever held.
- *Prompts once.* Where samples share prompts, each prompt's keys and values are computed once and every completion
  attends to them; gradients of all completions add up in them.

Both give what the plain pass gives but for rounding.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache, PreTrainedModel

from tracer_agents.generation.attention import agree, completion_logits, safe_width
from tracer_agents.generation.sharding import as_forward
from tracer_agents.learners.batches import MicroBatch
from tracer_agents.learners.objectives import token_logps

WHOLE_LOGITS = 2**25  # elements of (B, T, V) that are held at once
PART_LOGITS = 2**24  # elements of a part, where they are not


class Scorer:
    """Computes log-probabilities with a model, under the weights that are on.

    Args:
        model: in evaluation mode.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self._model: Any = model
        self._headed: bool | None = None  # whether the output layer alone gives the logits; None: not tried yet
        self._within = as_forward(model, _computed)

    def logps(self, batch: MicroBatch) -> torch.Tensor:
        """log-probabilities at temperature 1 of the completion tokens, (B, T); padding's mean nothing."""
        head = self._model.get_output_embeddings()
        large = batch.mask.numel() * head.weight.shape[0] > WHOLE_LOGITS and self._has_a_plain_head()
        if large:
            return self._within(lambda: _in_parts(head, self._states(batch), batch))
        if batch.prompts is None:
            width = batch.completion_width
            return token_logps(
                completion_logits(self._model, batch.input_ids, batch.attention_mask, width), batch.targets
            )
        return token_logps(self._behind_prompts(batch, self._model, "logits"), batch.targets)

    def _states(self, batch: MicroBatch) -> torch.Tensor:
        """(B, T, H): what the output layer turns into the logits of each completion token."""
        if batch.prompts is not None:
            return self._behind_prompts(batch, self._model.base_model, "last_hidden_state")
        states = self._model.base_model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=(batch.attention_mask.cumsum(-1) - 1).clamp_(min=0),
            use_cache=False,
        ).last_hidden_state
        return states[:, -(batch.completion_width + 1) : -1]

    def _behind_prompts(self, batch: MicroBatch, compute: Any, what: str) -> torch.Tensor:
        """(B, T, …) outputs that predict the completions: prompts first, then completions behind copies of them."""
        prompts = batch.prompts
        assert prompts is not None
        keep = {"logits_to_keep": 1} if what == "logits" else {}
        cache = DynamicCache(config=self._model.config)
        positions = (prompts.mask.cumsum(-1) - 1).clamp_(min=0)
        first = compute(
            input_ids=prompts.ids,
            attention_mask=prompts.mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            **keep,
        )
        last = getattr(first, what)[:, -1:][prompts.of_row]  # (B, 1, …)
        if batch.completion_width == 1:
            return last
        cache.batch_select_indices(prompts.of_row)
        length = batch.completion_width - 1
        padding = (0, safe_width(length, batch.input_ids.device) - length)  # no matter what: masked, and cut off below
        shown = torch.nn.functional.pad(batch.mask[:, :length].to(prompts.mask.dtype), padding)
        steps = torch.arange(1, shown.shape[1] + 1, device=shown.device)
        rest = compute(
            input_ids=torch.nn.functional.pad(batch.targets[:, :length], padding),
            attention_mask=torch.cat([prompts.mask[prompts.of_row], shown], dim=-1),
            position_ids=positions[prompts.of_row, -1:] + steps.clamp(max=length),
            past_key_values=cache,
            use_cache=True,
        )
        return torch.cat([last, getattr(rest, what)[:, :length]], dim=1)

    def settle(self) -> None:
        """Tries the output layer now, not once it is needed: with forward passes."""
        self._has_a_plain_head()

    @torch.no_grad()
    def _has_a_plain_head(self) -> bool:
        """Whether logits are the output layer of the last states and nothing more, tried once on a few tokens."""
        if self._headed is None:
            model = self._model
            head = model.get_output_embeddings()
            ids = torch.arange(8, device=model.device).remainder(head.weight.shape[0]).unsqueeze(0)
            expected = model(input_ids=ids, use_cache=False).logits
            logits = self._within(lambda: _plain_logits(model, ids))
            self._headed = logits is not None and agree(logits, expected, model.dtype)
        return bool(self._headed)


def _computed(compute: Callable[[], Any]) -> Any:
    return compute()


def _plain_logits(model: Any, ids: torch.Tensor) -> torch.Tensor | None:
    """(1, T, V): the output layer of the last states; None: it is for others."""
    head = model.get_output_embeddings()
    states = getattr(model.base_model(input_ids=ids, use_cache=False), "last_hidden_state", None)
    fits = states is not None and states.shape[-1] == head.weight.shape[-1]
    return head(states) if fits else None


def _in_parts(head: torch.nn.Module, states: torch.Tensor, batch: MicroBatch) -> torch.Tensor:
    """(B, T) from (B, T, H), of the completions' own tokens; 0 on padding."""
    kept = batch.mask.bool()
    rows, targets = states[kept], batch.targets[kept]  # (N, H), (N,)
    size = max(1, PART_LOGITS // head.weight.shape[0])  # type: ignore[union-attr, index]
    parts = [
        checkpoint(_part, head, rows[start : start + size], targets[start : start + size], use_reentrant=False)
        for start in range(0, len(rows), size)
    ]
    logp = torch.cat(parts)
    return torch.zeros(kept.shape, dtype=logp.dtype, device=logp.device).masked_scatter(kept, logp)


def _part(head: torch.nn.Module, states: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return token_logps(head(states), targets)
