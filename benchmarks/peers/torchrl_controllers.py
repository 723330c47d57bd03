"""TorchRL on the controllers: its ``PettingZooWrapper``, its GAE and its PPO loss."""

import warnings

import numpy as np
import torch
from tensordict import TensorDictBase
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.envs import ExplorationType, MarlGroupMapType, PettingZooWrapper, set_exploration_type
from torchrl.modules import MaskedCategorical, ProbabilisticActor, ValueOperator
from torchrl.objectives import ClipPPOLoss, ValueEstimators

from benchmarks.peers.controllers_game import INFOSETS, CountedSpeakers, Progress, features, make_env

NAME = "TorchRL: multi-agent PPO"
CHOICES = (
    "one policy and one critic of two layers of 64 for both controllers, Adam 1e-2, γ = λ = 1, clipping at 0.2, "
    "entropy 0.01, 10 passes in minibatches of 250 over every 1,000 steps, the stochastic profile valued; "
    "tried, on other seeds and in plain PyTorch with the same update: Adam 3e-3, entropy 0, 0.03, 0.05, batches of 500 "
    "and 2,000 steps: like this choice, none reached the goal in 10,000 to 15,000 steps"
)
GROUP = "agents"  # all controllers in one group: one policy and one critic for all
SEEN = (GROUP, "observation", "observation")
KEYS = ("action", "reward", "done", "terminated", "advantage", "value_target")


def train(steps: int, seed: int, *, every: int = 1000, epochs: int = 10, learning_rate: float = 1e-2) -> Progress:
    """Trains until the goal is reached or ``steps`` are taken, with a check after ``every`` (whole dialogues)."""
    torch.manual_seed(seed)
    speakers, progress = CountedSpeakers(), Progress()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PettingZoo in TorchRL is tested using version")
        env = PettingZooWrapper(
            make_env(speakers), use_mask=True, group_map=MarlGroupMapType.ALL_IN_ONE_GROUP, seed=10**6 * seed
        )
    body = _network(2)
    actor = ProbabilisticActor(
        TensorDictModule(body, in_keys=[SEEN], out_keys=[(GROUP, "logits")]),
        in_keys={"logits": (GROUP, "logits"), "mask": (GROUP, "action_mask")},
        out_keys=[(GROUP, "action")],
        distribution_class=MaskedCategorical,
        return_log_prob=True,
        log_prob_key=(GROUP, "action_log_prob"),
    )
    critic = ValueOperator(_network(1), in_keys=[SEEN], out_keys=[(GROUP, "state_value")])
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.01)
    loss.set_keys(
        value=(GROUP, "state_value"),
        sample_log_prob=(GROUP, "action_log_prob"),
        **{key: (GROUP, key) for key in KEYS},
    )
    loss.make_value_estimator(ValueEstimators.GAE, gamma=1.0, lmbda=1.0)
    optimiser = torch.optim.Adam(loss.parameters(), lr=learning_rate)
    speakers.utterances = taken = 0  # wrapping has played
    while taken < steps:
        with torch.no_grad(), set_exploration_type(ExplorationType.RANDOM):
            data = env.rollout(every, actor, break_when_any_done=False)
        taken += data.numel()
        _credit(loss, data)
        for _ in range(epochs):
            for rows in torch.randperm(len(data)).split(250):
                parts = loss(data[rows])
                optimiser.zero_grad()
                (parts["loss_objective"] + parts["loss_critic"] + parts["loss_entropy"]).backward()
                optimiser.step()
        if progress.check(_speaks(body), steps=taken, utterances=speakers.utterances):
            break
    return progress


def _credit(loss: ClipPPOLoss, data: TensorDictBase) -> None:
    """Advantages of the acting controllers, normalised; 0 for those that wait."""
    with torch.no_grad():
        loss.value_estimator(data)
    acting, advantage = data[GROUP, "mask"].unsqueeze(-1), data[GROUP, "advantage"]
    earned = advantage[acting]
    data[GROUP, "advantage"] = (advantage - earned.mean()) / (earned.std() + 1e-6) * acting


def _speaks(body: nn.Module) -> np.ndarray:
    with torch.no_grad():
        return torch.softmax(body(torch.from_numpy(features())), dim=-1)[:, 1].double().numpy()


def _network(outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(INFOSETS.n_features, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )
