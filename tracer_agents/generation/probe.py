"""The learner's side of the parity gate: what the present weights say of given tokens, at any temperature."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.generation.gate import Scores
from tracer_agents.generation.weights import Weights

_SCALE = 1.25  # of norm gains and biases: enough to move every position's distribution
_NOISE = 0.05  # added to adapters, which have neither


class PolicyProbe:
    """Scores completions with a policy that is being trained.

    Args:
        weights: the learner's own.
        policy: which of them.
        tokenizer: the model's.
    """

    def __init__(self, weights: Weights, policy: str, tokenizer: PreTrainedTokenizerBase) -> None:
        self._weights = weights
        self._policy = policy
        self._model = weights.model
        self._tokenizer = tokenizer

    @torch.no_grad()
    def score(self, completions: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], temperature: float) -> list[Scores]:
        """Scores (prompt ids, output ids) pairs one by one, unpadded; the gate asks for few."""
        with self._weights.active(self._policy):
            return [self._score(prompt, output, temperature) for prompt, output in completions]

    def _score(self, prompt: tuple[int, ...], output: tuple[int, ...], temperature: float) -> Scores:
        ids = torch.tensor([[*prompt, *output]], device=self._model.device)
        logits = self._model(input_ids=ids, logits_to_keep=len(output) + 1, use_cache=False).logits[0, :-1]
        logp = torch.log_softmax(logits.float() / temperature, dim=-1)  # (T, V)
        chosen = logp.gather(-1, ids[0, len(prompt) :].unsqueeze(-1)).squeeze(-1)
        p, finite = logp.exp(), logp.clamp(min=-1e4)  # 0 · −inf is 0 here
        mean = (p * finite).sum(-1)
        variance = (p * (finite - mean.unsqueeze(-1)).square()).sum(-1)
        return Scores(logp=tuple(chosen.tolist()), mean=tuple(mean.tolist()), variance=tuple(variance.tolist()))

    @contextmanager
    def perturbed(self) -> Iterator[None]:
        """Scales norm gains and biases, or blurs an adapter, while it is open; the true bits come back from copies."""
        parameters = self._weights.parameters(self._policy)
        moved = [parameter for parameter in parameters if parameter.ndim == 1] or parameters
        kept = [parameter.detach().clone() for parameter in moved]
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for parameter in moved:
                if parameter.ndim == 1:
                    parameter.mul_(_SCALE)
                else:
                    parameter.add_(_NOISE * torch.randn(parameter.shape, generator=generator).to(parameter))
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(moved, kept, strict=True):
                    parameter.copy_(value)

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a text, special tokens recognised, none added."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))
