"""Independent PPO by TorchRL on the controllers' game, with recorded questions in place of speakers.

IPPO (de Witt et al. 2020, arXiv 2011.09533): every controller has a policy and a critic of its own, sees what it would
see anyway, and is paid the team's utility. TorchRL's wrapper, collector, advantages and loss are used as they are.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.collectors import Collector
from torchrl.envs import PettingZooWrapper
from torchrl.modules import MaskedCategorical, MultiAgentMLP, ProbabilisticActor
from torchrl.objectives import ClipPPOLoss, ValueEstimators

from benchmarks.suite.recordings import Recording
from tracer_agents.config import Config
from tracer_env import debate_v0
from tracer_env.dialogue import Dialogue, is_forced
from tracer_env.infosets import Infosets
from tracer_env.spaces import SpokenText
from tracer_env.tasks.base import Grade, Question, Split, Task

FRAMES, MINIBATCH, EPOCHS = 1000, 250, 10
LEARNING_RATE, CLIP, ENTROPY = 3e-3, 0.2, 0.01
_GROUP = "controllers"
_SEEN = (_GROUP, "observation", "observation")
_KEYS = ("action", "reward", "done", "terminated", "advantage", "value_target")


@dataclass(frozen=True, kw_only=True)
class RecordedTask:
    """The questions of a recording, over and over, graded as they were.

    Args:
        recording: whose questions.
        source: the task that they are from; it reads answers.
    """

    recording: Recording
    source: Task
    name: str = "recorded"
    trainable: bool = True

    @property
    def answer_format(self) -> str:
        """As the source's."""
        return self.source.answer_format

    def draw(self, split: Split, start: int, count: int, *, seed: int) -> list[Question]:
        """Questions ``start … start+count−1``, the recorded ones taken round; split and seed change nothing."""
        episodes = self.recording.episodes
        return [episodes[index % len(episodes)].question for index in range(start, start + count)]

    def parse(self, completion: str) -> str | None:
        """As the source does."""
        return self.source.parse(completion)

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """The recorded grades."""
        return self.recording.grade(answers, golds)


class RecordedActor:
    """Says what was said at the same place of the same question."""

    def __init__(self, recording: Recording) -> None:
        self._utterances = recording.utterances
        self._ids = {episode.question.text: episode.question.id for episode in recording.episodes}

    def act(self, observation: dict[str, Any], info: dict[str, Any]) -> SpokenText:
        """The recorded utterance, with its tokens."""
        utterance = self._utterances[self._ids[observation["question"]], info["prefix"]]
        return SpokenText(utterance.text, generated_tokens=utterance.generated_tokens)


class Team:
    """Controllers that are networks: each agent's P(SPEAK) from the features of what it knows."""

    def __init__(self, infosets: Infosets, policy: MultiAgentMLP) -> None:
        self._infosets = infosets
        self._policy = policy

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        features = self._infosets.feature_rows([self._infosets.key(state) for state in states])
        seen = torch.from_numpy(features).unsqueeze(1).expand(-1, self._infosets.rules.n_agents, -1)
        with torch.no_grad():
            chances = torch.softmax(self._policy(seen), dim=-1)[..., 1].double().numpy()  # (states, agents)
        return np.array([1.0 if is_forced(s) else row[s.agent] for s, row in zip(states, chances, strict=True)])


class LikelierMode:
    """A controller made greedy: the likelier mode, a fair coin at a tie."""

    def __init__(self, controller: Team) -> None:
        self._controller = controller

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return (1 + np.sign(self._controller.speak_probability(states) - 0.5)) / 2


