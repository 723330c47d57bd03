"""One token out of a few: the log-probabilities of a request's choices by one forward pass, and the sampled one."""

from collections.abc import Sequence

import numpy as np
import torch

from tracer_agents import progress
from tracer_agents.generation.attention import safe_width
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding.flight import padded
from tracer_agents.generation.weights import Weights
from tracer_env.seeding import token_uniforms


def choose_among(logps: Sequence[float], seed: int, temperature: float) -> tuple[int, float]:
    """Which of some choices is sampled, and its log-probability among them.

    Args:
        logps: of each choice, up to a common constant.
        seed: of the row's noise; its first uniform inverts the CDF over the choices in their order.
        temperature: of sampling; 0 takes the likeliest choice, the first of equals, and its log-probability is that
            of temperature 1.
    """
    scaled = np.asarray(logps, dtype=np.float64) / (temperature or 1.0)
    among = scaled - np.logaddexp.reduce(scaled)
    if temperature == 0:
        place = int(among.argmax())
    else:
        cdf = np.exp(among).cumsum()
        target = token_uniforms(seed, 1)[0] * cdf[-1]
        place = min(int(np.searchsorted(cdf, target, side="right")), len(cdf) - 1)
    return place, float(among[place])


@torch.inference_mode()
def choice_logps(
    weights: Weights, requests: Sequence[GenerationRequest], *, pad_id: int, batch_size: int, most_tokens: int
) -> list[tuple[float, ...]]:
    """The log-probability of every choice of each request, among all tokens, at temperature 1.

    Args:
        weights: the policies'.
        requests: all with choices; a policy's equal prompts are computed once.
        pad_id: fills padding.
        batch_size: the most prompts in one forward pass.
        most_tokens: the most padded tokens in one forward pass; a longer prompt is computed alone.
    """
    asking: dict[tuple[str, tuple[int, ...]], list[int]] = {}
    for row, request in enumerate(requests):
        asking.setdefault((request.policy, request.prompt_ids), []).append(row)
    order = sorted(asking, key=lambda prompt: (-len(prompt[1]), prompt))
    logps: dict[int, tuple[float, ...]] = {}
    while order:
        count = max(1, min(most_tokens // len(order[0][1]), batch_size))
        together, order = order[:count], order[count:]
        with weights.by_row([policy for policy, _ in together]):
            logp = _next_logps(weights, [ids for _, ids in together], pad_id)  # (D, V)
        for place, prompt in enumerate(together):
            for row in asking[prompt]:
                logps[row] = tuple(logp[place, list(requests[row].choices)].tolist())
            progress.come(len(asking[prompt]))
    return [logps[row] for row in range(len(requests))]


def _next_logps(weights: Weights, prompts: Sequence[Sequence[int]], pad_id: int) -> torch.Tensor:
    """(D, V) log-probabilities of what comes after each prompt."""
    model = weights.model
    width = safe_width(max(map(len, prompts)), model.device)
    ids, mask = (each.to(model.device) for each in padded(prompts, width, pad_id))
    positions = (mask.cumsum(-1) - 1).clamp_(min=0)
    logits = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1
    ).logits[:, -1]
    return torch.log_softmax(logits.float(), dim=-1)
