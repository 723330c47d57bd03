"""In-process generation with Hugging Face transformers, reproducible row by row.

Sampling noise belongs to the row, not to the batch: every row draws its uniforms from its own stream and
inverts the CDF of the next-token distribution, so batch size, order and thread count change nothing but the
last bits of the logits (DESIGN, section 5).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessorList, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents import progress
from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.attention import safe_width
from tracer_agents.generation.base import Generation, GenerationRequest, not_generated
from tracer_agents.generation.decoding.cache import can_come_and_go
from tracer_agents.generation.decoding.choices import choice_logps, choose_among
from tracer_agents.generation.decoding.loop import DecodeLoop, Sampled
from tracer_agents.generation.decoding.prefixes import Asked
from tracer_agents.generation.decoding.prompts import NextLogits, Prefill, at_once, padded
from tracer_agents.generation.decoding.sampling import RowNoise
from tracer_agents.generation.decoding.threads import suitable_threads
from tracer_agents.generation.gate import Check, Learner, Probes
from tracer_agents.generation.soundness import context_of
from tracer_agents.generation.weights import Weights
from tracer_env.dialogue import FinishReason
from tracer_env.seeding import token_uniforms


class TransformersBackend:
    """Generates with a causal LM that lives in this process.

    Args:
        weights: the learner's own: new ones need no copy, ``sync`` only labels them. The model's generation
            settings are replaced by its end tokens alone: shipped penalties and cut-offs are not of the policy.
        tokenizer: the model's.
        pad_id: fills padding (masked everywhere).
        stops: the ids that end a completion; by default those that tokenizer and model name.
        batch_size: rows generated together.
    """

    def __init__(
        self,
        weights: Weights,
        tokenizer: PreTrainedTokenizerBase,
        *,
        pad_id: int,
        stops: Sequence[int] | None = None,
        batch_size: int = 128,
    ) -> None:
        self._weights = weights
        self._model = model = weights.model
        self._tokenizer = tokenizer
        self._pad_id = pad_id
        self._batch_size = batch_size
        self._version = 0
        self._stops = stop_ids(model, tokenizer) if stops is None else frozenset(stops)
        self._prefill = self._loop = None
        if can_come_and_go(model):
            self._prefill = Prefill(weights, pad_id=pad_id, rows=batch_size)
            self._loop = DecodeLoop(weights, self._prefill, stops=sorted(self._stops), slots=batch_size)
        model.generation_config = GenerationConfig(eos_token_id=sorted(self._stops), pad_token_id=pad_id)

    def sync(self, version: int) -> None:
        """Labels the weights now in the model with ``version``."""
        self._version = version

    def gate(self, learners: Mapping[str, Learner], probes: Probes) -> list[Check]:
        """No checks: the learner's model itself generates."""
        return []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """One completion per request, in order, in length-bucketed batches that mix policies.

        A row that may not fit into the model's context ends with ``FinishReason.TOO_LONG``; the others are generated.

        Raises:
            GenerationFailed: a policy is unknown, or the model's log-probabilities are not finite.
        """
        unknown = {request.policy for request in requests} - set(self._weights.names)
        if unknown:
            raise GenerationFailed(f"no policy {sorted(unknown)[0]!r}; speakers.policy makes {[*self._weights.names]}")
        fitting = [row for row, request in enumerate(requests) if self._fits(request)]
        asked = [requests[row] for row in fitting]
        with suitable_threads(self._model):
            sampled = self._sample(asked)
        done = dict(zip(fitting, self._generations(asked, sampled), strict=True))
        return [
            done.get(row) or not_generated(request, FinishReason.TOO_LONG, self._version)
            for row, request in enumerate(requests)
        ]

    @property
    def context(self) -> int | None:
        """The most tokens of a prompt with its completion; None: no limit."""
        return context_of(self._model)

    def _fits(self, request: GenerationRequest) -> bool:
        context = self.context
        longest = 1 if request.choices else request.max_new_tokens
        return context is None or len(request.prompt_ids) + longest <= context

    def _sample(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        choosing = [row for row, request in enumerate(requests) if request.choices]
        if not choosing:
            return self._decode(requests)
        speaking = [row for row, request in enumerate(requests) if not request.choices]
        sampled = dict(zip(speaking, self._decode([requests[row] for row in speaking]), strict=True))
        sampled |= zip(choosing, self._choose([requests[row] for row in choosing]), strict=True)
        return [sampled[row] for row in range(len(requests))]

    def _choose(self, requests: Sequence[GenerationRequest]) -> Iterator[Sampled]:
        """One of each request's choices; they need a forward pass of their prompts and no decoding."""
        logps = choice_logps(requests, self._prefill.next_logits if self._prefill is not None else self._next_logits)
        for request, of_choices in zip(requests, logps, strict=True):
            place, logp = choose_among(of_choices, request.seed, request.temperature)
            yield Sampled(tokens=[request.choices[place]], logps=[logp], choice_logps=of_choices)

    def _decode(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        if self._loop is not None:
            return self._loop.run(requests)
        sampled: dict[int, Sampled] = {}
        for rows in self._buckets(requests):
            sampled |= zip(rows, self._sample_together([requests[row] for row in rows]), strict=True)
            progress.come(len(rows))
        return [sampled[row] for row in range(len(requests))]

    def _next_logits(self, prompts: Iterable[Asked]) -> Iterator[NextLogits]:
        """Without a cache."""
        order = sorted(prompts, key=lambda prompt: -len(prompt[1]))
        while order:
            count = at_once(len(order[0][1]), self._model.device, self._batch_size)
            batch, order = order[:count], order[count:]
            width = safe_width(len(batch[0][1]), self._model.device)
            ids, mask = (each.to(self._model.device) for each in padded([row for _, row in batch], width, self._pad_id))
            with self._weights.by_row([policy for policy, _ in batch]):
                output = cast(Any, self._model)(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=(mask.cumsum(-1) - 1).clamp_(min=0),
                    use_cache=False,
                    logits_to_keep=1,
                )
            yield output.logits[:, -1], {prompt: row for row, prompt in enumerate(batch)}

    def _buckets(self, requests: Sequence[GenerationRequest]) -> Iterator[list[int]]:
        def size(row: int) -> tuple[int, int]:
            return requests[row].max_new_tokens, len(requests[row].prompt_ids)

        order = sorted(range(len(requests)), key=size)
        yield from (order[first : first + self._batch_size] for first in range(0, len(order), self._batch_size))

    @torch.inference_mode()
    def _sample_together(self, batch: list[GenerationRequest]) -> list[Sampled]:
        """By transformers' ``generate``, with the model's own cache, until the longest row has ended."""
        pad, model = self._pad_id, cast(Any, self._model)
        width = safe_width(max(len(request.prompt_ids) for request in batch), model.device)
        steps = max(request.max_new_tokens for request in batch)
        ids, mask = padded([request.prompt_ids for request in batch], width, pad)
        uniforms = np.stack([token_uniforms(request.seed, steps) for request in batch])
        noise = RowNoise(
            torch.from_numpy(uniforms).to(model.device),
            torch.tensor([request.temperature for request in batch], dtype=torch.float32, device=model.device),
        )
        config = GenerationConfig(
            do_sample=False, max_new_tokens=steps, pad_token_id=pad, eos_token_id=sorted(self._stops), use_cache=True
        )
        with self._weights.by_row([request.policy for request in batch]):
            output = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                generation_config=config,
                logits_processor=LogitsProcessorList([noise]),
                synced_gpus=False,  # no other process generates
            )
        logps = torch.stack(noise.logps, dim=1).tolist()  # (B, T)
        kept = [self._cut(request, row) for request, row in zip(batch, output[:, width:].tolist(), strict=True)]
        return [Sampled(tokens=row, logps=row_logps[: len(row)]) for row, row_logps in zip(kept, logps, strict=True)]

    def _generations(self, requests: Sequence[GenerationRequest], sampled: Sequence[Sampled]) -> list[Generation]:
        if not all(math.isfinite(logp) for row in sampled for logp in (*row.logps, *row.choice_logps)):
            raise GenerationFailed(
                f"the model's log-probabilities are not finite in {str(self._model.dtype).removeprefix('torch.')}; "
                "set speakers.dtype: float32 (or bfloat16), or check that the weights in speakers.model are finite"
            )
        if not sampled:
            return []
        texts = self._tokenizer.batch_decode([row.tokens for row in sampled], skip_special_tokens=True)
        return [
            Generation(
                prompt_ids=request.prompt_ids,
                output_ids=tuple(row.tokens),
                logps=tuple(row.logps),
                text=text,
                finish_reason=(
                    FinishReason.STOP if request.choices or row.tokens[-1] in self._stops else FinishReason.LENGTH
                ),
                policy_version=self._version,
                choice_logps=row.choice_logps,
            )
            for request, row, text in zip(requests, sampled, texts, strict=True)
        ]

    def _cut(self, request: GenerationRequest, row: list[int]) -> list[int]:
        """The row up to and with its end token, or up to the request's own limit."""
        limit = row[: request.max_new_tokens]
        return next((limit[: position + 1] for position, token in enumerate(limit) if token in self._stops), limit)


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends a completion, from the tokenizer and the model's generation settings."""
    configured = model.generation_config.eos_token_id if model.generation_config is not None else None
    ids = configured if isinstance(configured, list) else [configured]
    return frozenset(i for i in [*ids, tokenizer.eos_token_id] if i is not None)
