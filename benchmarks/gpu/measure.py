"""What is measured of a model on a device: kernels, speed, memory."""

import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from tracer_agents.build import build, load_policy
from tracer_agents.config import Config
from tracer_agents.generation.attention import attention, completion_logits, safe_width
from tracer_agents.generation.decoding.prompts import padded
from tracer_agents.learners.batches import Sample
from tracer_agents.speakers.model import ModelUtterance, View
from tracer_env.dialogue import Role, Utterance

WIDTHS = (33, 64, 65, 97, 129, 193, 257, 321)  # tokens; 1 more than a multiple of 32 is what a kernel fails at
BATCHES = (1, 8, 64, 256)
_ROWS = 8
Figures = Iterator[tuple[str, dict[str, float]]]


def kernels(config: Config, done: Mapping[str, Any]) -> Figures:
    """The largest difference of a log-probability in a left-padded batch from the row's alone, by batch width.

    Args:
        config: the model's settings.
        done: widths whose figures are there already.
    """
    if all(str(width) in done for width in WIDTHS):
        return
    policy = load_policy(config)
    model: Any = policy.model
    device = model.device
    rng = np.random.default_rng(0)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    for width in WIDTHS:
        if str(width) in done:
            continue
        lengths = [width, *rng.integers(16, width, _ROWS - 1).tolist()]
        rows = [rng.integers(0, vocabulary, length).tolist() for length in lengths]
        with torch.no_grad(), attention(model, "eager"):
            alone = [_last(model, [row], len(row), policy.pad_id, device)[0] for row in rows]
        figures = {}
        for name, wide in (("as it is", width), ("as the engine pads it", safe_width(width, device))):
            with torch.no_grad():
                batch = _last(model, rows, wide, policy.pad_id, device)
            figures[name] = max(float((row - other).abs().max()) for row, other in zip(alone, batch, strict=True))
        yield str(width), figures


def _last(model: Any, rows: Sequence[Sequence[int]], width: int, pad_id: int, device: torch.device) -> torch.Tensor:
    """(B, 8) log-probabilities of each row's last 8 tokens, left-padded to ``width``."""
    ids, mask = (tensor.to(device) for tensor in padded(rows, width, pad_id))
    logps = torch.log_softmax(completion_logits(model, ids, mask, 8).float(), dim=-1)
    return logps.gather(-1, ids[:, -8:, None])[..., 0]


def speed(config: Config, done: Mapping[str, Any]) -> Figures:
    """Generated tokens per second and peak memory by batch size, then of one step of the learner.

    Args:
        config: the model's settings.
        done: batch sizes whose figures are there already.
    """
    wanted = [str(size) for size in BATCHES]
    if all(name in done for name in [*wanted, "learner"]):
        return
    with build(config) as parts:
        question = parts.task.draw("test", 0, 1, seed=0)[0].text
        views = [
            View(role=Role.PROPOSER, question=question, solution=None, review=None, seed=seed)
            for seed in range(max(BATCHES))
        ]
        for size in BATCHES:
            if str(size) not in done:
                spoken, figures = _measured(parts.policy.model, lambda size=size: parts.speakers.complete(views[:size]))
                tokens = sum(utterance.generated_tokens for utterance in spoken)
                yield str(size), {**figures, "tokens": tokens, "tokens_per_second": tokens / figures["seconds"]}
        samples = [
            _sample(utterance, (-1.0) ** index, config.policies[0])
            for index, utterance in enumerate(parts.training_speakers.complete(views[:8]))
        ]
        _, figures = _measured(
            parts.policy.model, lambda: parts.learner.update(samples, partial(np.random.default_rng, 0))
        )
        yield "learner", {**figures, "tokens": sum(len(s.prompt_ids) + len(s.output_ids) for s in samples)}


def _sample(utterance: Utterance, advantage: float, policy: str) -> Sample:
    assert isinstance(utterance, ModelUtterance)  # an engine of ours spoke it
    generation = utterance.generation
    return Sample(
        prompt_ids=generation.prompt_ids,
        output_ids=generation.output_ids,
        logps_engine=generation.logps,
        role=Role.PROPOSER,
        advantage=advantage,
        policy=policy,
    )


def _measured(model: Any, work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What work returns, its seconds, and the peak of memory: the device's, or on a CPU this process's so far."""
    on_gpu = model.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    result = work()
    if on_gpu:
        torch.cuda.synchronize()
    seconds = time.perf_counter() - begun
    peak = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return result, {"seconds": seconds, "peak_gib": peak / 2**30}
