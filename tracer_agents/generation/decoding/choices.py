"""One token out of a few: the log-probabilities of a request's choices by one forward pass, and the sampled one."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch

from tracer_agents import progress
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding.prefixes import Asked
from tracer_agents.generation.decoding.prompts import NextLogits, asking_by_prompt
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
    requests: Sequence[GenerationRequest], computed: Callable[[Iterable[Asked]], Iterable[NextLogits]]
) -> list[tuple[float, ...]]:
    """The log-probability of every choice of each request, among all tokens, at temperature 1.

    Args:
        requests: all with choices; a policy's equal prompts are computed once.
        computed: the logits behind each distinct prompt, some at a time.
    """
    asking = asking_by_prompt(requests)
    logps: dict[int, tuple[float, ...]] = {}
    for logits, places in computed(asking):
        logp = torch.log_softmax(logits.float(), dim=-1)  # (D, V)
        for prompt, place in places.items():
            for row in asking[prompt]:
                logps[row] = tuple(logp[place, list(requests[row].choices)].tolist())
            progress.come(len(asking[prompt]))
    return [logps[row] for row in range(len(requests))]
