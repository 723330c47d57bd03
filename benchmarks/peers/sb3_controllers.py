"""Stable-Baselines3 on the controllers: MaskablePPO of sb3-contrib, in the manner of PettingZoo's own tutorial."""

from typing import Any

import gymnasium
import numpy as np
from pettingzoo.utils import BaseWrapper
from sb3_contrib import MaskablePPO  # pyright: ignore[reportMissingImports]
from sb3_contrib.common.wrappers import ActionMasker  # pyright: ignore[reportMissingImports]
from stable_baselines3.common.callbacks import BaseCallback  # pyright: ignore[reportMissingImports]

from benchmarks.peers.controllers_game import Progress, make_env


class OneAtATime(BaseWrapper, gymnasium.Env):
    """Whoever's turn it is is the agent: sound here, as all controllers are paid the same utility at the end."""

    metadata = {"render_modes": []}  # noqa: RUF012  # Gymnasium's

    def __init__(self) -> None:
        super().__init__(make_env())
        first = self.possible_agents[0]
        self.observation_space = super().observation_space(first)["observation"]
        self.action_space = super().action_space(first)

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        """A new dialogue."""
        super().reset(seed, options)
        return self.observe(self.agent_selection)["observation"], {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """The active controller's mode; the next one's view."""
        super().step(action)
        observation, reward, termination, truncation, info = super().last()
        return observation["observation"], reward, termination, truncation, info

    def action_mask(self) -> np.ndarray:
        """Which modes the active controller may choose."""
        return self.observe(self.agent_selection)["action_mask"]


def train(steps: int, seed: int, *, every: int = 2048) -> Progress:
    """Trains one policy for all controllers and values it every ``every`` steps."""
    env = ActionMasker(OneAtATime(), lambda wrapped: wrapped.action_mask())
    model = MaskablePPO(
        "MlpPolicy", env, seed=seed, n_steps=2048, batch_size=256, learning_rate=1e-3, gamma=1.0, device="cpu"
    )
    progress = Progress()

    def speak_probability(features: np.ndarray) -> np.ndarray:
        tensor, _ = model.policy.obs_to_tensor(features)
        return model.policy.get_distribution(tensor).distribution.probs[:, 1].detach().numpy()

    class Watch(BaseCallback):
        def _on_step(self) -> bool:
            if self.num_timesteps % every == 0:
                progress.add(self.num_timesteps, speak_probability)
            return True

    model.learn(total_timesteps=steps, callback=Watch())
    return progress


def report(steps: int, seeds: tuple[int, ...] = (0,)) -> list[dict[str, Any]]:
    """Steps to 95% of the optimum's value, a row a seed."""
    runs = [train(steps, seed) for seed in seeds]
    return [
        {"seed": s, "steps": run.steps_to_share(), "final": run.values[-1]} for s, run in zip(seeds, runs, strict=True)
    ]
