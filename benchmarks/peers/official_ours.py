"""Our side of ``benchmarks.peers.official``: a training step, an evaluation, and their requests by slower engines."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np

from benchmarks.peers.engine import static
from tracer_agents.build import Parts, Policy, build
from tracer_agents.config import Config, load_config
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.generation.base import Generation, GenerationRequest
from tracer_agents.generation.decoding import prompts
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.rollout.tree import rollout
from tracer_agents.training.trainer import Trainer

BATCH_SIZE = 128
Calls = list[list[GenerationRequest]]


def settings(*, rounds: int, candidates: int, questions: int) -> Config:
    """Those of the paper's recipe with the embedded model, every step training speakers."""
    return load_config(
        preset="demo-paper",
        overrides={
            "dialogue.rounds": rounds,
            "credit.group_size": candidates,
            "trainer.questions_per_step": questions,
            "trainer.steps": 10**6,
            "evaluation.checkpoint_questions": 0,
        },
    )


class Recorder:
    """Keeps what an engine is asked, call by call.

    Args:
        generate: the engine's.
    """

    def __init__(self, generate: Callable[[Sequence[GenerationRequest]], list[Generation]]) -> None:
        self._generate = generate
        self.calls: Calls = []
        self.tokens = 0

    def __call__(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        made = self._generate(requests)
        self.calls.append(list(requests))
        self.tokens += sum(len(each.output_ids) for each in made)
        return made

    def figures(self, seconds: float, dialogues: int) -> dict[str, float]:
        """What was played."""
        return {
            "seconds": seconds,
            "dialogues": dialogues,
            "utterances": sum(map(len, self.calls)),
            "tokens": self.tokens,
        }


def played(config: Config, questions: int) -> dict[str, Any]:
    """One training step after one that warms up, and an evaluation with the learned controllers; with all calls."""
    with build(config) as parts:
        trainer = Trainer(config, parts)
        trainer.step(1)
        training = _recorded(parts, lambda: trainer.step(2))
        episodes = draw_episodes(parts.task, "test", 0, questions, seed=config.seed, phase="evaluate")
        controller = trainer.controller("greedy")
        evaluation = _recorded(parts, lambda: rollout(episodes, trainer.rules, parts.speakers, controller))
        policy = parts.policy
    leaves = 2 ** (config.dialogue.rounds - 1)  # dialogues in an expanded question
    train = training[0].figures(training[1], config.trainer.questions_per_step)
    return {
        "train": {**train, "expanded_dialogues": train["dialogues"] * leaves},
        "eval": evaluation[0].figures(evaluation[1], questions),
        "calls": {"train": training[0].calls, "eval": evaluation[0].calls},
        "policy": policy,
    }


def _recorded(parts: Parts, work: Callable[[], object]) -> tuple[Recorder, float]:
    backend: Any = parts.backend
    recorder = Recorder(backend.generate)
    backend.generate = recorder
    began = time.process_time()
    try:
        work()
    finally:
        del backend.generate
    return recorder, time.process_time() - began


class Apart(tuple):
    """A prompt that is equal to no other, so that an engine computes it for itself."""

    def __eq__(self, other: object) -> bool:
        return self is other

    def __ne__(self, other: object) -> bool:
        return self is not other

    def __hash__(self) -> int:
        return id(self)


def engine_speeds(policy: Policy, calls: Calls, alone: int) -> dict[str, float]:
    """Useful tokens per second by four engines that complete the same requests.

    ``one``: transformers' ``generate``, a request at a time, ``alone`` of them drawn from all; ``static``: the same
    in batches that run to their longest row; ``leaving``: ours, in which rows that have ended leave, with every prompt
    computed for itself and whole; ``sharing``: ours as it is.
    """
    with TransformersBackend(
        policy.weights, policy.tokenizer, pad_id=policy.pad_id, stops=policy.stops, batch_size=BATCH_SIZE
    ) as backend:

        def ours(_: Policy, requests: Sequence[GenerationRequest], __: int) -> list[tuple[int, ...]]:
            return [made.output_ids for made in backend.generate(requests)]

        def leaving(policy: Policy, requests: Sequence[GenerationRequest], batch_size: int) -> list[tuple[int, ...]]:
            with patch.object(prompts, "LEAST_SHARED", None):
                return ours(policy, requests, batch_size)

        apart = [[replace(each, prompt_ids=Apart(each.prompt_ids)) for each in call] for call in calls]
        requests = [each for call in calls for each in call]
        drawn = np.random.default_rng(0).choice(len(requests), min(alone, len(requests)), replace=False)
        work: Mapping[str, tuple[Callable[..., list[tuple[int, ...]]], Calls, int]] = {
            "one": (static, [[requests[row] for row in drawn]], 1),
            "static": (static, calls, BATCH_SIZE),
            "leaving": (leaving, apart, BATCH_SIZE),
            "sharing": (ours, calls, BATCH_SIZE),
        }
        return {name: _speed(policy, *each) for name, each in work.items()}


def _speed(policy: Policy, engine: Callable[..., list[tuple[int, ...]]], calls: Calls, batch_size: int) -> float:
    began = time.process_time()
    tokens = sum(len(row) for call in calls for row in engine(policy, call, batch_size))
    return tokens / (time.process_time() - began)
