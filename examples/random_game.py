"""A debate between agents that act at random: the whole PettingZoo loop, with neither a model nor torch."""

import numpy as np

from tracer_env import debate_v0


def play(seed: int) -> float:
    """The team's utility in the episode ``seed``."""
    env = debate_v0.env(rounds=3, task="arithmetic")
    rng = np.random.default_rng(seed)
    env.reset(seed=seed)
    utility = 0.0
    for agent in env.agent_iter():
        observation, reward, terminated, truncated, _ = env.last()
        if terminated or truncated:
            action = None
            utility += reward if agent == "controller_0" else 0.0
        elif agent.startswith("controller"):
            action = int(rng.choice(np.flatnonzero(observation["action_mask"])))
        elif agent.startswith("proposer"):
            action = f"I guess.\n#### {rng.integers(100)}"
        else:
            action = rng.choice(["Verdict: RIGHT", "Verdict: WRONG"]).item()
        env.step(action)
    return utility


if __name__ == "__main__":
    print(*(f"episode {seed}: the team's utility is {play(seed):+.3f}" for seed in range(5)), sep="\n")
