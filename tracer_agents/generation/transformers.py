"""In-process generation with Hugging Face transformers, reproducible row by row.

Sampling noise belongs to the row, not to the batch: every row draws its uniforms from its own stream and
inverts the CDF of the next-token distribution, so batch size, order and thread count change nothing but the
last bits of the logits (DESIGN, section 5).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Self, cast

import numpy as np
import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.attention import safe_width
from tracer_agents.generation.base import Generation, GenerationRequest, not_generated
from tracer_agents.generation.gate import Check, Learner, Probes
from tracer_agents.generation.soundness import context_of
from tracer_agents.generation.weights import Weights
from tracer_env.dialogue import FinishReason
from tracer_env.seeding import token_uniforms


def invert_cdf(logp: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token at which the CDF passes ``uniform``.

    Args:
        logp: (B, V) log-probabilities.
        uniform: (B,) float64 in [0, 1).

    Returns:
        (B,) int64; never a token of probability 0.
    """
    cdf = logp.double().exp().cumsum(-1)  # (B, V)
    target = (uniform * cdf[:, -1]).unsqueeze(-1)
    return torch.searchsorted(cdf, target, right=True).squeeze(-1).clamp_(max=logp.shape[-1] - 1)


class RowNoise(LogitsProcessor):
    """Chooses each row's next token with the row's own noise, and keeps its log-probability.

    Args:
        uniforms: (B, T) float64, one per row and step.
        temperature: (B,) ≥ 0; 0 takes the most likely token.
    """

    def __init__(self, uniforms: torch.Tensor, temperature: torch.Tensor) -> None:
        self._uniforms = uniforms
        self._greedy = temperature == 0
        self._scale = torch.where(self._greedy, 1.0, temperature).unsqueeze(-1)
        self.logps: list[torch.Tensor] = []  # a (B,) tensor each step

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(B, V) scores in, (B, V) scores out, −inf everywhere but at the chosen tokens."""
        logp = torch.log_softmax(scores.float() / self._scale, dim=-1)
        sampled = invert_cdf(logp, self._uniforms[:, len(self.logps)])
        token = torch.where(self._greedy, logp.argmax(-1), sampled).unsqueeze(-1)  # (B, 1)
        self.logps.append(logp.gather(-1, token).squeeze(-1))
        return cast(torch.FloatTensor, torch.full_like(scores, float("-inf")).scatter_(-1, token, 0.0))


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
        done = {
            row: not_generated(request, FinishReason.TOO_LONG, self._version)
            for row, request in enumerate(requests)
            if not self._fits(request)
        }
        for rows in self._buckets(requests, [row for row in range(len(requests)) if row not in done]):
            done |= zip(rows, self._generate_batch([requests[row] for row in rows]), strict=True)
        return [done[row] for row in range(len(requests))]

    @property
    def context(self) -> int | None:
        """The most tokens of a prompt with its completion; None: no limit."""
        return context_of(self._model)

    def _fits(self, request: GenerationRequest) -> bool:
        context = self.context
        return context is None or len(request.prompt_ids) + request.max_new_tokens <= context

    def _buckets(self, requests: Sequence[GenerationRequest], rows: Sequence[int]) -> Iterator[list[int]]:
        def size(row: int) -> tuple[int, int]:
            return requests[row].max_new_tokens, len(requests[row].prompt_ids)

        order = sorted(rows, key=size)
        yield from (order[first : first + self._batch_size] for first in range(0, len(order), self._batch_size))

    @torch.inference_mode()
    def _generate_batch(self, batch: list[GenerationRequest]) -> list[Generation]:
        pad = self._pad_id
        device = self._model.device
        width = safe_width(max(len(request.prompt_ids) for request in batch), device)
        steps = max(request.max_new_tokens for request in batch)
        ids = torch.full((len(batch), width), pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, request in enumerate(batch):  # left padding
            ids[row, width - len(request.prompt_ids) :] = torch.tensor(request.prompt_ids)
            mask[row, width - len(request.prompt_ids) :] = 1
        uniforms = np.stack([token_uniforms(request.seed, steps) for request in batch])
        noise = RowNoise(
            torch.from_numpy(uniforms).to(device),
            torch.tensor([request.temperature for request in batch], dtype=torch.float32, device=device),
        )
        config = GenerationConfig(
            do_sample=False, max_new_tokens=steps, pad_token_id=pad, eos_token_id=sorted(self._stops), use_cache=True
        )
        output = self._weights.generate(
            [request.policy for request in batch],
            input_ids=ids.to(device),
            attention_mask=mask.to(device),
            generation_config=config,
            logits_processor=LogitsProcessorList([noise]),
        )
        outputs = output[:, width:].tolist()
        logps = torch.stack(noise.logps, dim=1).tolist()  # (B, T)
        kept = [self._cut(request, row) for request, row in zip(batch, outputs, strict=True)]
        if not all(math.isfinite(logp) for row, tokens in zip(logps, kept, strict=True) for logp in row[: len(tokens)]):
            raise GenerationFailed(
                f"the model's log-probabilities are not finite in {str(self._model.dtype).removeprefix('torch.')}; "
                "set speakers.dtype: float32 (or bfloat16), or check that the weights in speakers.model are finite"
            )
        texts = self._tokenizer.batch_decode(kept, skip_special_tokens=True)
        return [
            Generation(
                prompt_ids=request.prompt_ids,
                output_ids=tuple(row),
                logps=tuple(row_logps[: len(row)]),
                text=text,
                finish_reason=FinishReason.STOP if row and row[-1] in self._stops else FinishReason.LENGTH,
                policy_version=self._version,
            )
            for request, row, row_logps, text in zip(batch, kept, logps, texts, strict=True)
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