def train(recording: Recording, config: Config, infosets: Infosets, source: Task, *, steps: int) -> Team:
    """Trains a team on recorded questions; the settings give price, limits and seed.

    Args:
        infosets: what controllers know, and the rules.
        steps: the controllers' decisions, forced ones included.
    """
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchRL's, of versions and of what it will rename
        torch.manual_seed(config.seed)
        env = _environment(recording, config, infosets, source)
        policy, critic = (_networks(infosets, outputs) for outputs in (2, 1))
        loss = _loss(policy, critic)
        optimiser = torch.optim.Adam(loss.parameters(), lr=LEARNING_RATE)
        collector = Collector(
            env,
            loss.actor_network,
            frames_per_batch=min(FRAMES, steps),
            total_frames=steps,
            auto_register_policy_transforms=True,
        )
        for data in collector:
            _credit(loss, data)
            for _ in range(EPOCHS):
                for rows in torch.randperm(len(data)).split(MINIBATCH):
                    parts = loss(data[rows])
                    optimiser.zero_grad()
                    (parts["loss_objective"] + parts["loss_critic"] + parts["loss_entropy"]).backward()
                    optimiser.step()
        collector.shutdown()
    return Team(infosets, policy)


def _environment(recording: Recording, config: Config, infosets: Infosets, source: Task) -> PettingZooWrapper:
    rules = infosets.rules
    env = debate_v0.controller_env(
        RecordedActor(recording),
        task=RecordedTask(recording=recording, source=source),
        n_agents=rules.n_agents,
        rounds=rules.rounds,
        schedule=rules.schedule,
        force_on_unparsed=rules.force_on_unparsed,
        revisions=rules.revisions,
        answer_rule=rules.answer_rule,
        belief=rules.belief,
        sharing=rules.sharing,
        voices=rules.voices,
        infoset=infosets.name,
        price_of_speech=config.dialogue.price_of_speech,
        max_new_tokens=config.limits.longest,
    )
    group = {_GROUP: list(env.possible_agents)}
    return PettingZooWrapper(debate_v0.WithoutInfos(env), use_mask=True, group_map=group, seed=config.seed)


def _networks(infosets: Infosets, outputs: int) -> MultiAgentMLP:
    return MultiAgentMLP(
        n_agent_inputs=infosets.n_features,
        n_agent_outputs=outputs,
        n_agents=infosets.rules.n_agents,
        centralized=False,
        share_params=False,
        depth=2,
        num_cells=64,
    )


def _loss(policy: MultiAgentMLP, critic: MultiAgentMLP) -> ClipPPOLoss:
    seen: Any = {"logits": (_GROUP, "logits"), "mask": (_GROUP, "action_mask")}  # its annotation knows no mapping
    actor = ProbabilisticActor(
        TensorDictModule(policy, in_keys=[_SEEN], out_keys=[(_GROUP, "logits")]),
        in_keys=seen,
        out_keys=[(_GROUP, "action")],
        distribution_class=MaskedCategorical,
        return_log_prob=True,
        log_prob_key=(_GROUP, "action_log_prob"),
    )
    value = TensorDictModule(critic, in_keys=[_SEEN], out_keys=[(_GROUP, "state_value")])
    loss = ClipPPOLoss(actor, value, clip_epsilon=CLIP, entropy_coeff=ENTROPY)
    loss.set_keys(
        value=(_GROUP, "state_value"),
        sample_log_prob=(_GROUP, "action_log_prob"),
        **{key: (_GROUP, key) for key in _KEYS},
    )
    loss.make_value_estimator(ValueEstimators.GAE, gamma=1.0, lmbda=1.0)
    return loss


def _credit(loss: ClipPPOLoss, data: TensorDict) -> None:
    """Advantages of the acting controllers, normalised for each; 0 for those that wait."""
    with torch.no_grad():
        loss.value_estimator(data)
    acting, advantage = data[_GROUP, "mask"].unsqueeze(-1), data[_GROUP, "advantage"]  # (steps, agents, 1)
    count = acting.sum(dim=0)
    mean = (advantage * acting).sum(dim=0) / count
    spread = (((advantage - mean) ** 2 * acting).sum(dim=0) / count).sqrt()
    data[_GROUP, "advantage"] = (advantage - mean) / (spread + 1e-6) * acting
