"""The debate with its speakers folded in: only the controllers are left to act."""

# PettingZoo has no stubs:
# pyright: reportMissingTypeStubs=false

from collections.abc import Callable
from functools import cached_property
from typing import Any, Protocol, Self

from gymnasium.spaces import Space
from pettingzoo.utils import BaseWrapper

from tracer_env.dialogue import Dialogue
from tracer_env.env import raw_env
from tracer_env.errors import ConfigError
from tracer_env.parallel import TurnBasedParallel
from tracer_env.turns import OrderEnforcing, TurnBasedEnv, fork

Speak = Callable[[dict[str, Any], dict[str, Any]], str]


class Actor(Protocol):
    """Anything with the verb ``act``."""

    def act(self, observation: dict[str, Any], info: dict[str, Any]) -> str:
        """What the active speaker says, given its observation and info."""
        ...


class raw_controller_env(TurnBasedEnv):
    """The controllers' game: ``Discrete(2)`` actions on ``Box`` observations with an action mask.

    Args:
        speakers: says what the active speaker says: a callable ``(observation, info) -> str``, or an object
            whose method ``act`` is one. ``info`` names agent, role, round, mode prefix and episode seed; a
            speaker that derives its randomness from the last two needs no state, and only such speakers keep
            forks independent.
        **kwargs: as for ``debate_v0.raw_env``.

    Raises:
        ConfigError: speakers that cannot speak, or a wrong argument of ``raw_env``.

    Rewards, spaces and infos of the controllers are those of ``debate_v0``. A step that raises, also in the
    speakers, leaves the environment as it was.
    """

    metadata = {**raw_env.metadata, "name": "debate_controllers_v0"}  # noqa: RUF012  # PettingZoo's

    def __init__(self, speakers: Speak | Actor, **kwargs: Any) -> None:
        super().__init__()
        act = getattr(speakers, "act", speakers)
        if not callable(act):
            raise ConfigError(
                "speakers must be a callable (observation, info) -> str or have a method act, "
                f"got {type(speakers).__name__}"
            )
        self._speak: Callable[..., Any] = act  # the debate checks what it returns
        self._debate = raw_env(**kwargs)
        self.render_mode = self._debate.render_mode
        self.possible_agents = [agent for agent in self._debate.possible_agents if agent.startswith("controller")]
        self.agents = []

    @property
    def dialogue(self) -> Dialogue:
        """The public state of the running episode."""
        return self._debate.dialogue

    @cached_property
    def _observation_spaces(self) -> dict[str, Space[Any]]:
        return {agent: self._debate.observation_space(agent) for agent in self.possible_agents}

    @cached_property
    def _action_spaces(self) -> dict[str, Space[Any]]:
        return {agent: self._debate.action_space(agent) for agent in self.possible_agents}

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """As ``debate_v0``'s."""
        self._debate.reset(seed=seed, options=options)
        self._begin(self._debate.agent_selection)
        self._inform()

    def observe(self, agent: str) -> dict[str, Any]:
        """What a controller sees now; the caller owns the result."""
        return self._debate.observe(agent)

    def step(self, action: Any) -> None:
        """Plays the selected controller's mode and, if it speaks, the speaker's utterance.

        Raises:
            InvalidAction: not a mode, or speakers that return no text.
            IllegalMove: a masked mode, or no dialogue in progress.
        """
        if self._dead_step(action):
            return
        debate = self._debate.fork()
        debate.step(action)
        while debate.dialogue.speaking:
            speaker = debate.agent_selection
            debate.step(self._speak(debate.observe(speaker), debate.infos[speaker]))
        self._debate = debate
        over = debate.terminations[debate.agent_selection]
        paid = {agent: debate.rewards[agent] for agent in self.agents}
        self._settle(paid, None if over else debate.agent_selection)
        self._inform()

    def render(self) -> str | None:
        """As ``debate_v0``'s."""
        return self._debate.render()

    def fork(self) -> Self:
        """An independent continuation that shares the speakers; see ``TurnBasedEnv.fork``."""
        twin = super().fork()
        twin._debate = self._debate.fork()
        return twin

    def _inform(self) -> None:
        if not self.terminations[self.agent_selection]:
            self.infos[self.agent_selection] = dict(self._debate.infos[self.agent_selection])


class WithoutInfos(BaseWrapper[str, Any, Any]):
    """Any environment of this package with empty infos, for libraries that make arrays of whatever they find there.

    Text cannot become a tensor, nor can an info that is there for one agent and not for another.
    """

    @property
    def infos(self) -> dict[str, dict[str, Any]]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """An empty info for every living agent."""
        return {agent: {} for agent in self.env.agents}

    def last(self, observe: bool = True) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's, without the info."""
        return *self.env.last(observe)[:4], {}

    def fork(self) -> Self:
        """An independent continuation (``TurnBasedEnv.fork``), wrapped like this one."""
        return fork(self)


def controller_env(speakers: Speak | Actor, **kwargs: Any) -> OrderEnforcing:
    """The controllers' game as an AEC environment with PettingZoo's order check; see ``raw_controller_env``."""
    return OrderEnforcing(raw_controller_env(speakers, **kwargs))


def controller_parallel_env(speakers: Speak | Actor, **kwargs: Any) -> TurnBasedParallel:
    """The controllers' game through the parallel API, turn by turn; see ``TurnBasedParallel``."""
    return TurnBasedParallel(controller_env(speakers, **kwargs))
