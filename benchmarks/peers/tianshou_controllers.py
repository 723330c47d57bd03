"""Tianshou on the controllers: its ``PettingZooEnv`` and its multi-agent DQN.

Tianshou keeps a reward with the step that earned it, whoever acted: an on-policy learner of a controller that does not
act last would never see one. Its n-step returns run over everybody's steps; over whole dialogues, they are the utility.
"""

import logging

import numpy as np
import torch
from gymnasium.spaces import Discrete
from tianshou.algorithm import DQN
from tianshou.algorithm.modelfree.dqn import DiscreteQLearningPolicy
from tianshou.algorithm.multiagent.marl import MultiAgentOffPolicyAlgorithm
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Collector, VectorReplayBuffer
from tianshou.env import DummyVectorEnv, PettingZooEnv
from tianshou.utils.net.common import Net
from tianshou.utils.torch_utils import policy_within_training_step, torch_train_mode

from benchmarks.peers.controllers_game import INFOSETS, CountedSpeakers, Progress, features, make_env

NAME = "Tianshou: multi-agent DQN"
CHOICES = (
    "one network of two layers of 64 for both controllers, Adam 1e-3, γ = 1, five-step returns, the last 3,000 steps "
    "replayed, 10 updates of 256 after every 250 steps, ε from 1 to 0.1 over 5,000 steps, the greedy profile valued; "
    "tried, on other seeds and in plain PyTorch with the same update: Adam 3e-3, ε from 0.5 to 0.3, replay of 10,000 "
    "steps and of everything; and one-step returns with a target network, in Tianshou: they stayed at 0.18"
)
ENVIRONMENTS = 10


def train(steps: int, seed: int, *, every: int = 250, updates: int = 10, learning_rate: float = 1e-3) -> Progress:
    """Trains until the goal is reached or ``steps`` are taken, with a check after ``every`` steps."""
    np.random.seed(seed)  # noqa: NPY002  # Tianshou's exploration draws from the global generator
    torch.manual_seed(seed)
    logging.getLogger("tianshou").setLevel(logging.ERROR)  # it warns of every return that has two columns
    speakers, progress = CountedSpeakers(), Progress()
    env = PettingZooEnv(make_env(speakers))
    envs = DummyVectorEnv([lambda: PettingZooEnv(make_env(speakers)) for _ in range(ENVIRONMENTS)])
    envs.seed([10**6 * seed + 10**4 * number for number in range(ENVIRONMENTS)])
    learner = _learner(env.action_space, learning_rate)
    team = MultiAgentOffPolicyAlgorithm(algorithms=[learner for _ in env.agents], env=env)
    collector = Collector(team, envs, VectorReplayBuffer(3000, ENVIRONMENTS), exploration_noise=True)
    collector.reset()
    speakers.utterances = taken = 0  # wrapping has played
    while taken < steps:
        learner.policy.set_eps_training(max(0.1, 1 - taken / 5000))
        with policy_within_training_step(team.policy), torch_train_mode(team):
            taken += collector.collect(n_step=every).n_collected_steps
            for _ in range(updates):
                team.update(buffer=collector.buffer, sample_size=256)
        if progress.check(_greedy(learner), steps=taken, utterances=speakers.utterances):
            break
    return progress


def _learner(actions: Discrete, learning_rate: float) -> DQN:
    """One network for all controllers: what they see tells them apart."""
    net = Net(state_shape=INFOSETS.n_features, action_shape=2, hidden_sizes=(64, 64))
    policy = DiscreteQLearningPolicy(model=net, action_space=actions)
    optimiser = AdamOptimizerFactory(lr=learning_rate)
    return DQN(policy=policy, optim=optimiser, gamma=1.0, n_step_return_horizon=INFOSETS.rules.rounds)


def _greedy(learner: DQN) -> np.ndarray:
    with torch.no_grad():
        q, _ = learner.policy.model(features())
    return (q[:, 1] > q[:, 0]).double().numpy()
