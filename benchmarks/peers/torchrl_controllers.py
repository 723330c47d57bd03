"""TorchRL on the controllers: its PettingZoo wrapper and its PPO loss, one policy for all controllers."""

from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]
from pettingzoo.utils import BaseWrapper
from tensordict import TensorDict  # pyright: ignore[reportMissingImports]
from tensordict.nn import TensorDictModule  # pyright: ignore[reportMissingImports]
from torch import nn
from torchrl.envs.libs.pettingzoo import PettingZooWrapper  # pyright: ignore[reportMissingImports]
from torchrl.modules import MaskedCategorical, ProbabilisticActor, ValueOperator  # pyright: ignore[reportMissingImports]
from torchrl.objectives import ClipPPOLoss  # pyright: ignore[reportMissingImports]

from benchmarks.peers.controllers_game import INFOSETS, Progress, make_env

GROUP = "controllers"


class WithoutInfos(BaseWrapper):
    """TorchRL turns infos into tensors; ours hold text."""

    @property
    def infos(self) -> dict[str, dict[str, Any]]:
        """Nothing."""
        return {agent: {} for agent in self.env.agents}

    def last(self, observe: bool = True) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's, without its info."""
        return *self.env.last(observe)[:4], {}


def train(steps: int, seed: int, *, frames: int = 2000, epochs: int = 10, minibatch: int = 250) -> Progress:
    """Trains with PPO and values the policy after every ``frames`` steps."""
    torch.manual_seed(seed)
    env = WithoutInfos(make_env())
    wrapped = PettingZooWrapper(
        env=env, use_mask=True, categorical_actions=True, group_map={GROUP: list(env.possible_agents)}
    )
    wrapped.set_seed(seed)
    body = _network(2)
    actor = ProbabilisticActor(
        TensorDictModule(body, in_keys=["observation"], out_keys=["logits"]),
        in_keys={"logits": "logits", "mask": "action_mask"},
        out_keys=["action"],
        distribution_class=MaskedCategorical,
        return_log_prob=True,
    )
    critic = ValueOperator(_network(1), in_keys=["observation"])
    loss = ClipPPOLoss(actor, critic, clip_epsilon=0.2, entropy_coeff=0.01)
    optimiser = torch.optim.Adam(loss.parameters(), lr=1e-3)
    progress, taken = Progress(), 0
    while taken < steps:
        batch = _collect(wrapped, actor, frames)
        taken += len(batch)
        with torch.no_grad():
            advantage = batch["value_target"] - critic(batch.clone())["state_value"]
        batch["advantage"] = (advantage - advantage.mean()) / (advantage.std() + 1e-6)
        for _ in range(epochs):
            for rows in torch.randperm(len(batch)).split(minibatch):
                parts = loss(batch[rows])
                total = parts["loss_objective"] + parts["loss_critic"] + parts["loss_entropy"]
                optimiser.zero_grad()
                total.backward()
                optimiser.step()

        def speak_probability(features: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                return torch.softmax(body(torch.from_numpy(features)), dim=-1)[:, 1].numpy()

        progress.add(taken, speak_probability)
    return progress


def _collect(env: PettingZooWrapper, actor: ProbabilisticActor, frames: int) -> TensorDict:
    """Whole dialogues, a row a controller's step, with the utility that its dialogue earned."""

    def act(data: TensorDict) -> TensorDict:
        given = data[GROUP]
        seen = TensorDict(
            {"observation": given["observation", "observation"], "action_mask": given["action_mask"]},
            batch_size=given.batch_size,
        )
        seen["action_mask"] |= ~seen["action_mask"].any(dim=-1, keepdim=True)  # whoever waits may do anything
        with torch.no_grad():
            chosen = actor(seen)
        for key in ("action", "action_log_prob"):
            data[GROUP, key] = chosen[key]
        return data

    rows, count = [], 0
    while count < frames:
        data = env.rollout(100, policy=act, break_when_any_done=True)
        mine = data[GROUP, "mask"]
        utility = data["next", GROUP, "reward"].sum(dim=0).max()
        utility = utility if utility != 0 else data["next", GROUP, "reward"].sum(dim=0).min()
        rows.append(
            TensorDict(
                {
                    "observation": data[GROUP, "observation", "observation"][mine],
                    "action_mask": data[GROUP, "action_mask"][mine],
                    "action": data[GROUP, "action"][mine],
                    "action_log_prob": data[GROUP, "action_log_prob"][mine],
                    "value_target": utility.expand(int(mine.sum()), 1).clone(),
                },
                batch_size=[int(mine.sum())],
            )
        )
        count += int(mine.sum())
    return torch.cat(rows)


def _network(outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(INFOSETS.n_features, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )
