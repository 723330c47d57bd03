"""Prompts before decoding: each distinct one is computed once, and a long prefix that several share once for all."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from transformers import PreTrainedModel

from tracer_agents.generation.attention import agree, safe_width
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding.cache import RowCache, has_windows
from tracer_agents.generation.decoding.prefixes import Asked, Node, prefix_tree
from tracer_agents.generation.weights import Weights

NextLogits = tuple[torch.Tensor, Mapping[Asked, int]]  # (D, V), and which row is which prompt's

LEAST_SHARED: int | None = 64  # tokens that a second forward pass of a few prompts is worth; None: nothing is shared
ENTERING = 4  # waiting rows enter a batch once 1 in so many slots is free
_TOKENS = {"cpu": 2048}
_TOKENS_ELSEWHERE = 32768
_TRIED = 60  # tokens


class Prompts:
    """A few prompts after their forward pass: keys, values and the logits of what comes next.

    Args:
        model: computes with the weights that are on.
        prompts: token ids; behind others, those that follow.
        pad_id: fills padding (masked everywhere).
        behind: prompts that were computed before, and which of them each of these goes on, (D,) int64.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        pad_id: int,
        *,
        behind: "tuple[Prompts, torch.Tensor] | None" = None,
    ) -> None:
        device = model.device
        width = safe_width(max(len(prompt) for prompt in prompts), device)
        ids, mask = (each.to(device) for each in padded(prompts, width, pad_id))
        lengths = mask.sum(-1)
        shown, positions, before = mask, (mask.cumsum(-1) - 1).clamp_(min=0), 0
        self.cache = RowCache(model, slots=len(prompts), columns=width)
        if behind is None:
            self.cache.begin(len(prompts))
        else:
            first, rows = behind
            before = first.cache.used.stop - first.cache.used.start
            earlier = first.lengths[rows].unsqueeze(-1)
            shown = torch.cat([torch.arange(before, device=device) >= before - earlier, mask], dim=-1).to(mask.dtype)
            positions = positions + earlier
            self.cache.ensure(before, width)
            self.cache.take(first.cache, rows)
            self.cache.narrow(before)
        output = model(
            input_ids=ids,
            attention_mask=shown,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self.cache.advance(width)
        if before:
            self.cache.close(before, width - lengths)
        self.lengths = shown.sum(-1)  # (D,)
        self.logits = output.logits[:, -1]  # (D, V)


def padded(prompts: Sequence[Sequence[int]], width: int, pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask, (B, width) int64 each, padded on the left."""
    ids = torch.full((len(prompts), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, width - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, width - len(prompt) :] = 1
    return ids, mask


def at_once(longest: int, device: torch.device, most: int) -> int:
    """How many prompts of up to ``longest`` tokens are computed in one forward pass, ``most`` at the most."""
    return max(1, min(_TOKENS.get(device.type, _TOKENS_ELSEWHERE) // longest, most))


def asking_by_prompt(requests: Sequence[GenerationRequest]) -> dict[Asked, list[int]]:
    """Which requests ask for each distinct prompt of a policy."""
    asking: dict[Asked, list[int]] = {}
    for row, request in enumerate(requests):
        asking.setdefault((request.policy, request.prompt_ids), []).append(row)
    return asking


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Prompts that were computed together."""

    prompts: Prompts
    places: dict[Asked, int]  # of those that somebody asked for


class Prefill:
    """Computes prompts, those of like lengths together.

    Args:
        weights: the policies'; the model's cache must be one whose rows can come and go.
        pad_id: fills padding.
        rows: the most prompts in one forward pass.
    """

    def __init__(self, weights: Weights, *, pad_id: int, rows: int) -> None:
        self._weights = weights
        self._pad_id = pad_id
        self._rows = rows
        self._shares: bool | None = None  # whether prefixes are shared; None: nobody has had one yet

    def __call__(self, prompts: Iterable[Asked]) -> Iterator[Computed]:
        """Each distinct prompt in one of the results, which are computed as they are asked for."""
        distinct = set(prompts)
        nodes = prefix_tree(distinct, LEAST_SHARED)
        if any(node.below for node in nodes) and not self._can_share():
            nodes = prefix_tree(distinct, None)
        return self._computed([(node, 0) for node in nodes], None)

    def _computed(self, nodes: Sequence[tuple[Node, int]], above: Prompts | None) -> Iterator[Computed]:
        """Of nodes with their places in what is above them; a part's own lower nodes come before the next part."""
        model = self._weights.model
        # Behind a prefix a row holds more than it computes: no more of them than enter a batch at once.
        most = self._rows if above is None else max(1, self._rows // ENTERING)
        order = sorted(nodes, key=lambda placed: (-len(placed[0].tokens), placed[0].policy, placed[0].tokens))
        while order:
            count = at_once(len(order[0][0].tokens), model.device, most)
            together, places = zip(*order[:count], strict=True)
            order = order[count:]
            behind = None if above is None else (above, torch.tensor(places, device=model.device))
            with self._weights.by_row([node.policy for node in together]):
                prompts = Prompts(model, [node.tokens for node in together], self._pad_id, behind=behind)
            ending = {node.prompt: row for row, node in enumerate(together) if node.prompt is not None}
            if ending:
                yield Computed(prompts=prompts, places=ending)
            below = [(node, row) for row, upper in enumerate(together) for node in upper.below]
            yield from self._computed(below, prompts)

    def next_logits(self, prompts: Iterable[Asked]) -> Iterator[NextLogits]:
        """What comes behind each distinct prompt."""
        return ((computed.prompts.logits, computed.places) for computed in self(prompts))

    def _can_share(self) -> bool:
        """Whether the model computes the same behind keys and values of before, tried once on a few tokens."""
        if self._shares is None:
            self._shares = not has_windows(self._weights.model) and self._agrees()
        return self._shares

    def _agrees(self) -> bool:
        model, policy = self._weights.model, self._weights.names[0]
        vocabulary = cast(Any, model).get_input_embeddings().weight.shape[0]
        ids = [place % vocabulary for place in range(_TRIED)]
        prefix, rest = ids[: _TRIED // 3], [ids[_TRIED // 3 :], ids[-3:], ids[:1]]  # so that rows have gaps to close
        with self._weights.by_row([policy]):
            first = Prompts(model, [prefix], self._pad_id)
        with self._weights.by_row([policy] * len(rest)):
            copies = torch.zeros(len(rest), dtype=torch.long, device=model.device)
            shared = Prompts(model, rest, self._pad_id, behind=(first, copies))
            whole = Prompts(model, [[*prefix, *row] for row in rest], self._pad_id)
        return agree(shared.logits, whole.logits, model.dtype)
