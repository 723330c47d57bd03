"""The controller that plays from regret tables."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from tracer_agents.controllers.regret import normalised
from tracer_agents.controllers.tables import RegretTables
from tracer_env.dialogue import Dialogue, is_forced
from tracer_env.errors import ConfigError
from tracer_env.infosets import InfosetKey, Infosets

Play = Literal["current", "average", "greedy"]
PLAYS: tuple[Play, ...] = ("current", "average", "greedy")


def strategy_of(tables: RegretTables, play: Play) -> np.ndarray:
    """The strategy that is played, float64 of shape (rows, 2).

    ``current``: the minimiser's last; ``average``: own-reach weighted over the rounds; ``greedy``: the current
    one's likelier action, ½, ½ at a tie.

    Raises:
        ConfigError: another name.
    """
    if play == "current":
        return tables.strategy
    if play == "average":
        return normalised(tables.average)
    if play == "greedy":
        speak = (1 + np.sign(tables.strategy[:, 1] - tables.strategy[:, 0])) / 2
        return np.stack([1 - speak, speak], axis=1)
    raise ConfigError(f"play must be one of {PLAYS}, got {play!r}")


class TabularController:
    """Plays every agent's part from one table; at an infoset never met, ½.

    Args:
        infosets: what the controllers know.
        tables: what they have learned.
        play: which strategy plays, see ``strategy_of``.
    """

    def __init__(self, infosets: Infosets, tables: RegretTables, play: Play = "current") -> None:
        self.infosets = infosets
        self.play: str = play
        self._speak = dict(zip(tables.keys, strategy_of(tables, play)[:, 1].tolist(), strict=True))

    @classmethod
    def uniform(cls, infosets: Infosets) -> "TabularController":
        """The controller before any learning."""
        return cls(infosets, RegretTables.empty())

    def probability_of_key(self, key: InfosetKey) -> float:
        """P(SPEAK) at an infoset."""
        return self._speak.get(key, 0.5)

    def knows(self, key: InfosetKey) -> bool:
        """Whether the infoset was met in training."""
        return key in self._speak

    def profile(self, keys: Sequence[InfosetKey]) -> np.ndarray:
        """The strategy at the given infosets, float64 of shape (len(keys), 2)."""
        speak = np.array([self.probability_of_key(key) for key in keys], dtype=np.float64)
        return np.stack([1 - speak, speak], axis=1)

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, float64 of shape (len(states),); forced states are 1."""
        key, speak = self.infosets.key, self._speak
        return np.array([1.0 if is_forced(state) else speak.get(key(state), 0.5) for state in states])
