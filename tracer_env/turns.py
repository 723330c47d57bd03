"""The bookkeeping of a turn-based PettingZoo environment whose agents all finish together."""

# PettingZoo has no stubs:
# pyright: reportMissingTypeStubs=false

import copy
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from gymnasium.spaces import Space
from pettingzoo import AECEnv
from pettingzoo.utils import BaseWrapper
from pettingzoo.utils.wrappers import OrderEnforcingWrapper

from tracer_env.errors import IllegalMove, InvalidAction


class TurnBasedEnv(AECEnv[str, Any, Any]):
    """Rewards, terminations, dead steps and forks; subclasses bring the game.

    A subclass calls ``_begin`` in ``reset`` and, in ``step``, ``_dead_step`` first and ``_settle`` last; it makes
    its spaces in the cached properties declared here, since a space holds a generator and a fork needs its own.
    """

    _observation_spaces: cached_property[dict[str, Space[Any]]]
    _action_spaces: cached_property[dict[str, Space[Any]]]

    def observation_space(self, agent: str) -> Space[Any]:
        """The space of the agent's observations, always the same object."""
        return self._observation_spaces[agent]

    def action_space(self, agent: str) -> Space[Any]:
        """The space of the agent's actions, always the same object."""
        return self._action_spaces[agent]

    def close(self) -> None:
        """Nothing to release: the task, which may hold a grading worker, belongs to whoever made it."""

    def _begin(self, first: str) -> None:
        """Everybody is alive and unpaid; ``first`` acts."""
        self.agents = list(self.possible_agents)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards = dict.fromkeys(self.agents, 0.0)
        self.terminations = dict.fromkeys(self.agents, False)
        self.truncations = dict.fromkeys(self.agents, False)
        self.infos = {agent: {} for agent in self.agents}
        self.agent_selection = first

    def _dead_step(self, action: Any) -> bool:
        """Takes a finished agent out, if it is one's turn, and says whether it was.

        Raises:
            IllegalMove: nobody is left.
            InvalidAction: a finished agent was given an action.
        """
        if not self.agents:
            raise IllegalMove("no dialogue is in progress: call reset() before step()")
        agent = self.agent_selection
        if not self.terminations[agent]:
            return False
        if action is not None:
            raise InvalidAction(f"{agent} has finished: its only valid action is None")
        for values in (self.rewards, self._cumulative_rewards, self.terminations, self.truncations, self.infos):
            del values[agent]
        self.agents.remove(agent)
        self.rewards = dict.fromkeys(self.agents, 0.0)
        if self.agents:
            self.agent_selection = self.agents[0]
        return True

    def _settle(self, paid: Mapping[str, float], following: str | None) -> None:
        """Ends the step of the selected agent: it has collected its rewards, ``paid`` is what the step earned.

        ``following`` acts next; None ends the game for everybody.
        """
        agent = self.agent_selection
        self.infos[agent] = {}
        self.rewards = dict.fromkeys(self.agents, 0.0)
        self._cumulative_rewards[agent] = 0.0
        for earner, reward in paid.items():
            self.rewards[earner] = reward
            self._cumulative_rewards[earner] += reward
        if following is None:
            self.terminations = dict.fromkeys(self.agents, True)
            self.agent_selection = self.agents[0]
        else:
            self.agent_selection = following

    def fork(self) -> Self:
        """An independent continuation of this environment: no action on one is ever seen by the other.

        Immutable state (the dialogue, the task) is shared. The fork has the same episode seed, so a policy that
        derives its randomness from the seed and the mode prefix does the same in both after the same modes; its
        unseeded resets draw the same episodes as its parent's; its spaces are new, with generators of their own.
        """
        twin = copy.copy(self)
        twin.possible_agents = list(self.possible_agents)
        twin.agents = list(self.agents)
        if "rewards" in vars(self):  # it has been reset
            twin.rewards = dict(self.rewards)
            twin._cumulative_rewards = dict(self._cumulative_rewards)
            twin.terminations = dict(self.terminations)
            twin.truncations = dict(self.truncations)
            twin.infos = {agent: dict(info) for agent, info in self.infos.items()}
        for spaces in ("_observation_spaces", "_action_spaces"):
            vars(twin).pop(spaces, None)
        return twin


def fork(env: AECEnv[str, Any, Any]) -> Any:
    """Forks an AEC environment of this package below any wrappers, keeping the wrappers.

    A wrapper's own attributes are copied deeply. The method ``env.fork()`` does the same on what ``env()`` and
    ``controller_env()`` return; on somebody else's wrapper around it, that method reaches past the wrapper,
    which this function does not.

    Raises:
        TypeError: an environment that cannot be forked.
    """
    if isinstance(env, BaseWrapper):
        twin = copy.deepcopy(env, {id(env.env): fork(env.env)})
        if isinstance(twin, OrderEnforcingWrapper):
            # A fork made inside a loop over agent_iter may be played in a loop of its own.
            twin._has_updated = True  # pyright: ignore[reportPrivateUsage]  # PettingZoo asks nobody else
        return twin
    if isinstance(env, TurnBasedEnv):
        return env.fork()
    raise TypeError(f"cannot fork {type(env).__name__}: it is no environment of tracer_env nor a wrapper of one")


class OrderEnforcing(OrderEnforcingWrapper[str, Any, Any]):
    """PettingZoo's order check, kept by ``fork``."""

    def fork(self) -> Self:
        """An independent continuation (``TurnBasedEnv.fork``), wrapped like this one."""
        return fork(self)

    def __str__(self) -> str:
        return str(self.env)
