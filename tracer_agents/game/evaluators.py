"""Action values and own reach of one player at a time, for the inner loop of regret minimisation.

Two ways to the same numbers. *Levels*: the passes of ``values``, whose cost grows with the nodes. *Paths*: for
small games, where the cost of a pass is the number of NumPy calls: a player's values are one gather of the
probabilities on every path from root to leaf, one product along the paths and one sum by action.
"""

from typing import Protocol

import numpy as np

from tracer_agents.game.trie import Trie
from tracer_agents.game.values import Game, Weighting, action_values, node_mass, only, reach

PATHS_AT_MOST = 2**17  # gathered numbers per player; above, passes over levels are faster


class Evaluator(Protocol):
    """One game under changing strategies; ``flat`` is the strategy's 2 · infosets numbers and a final 1."""

    def values(self, flat: np.ndarray, player: int) -> np.ndarray:
        """The values of both actions at the player's infosets, (its infosets, 2)."""
        ...

    def own_reach(self, flat: np.ndarray, player: int) -> np.ndarray:
        """The chance weight of each of the player's infosets times its own reach of it, (its infosets,)."""
        ...


def evaluator(game: Game, weighting: Weighting) -> Evaluator:
    """The faster evaluator for a game of this size."""
    depth = len(game.trie.levels)
    leaves = np.count_nonzero(game.mass)
    return ByPaths(game, weighting) if leaves * depth * depth <= PATHS_AT_MOST else ByLevels(game, weighting)


class ByLevels:
    """Backward and forward passes over the levels of the trie."""

    def __init__(self, game: Game, weighting: Weighting) -> None:
        self._game = game
        self._weighting: Weighting = weighting
        self._mass = node_mass(game)
        self._rows = [game.trie.infosets_of(player) for player in range(game.n_players)]

    def values(self, flat: np.ndarray, player: int) -> np.ndarray:
        """See ``Evaluator``."""
        return action_values(self._game, flat[:-1].reshape(-1, 2), player, self._weighting)[self._rows[player]]

    def own_reach(self, flat: np.ndarray, player: int) -> np.ndarray:
        """See ``Evaluator``."""
        trie = self._game.trie
        reached = reach(trie, only(trie, flat[:-1].reshape(-1, 2), player))[trie.above] * self._mass
        return np.bincount(trie.infoset, reached, minlength=trie.n_infosets)[self._rows[player]]


class ByPaths:
    """Products along the paths of the game."""

    def __init__(self, game: Game, weighting: Weighting) -> None:
        self._players = [_PlayerPaths(game, player, weighting) for player in range(game.n_players)]

    def values(self, flat: np.ndarray, player: int) -> np.ndarray:
        """See ``Evaluator``."""
        return self._players[player].values(flat)

    def own_reach(self, flat: np.ndarray, player: int) -> np.ndarray:
        """See ``Evaluator``."""
        return self._players[player].own_reach(flat)


class _PlayerPaths:
    def __init__(self, game: Game, player: int, weighting: Weighting) -> None:
        trie, filler = game.trie, 2 * game.trie.n_infosets
        rows = trie.infosets_of(player)
        local = np.zeros(trie.n_infosets + 1, dtype=np.int64)
        local[rows] = np.arange(len(rows))
        owned = np.append(trie.player == player, False)  # by infoset; the filler belongs to nobody

        leaves = np.flatnonzero(game.mass)
        paths = _actions_above(trie, leaves)  # (depth, leaves)
        depth, path = np.nonzero(owned[paths // 2])  # an entry: a choice of the player on a path
        gathered = paths[:, path]
        gathered[depth, np.arange(len(path))] = filler
        if weighting == "counterfactual":
            earlier = np.arange(len(paths))[:, None] < depth
            gathered[earlier & owned[gathered // 2]] = filler
        taken = paths[depth, path]
        self._n = len(rows)
        self._gathered = gathered
        self._action = 2 * local[taken // 2] + taken % 2
        self._utility = game.utility_of(player)[leaves][path]

        nodes = np.flatnonzero(trie.node_player == player)
        above = _actions_above(trie, trie.above[nodes])
        self._own = np.where(owned[above // 2], above, filler)
        self._row = local[trie.infoset[nodes]]
        self._mass = node_mass(game)[nodes]

    def values(self, flat: np.ndarray) -> np.ndarray:
        others = np.multiply.reduce(flat.take(self._gathered), axis=0)
        return np.bincount(self._action, self._utility * others, minlength=2 * self._n).reshape(-1, 2)

    def own_reach(self, flat: np.ndarray) -> np.ndarray:
        reached = np.multiply.reduce(flat.take(self._own), axis=0)
        return np.bincount(self._row, self._mass * reached, minlength=self._n)


def _actions_above(trie: Trie, slots: np.ndarray) -> np.ndarray:
    """The actions (2 · infoset + action) on the way to each slot, root first, (depth, slots).

    They are filled up at the end with 2 · infosets.
    """
    filler = 2 * trie.n_infosets
    out = np.full((len(trie.levels), len(slots)), filler, dtype=np.int64)
    level = np.zeros(trie.n_nodes, dtype=np.int64)
    for depth, each in enumerate(trie.levels):
        level[each.start : each.stop] = depth
    below = np.flatnonzero(slots > 0)
    slot = slots[below]
    while len(below):
        node = (slot - 1) // 2
        out[level[node], below] = 2 * trie.infoset[node] + (slot - 1) % 2
        above = trie.above[node]
        below, slot = below[above > 0], above[above > 0]
    return out
