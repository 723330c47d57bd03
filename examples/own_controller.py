"""A controller of your own in the PettingZoo loop, beside the shipped speakers of known probability."""

from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.worlds.tabular_task import TabularActor, TabularTask
from tracer_env import debate_v0


def until_approved(observation: dict, info: dict) -> int:
    """Speaks until the pending solution has more RIGHT than WRONG verdicts."""
    _, status, *_ = info["infoset"]  # 0..4: the verdicts' sum plus 2; 5: there is no answer
    return int(not observation["action_mask"][0] or status == 5 or status <= 2)


def accuracy(episodes: int) -> float:
    """The share of episodes that end with a right answer: the utility is +1 or −1 where speech is free of charge."""
    speakers = TabularActor(TabularSpeaker.load("default"))
    env = debate_v0.env(task=TabularTask(), infoset="paper", price_of_speech=0.0)
    right = 0
    for seed in range(episodes):
        env.reset(seed=seed)
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            if terminated or truncated:
                right += agent == "controller_0" and reward > 0
                env.step(None)
            else:
                act = until_approved if agent.startswith("controller") else speakers.act
                env.step(act(observation, info))
    return right / episodes


if __name__ == "__main__":
    print(f"{accuracy(500):.3f} of 500 answers are right")
