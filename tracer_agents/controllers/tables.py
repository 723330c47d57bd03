"""Regret tables keyed by infoset, which grow as new infosets are met."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tracer_agents.game.files import loaded_arrays, packed_keys, save_arrays, unpacked_keys
from tracer_env.infosets import InfosetKey

_ARRAYS = ("regret", "memory", "strategy", "average")


@dataclass(frozen=True, kw_only=True)
class RegretTables:
    """What the controllers have learned: one row per infoset, columns SKIP and SPEAK, float64 of shape (rows, 2).

    Args:
        keys: the rows' infosets.
        regret, memory: the minimiser's accumulators.
        strategy: the current strategy; ½, ½ in a new row.
        average: the sum of own-reach weighted strategies over the rounds.
        iterations: rounds observed so far.
    """

    keys: tuple[InfosetKey, ...]
    regret: np.ndarray
    memory: np.ndarray
    strategy: np.ndarray
    average: np.ndarray
    iterations: int

    @classmethod
    def empty(cls) -> "RegretTables":
        """Tables before any infoset was met."""
        return cls(keys=(), iterations=0, **{name: np.empty((0, 2)) for name in _ARRAYS})

    @cached_property
    def row(self) -> dict[InfosetKey, int]:
        """key -> row."""
        return {key: index for index, key in enumerate(self.keys)}

    def grown(self, keys: Iterable[InfosetKey]) -> "RegretTables":
        """The tables with a fresh row for every key that has none."""
        fresh = [key for key in dict.fromkeys(keys) if key not in self.row]
        if not fresh:
            return self
        zeros, halves = np.zeros((len(fresh), 2)), np.full((len(fresh), 2), 0.5)
        return replace(
            self,
            keys=(*self.keys, *fresh),
            regret=np.concatenate([self.regret, zeros]),
            memory=np.concatenate([self.memory, zeros]),
            strategy=np.concatenate([self.strategy, halves]),
            average=np.concatenate([self.average, zeros]),
        )

    def rows(self, keys: Sequence[InfosetKey]) -> np.ndarray:
        """The rows of known keys, int of shape (len(keys),)."""
        return np.array([self.row[key] for key in keys], dtype=np.int64)

    def discounted(self, *, regret: float = 1.0, average: float = 1.0) -> "RegretTables":
        """The tables with their past faded, for speakers that have changed since: factors in [0, 1]."""
        return replace(self, regret=self.regret * regret, memory=self.memory * regret, average=self.average * average)

    def save(self, path: str | Path) -> None:
        """Writes a ``.npz`` that ``load`` reads back bit for bit."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        save_arrays(path, {**packed_keys(self.keys), "iterations": np.int64(self.iterations), **arrays})

    @classmethod
    def load(cls, path: str | Path) -> "RegretTables":
        """Reads what ``save`` wrote.

        Raises:
            DataError: the file is missing or is no such file.
        """
        with loaded_arrays(path, what="regret tables", remedy="it is written by training") as stored:
            keys, arrays = unpacked_keys(stored), {name: stored[name] for name in _ARRAYS}
            if any(array.shape != (len(keys), 2) for array in arrays.values()):
                raise ValueError(f"the arrays of {len(keys)} keys have other lengths")
            return cls(keys=keys, iterations=int(stored["iterations"]), **arrays)
