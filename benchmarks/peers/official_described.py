"""The released code's loops as its description has them, for ``benchmarks.peers.official`` without a checkout.

Dialogue by dialogue, turn by turn and candidate by candidate, each utterance by one call of transformers' ``generate``;
everybody speaks in every round. In training each turn has its own group and its own GSPO step.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.peers.engine import static
from benchmarks.peers.official_ours import Recorder
from tracer_agents.build import Policy, load_policy
from tracer_agents.build.parts import build_speakers, build_task
from tracer_agents.config import Config
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.credit.advantages import group_advantages
from tracer_agents.credit.rewards import Penalties, credit_proposal, credit_review
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.generation.base import Generation, GenerationRequest
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.rollout.tree import rollout
from tracer_agents.speakers.model import ModelSpeakers, ModelUtterance
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Dialogue, FinishReason, Mode, Role, initial, transition
from tracer_env.tasks.base import Grade, Split, Task


def measure(config: Config, *, train: int, evaluate: int) -> dict[str, dict[str, float]]:
    """Dialogues, utterances, tokens and CPU seconds of both loops."""
    policy, task = load_policy(config), build_task(config)
    recorder = Recorder(lambda requests: [_generation(policy, request) for request in requests])
    speakers = build_speakers(config, policy, _Engine(recorder), task, temperature=1.0)
    one_step = config.gspo.model_copy(update={"optimiser_steps": 1})
    learner = GSPOLearner(policy.weights, pad_id=policy.pad_id, config=one_step)

    def learn(episode: Episode) -> None:
        state = initial(config.rules, episode.question.text)
        for _ in range(config.rules.rounds):
            state = _turn(episode, transition(state, Mode.SPEAK), speakers, learner, task, config.credit.group_size)

    def play(episode: Episode) -> None:
        rollout([episode], config.rules, speakers, AlwaysSpeak())

    figures = {}
    phases: tuple[tuple[str, Split, int, Callable[[Episode], None]], ...] = (
        ("train", "train", train, learn),
        ("eval", "test", evaluate, play),
    )
    for name, split, count, loop in phases:
        episodes = draw_episodes(task, split, 0, count + 1, seed=config.seed, phase=name)
        loop(episodes[-1])  # warm
        recorder.calls, recorder.tokens = [], 0
        figures[name] = recorder.figures(_seconds(loop, episodes[:-1]), count)
    return figures


def _seconds(loop: Callable[[Episode], None], episodes: Sequence[Episode]) -> float:
    began = time.process_time()
    for episode in episodes:
        loop(episode)
    return time.process_time() - began


def _turn(
    episode: Episode, state: Dialogue, speakers: ModelSpeakers, learner: GSPOLearner, task: Task, size: int
) -> Dialogue:
    """Draws one group, learns from it if it has a signal, and goes on with one more utterance."""
    request = SpeakRequest(episode=episode, state=state)
    group = [speakers.speak([replace(request, candidate=number)])[0] for number in range(1, size + 1)]
    rewards = np.array([_reward(each, episode, state, task) for each in group])
    advantages, signal = group_advantages(rewards, np.zeros(size, dtype=np.intp))
    if signal.any():
        samples = [
            _sample(each, state.role, advantage) for each, advantage in zip(group, advantages.tolist(), strict=True)
        ]
        learner.update(samples, np.random.default_rng(0))
    return transition(state, speakers.speak([request])[0])


def _reward(utterance: ModelUtterance, episode: Episode, state: Dialogue, task: Task) -> float:
    proposes = state.role is Role.PROPOSER
    answer = utterance.answer if proposes else state.answer
    right = answer is not None and task.grade([answer], [episode.question.gold])[0] is Grade.RIGHT
    penalties = Penalties(format=0.5, truncation=0.5)
    if proposes:
        return credit_proposal(utterance, right, penalties)
    return credit_review(utterance, right, penalties, 0.0)


def _sample(utterance: ModelUtterance, role: Role, advantage: float) -> Sample:
    made = utterance.generation
    return Sample(
        prompt_ids=made.prompt_ids, output_ids=made.output_ids, logps_engine=made.logps, role=role, advantage=advantage
    )


class _Engine:
    """A recorder as an engine."""

    def __init__(self, recorder: Recorder) -> None:
        self.generate = recorder

    def sync(self, version: int) -> None:
        """Nothing: the weights are the learner's."""


def _generation(policy: Policy, request: GenerationRequest) -> Generation:
    """A request alone, by ``generate``."""
    [ids] = static(policy, [request], 1)
    return Generation(
        prompt_ids=request.prompt_ids,
        output_ids=ids,
        logps=(0.0,) * len(ids),  # not asked for
        text=policy.tokenizer.batch_decode([list(ids)], skip_special_tokens=True)[0],
        finish_reason=FinishReason.STOP if ids[-1] in policy.stops else FinishReason.LENGTH,
        policy_version=0,
    )
