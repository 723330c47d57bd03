"""The learner's side of the parity gate: what the present weights say of given tokens, at any temperature."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.generation.parity import Scores

_SCALE = 1.25  # of norm gains and biases: enough to move every position's distribution, harmless to undo


class PolicyProbe:
    """Scores completions with the model that is being trained.

    Args:
        model: the learner's own object.
        tokenizer: the model's.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self._model = model
        self._tokenizer = tokenizer

    @torch.no_grad()
    def score(self, completions: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], temperature: float) -> list[Scores]:
        """Scores (prompt ids, output ids) pairs one by one, unpadded; the gate asks for few."""
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
        """Scales every norm gain and bias while it is open; the true bits come back from copies."""
        vectors = [parameter for parameter in self._model.parameters() if parameter.ndim == 1]
        kept = [parameter.detach().clone() for parameter in vectors]
        with torch.no_grad():
            for parameter in vectors:
                parameter.mul_(_SCALE)
        try:
            yield
        finally:
            with torch.no_grad():
                for parameter, value in zip(vectors, kept, strict=True):
                    parameter.copy_(value)

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a text, special tokens recognised, none added."""
        return tuple(self._tokenizer.encode(text, add_special_tokens=False))
