"""A trained team as ordinary PettingZoo policies: ``act(observation, info)`` for any of its agents."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pettingzoo import AECEnv

from tracer_agents.build import Parts, build
from tracer_agents.config import Config
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.runs.controllers import load_controller
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.speakers.model import View
from tracer_env import debate_v0
from tracer_env.dialogue import Mode, Role
from tracer_env.seeding import control_uniform
from tracer_env.spaces import SpokenText


class Team:
    """Controllers, proposers and reviewers of one trained run.

    A context manager, which a team on a server needs: it closes the connections.

    All randomness comes from ``info["seed"]`` and ``info["prefix"]``, so a team keeps no state between calls, may
    play many environments at once, and plays the same dialogue as the batched rollout with the same seed.

    Args:
        config: the run's settings.
        parts: its task, model and engine.
        controller: its controllers.
    """

    def __init__(self, config: Config, parts: Parts, controller: TabularController) -> None:
        self.config = config
        self.parts = parts
        self.controller = controller

    @classmethod
    def load(cls, run: str | Path) -> "Team":
        """The team of a run directory, from its newest checkpoint.

        Raises:
            RunError: no run, or no checkpoint in it, or its files of questions are others.
        """
        directory = RunDirectory(Path(run))
        config = directory.config()
        directory.require_data(config)
        checkpoint = directory.checkpoints.latest()
        return cls(config, build(config, weights=checkpoint), load_controller(directory))

    def __enter__(self) -> Self:
        self.parts.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.parts.__exit__(*exception)

    def env(self, **overrides: Any) -> AECEnv:
        """The environment that the team was trained for, on held-out questions; ``overrides`` change its arguments."""
        dialogue, rules = self.config.dialogue, self.controller.infosets.rules
        agents = [self.config.of_agent(agent) for agent in range(dialogue.n_agents)]
        settings = {
            "n_agents": dialogue.n_agents,
            "rounds": dialogue.rounds,
            "schedule": dialogue.schedule,
            "infoset": dialogue.infoset,
            "force_on_unparsed": dialogue.force_on_unparsed,
            "revisions": rules.revisions,
            "answer_rule": rules.answer_rule,
            "belief": rules.belief,
            "sharing": rules.sharing,
            "voices": rules.voices,
            "task": self.parts.task,
            "split": "test",
            "price_of_speech": dialogue.price_of_speech,
            "max_new_tokens": [config.limits.longest for config in agents],
            "prices": [config.speakers.price for config in agents],
            "prompt_prices": [config.speakers.prompt_price for config in agents],
        }
        return debate_v0.env(**{**settings, **overrides})

    def act(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> int | SpokenText:
        """The action of whichever agent was given this observation and info."""
        if "action_mask" in observation:
            return self._control(observation, info)
        return self._speak(observation, info)

    def _control(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> int:
        if not observation["action_mask"][Mode.SKIP]:
            return int(Mode.SPEAK)
        chance = self.controller.probability_of_key(info["infoset"])
        return int(control_uniform(info["seed"], info["prefix"]) < chance)

    def _speak(self, observation: Mapping[str, Any], info: Mapping[str, Any]) -> SpokenText:
        spoken = [round_ for round_, mode in enumerate(info["prefix"], start=1) if mode == "1"]
        proposed = max((round_ for round_ in spoken if round_ % 2), default=0)
        shown = info["role"] == Role.REVIEWER or self.controller.infosets.rules.revisions
        view = View(  # the modes tell an empty utterance from none
            role=Role(info["role"]),
            agent=info["agent"],
            question=observation["question"],
            solution=observation["solution"] if proposed else None,
            review=observation["review"] if shown and any(round_ > proposed for round_ in spoken) else None,
            seed=info["noise_seed"],
        )
        [utterance] = self.parts.speakers.complete([view])
        return SpokenText(
            utterance.text,
            generated_tokens=utterance.generated_tokens,
            prompt_tokens=utterance.prompt_tokens,
            finish_reason=utterance.finish_reason,
            mean_logp=utterance.mean_logp,
            p_right=utterance.p_right,
        )
