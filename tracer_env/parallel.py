"""Turn-based environments through PettingZoo's parallel API: each step, only the active agent acts."""

# PettingZoo has no stubs:
# pyright: reportMissingTypeStubs=false

import copy
from collections.abc import Mapping
from typing import Any, Self

from pettingzoo.utils.conversions import turn_based_aec_to_parallel_wrapper

from tracer_env.errors import InvalidAction
from tracer_env.turns import OrderEnforcing, fork

Observations = dict[str, Any]
Infos = dict[str, dict[str, Any]]


class TurnBasedParallel(turn_based_aec_to_parallel_wrapper[str, Any, Any]):
    """PettingZoo's turn-based conversion, mended.

    ``infos[agent]["active_agent"]`` names the agent whose action the next step plays, from ``reset`` on and for
    every living agent; the actions of others are ignored. The infos are the caller's, a missing action is a
    clear error, and a step after the end returns five empty dictionaries.
    """

    aec_env: OrderEnforcing

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Observations, Infos]:
        """Starts an episode (see the AEC environment) and returns everybody's observations and infos."""
        self.aec_env.reset(seed=seed, options=options)
        self.agents = list(self.aec_env.agents)
        return self._observations(), self._infos()

    def step(
        self, actions: Mapping[str, Any]
    ) -> tuple[Observations, dict[str, float], dict[str, bool], dict[str, bool], Infos]:
        """Plays the active agent's action; the last step returns everybody's final values.

        Raises:
            InvalidAction: the active agent has no action, or a wrong one; the episode stays as it was.
            IllegalMove: its mode is masked.
        """
        if not self.agents:
            return {}, {}, {}, {}, {}
        aec = self.aec_env
        agent = aec.agent_selection
        if agent not in actions:
            raise InvalidAction(f"it is the turn of {agent}, and actions has only {sorted(actions)}: add its action")
        aec.step(actions[agent])
        rewards, terminations, truncations = dict(aec.rewards), dict(aec.terminations), dict(aec.truncations)
        observations, infos = self._observations(), self._infos()
        while aec.agents and aec.terminations[aec.agent_selection]:
            aec.step(None)
        self.agents = list(aec.agents)
        return observations, rewards, terminations, truncations, infos

    def fork(self) -> Self:
        """An independent continuation (``TurnBasedEnv.fork``)."""
        twin = copy.copy(self)
        twin.aec_env = fork(self.aec_env)
        twin.possible_agents = twin.aec_env.possible_agents
        if "agents" in vars(self):
            twin.agents = list(self.agents)
        return twin

    def _observations(self) -> Observations:
        return {agent: self.aec_env.observe(agent) for agent in self.aec_env.agents}

    def _infos(self) -> Infos:
        aec = self.aec_env
        turn = {} if aec.terminations[aec.agent_selection] else {"active_agent": aec.agent_selection}
        return {agent: {**info, **turn} for agent, info in aec.infos.items()}
