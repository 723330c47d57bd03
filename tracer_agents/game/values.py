"""Values of every decision under any strategy, from one backward pass over the merged tree.

A strategy is float64 of shape (infosets, 2) with rows that sum to 1: P(SKIP), P(SPEAK) in dialogues. A trailing
axis of B columns, on the strategy or on the leaves, gives B games or B profiles in one pass.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tracer_agents.game.trie import Trie

Weighting = Literal["gradient", "counterfactual"]
WEIGHTINGS: tuple[Weighting, ...] = ("gradient", "counterfactual")


@dataclass(frozen=True, slots=True, kw_only=True)
class Game:
    """A finite game ready to be valued.

    ``utilities`` is float64 of shape (1, slots) when all players share it, else (players, slots): the sum over
    the leaves at a slot of chance weight times utility. ``mass`` is the chance weight alone, shape (slots,).
    """

    trie: Trie
    utilities: np.ndarray
    mass: np.ndarray
    n_players: int

    def utility_of(self, player: int) -> np.ndarray:
        """A player's leaf utilities, float64 of shape (slots,)."""
        return self.utilities[0 if len(self.utilities) == 1 else player]


def uniform_strategy(trie: Trie) -> np.ndarray:
    """½, ½ everywhere."""
    return np.full((trie.n_infosets, 2), 0.5)


def backward(trie: Trie, leaves: np.ndarray, strategy: np.ndarray) -> np.ndarray:
    """The value of every slot: its leaves plus the nodes below it, played by ``strategy``.

    Chance weights stay in: a slot's value is its expected utility times the chance of its histories.

    Args:
        leaves: (slots,) or (slots, B).
        strategy: (infosets, 2) or (infosets, 2, B).

    Returns:
        (slots,), or (slots, B) if either input has B columns.
    """
    sigma, columns = _per_node(trie, leaves, strategy)
    values = np.broadcast_to(leaves.reshape(len(leaves), -1), (len(leaves), columns)).copy()
    pairs = values[1:].reshape(-1, 2, columns)
    for level in reversed(trie.levels):
        inside = slice(level.start, level.stop)
        played = np.einsum("nab,nab->nb", pairs[inside], sigma[inside])
        values[level.parents] += np.add.reduceat(played, level.firsts, axis=0)
    return values if leaves.ndim == 2 or strategy.ndim == 3 else values[:, 0]


def reach(trie: Trie, strategy: np.ndarray) -> np.ndarray:
    """The chance that ``strategy`` alone leads to every slot: (slots,), or (slots, B) for (infosets, 2, B)."""
    sigma = strategy[trie.infoset]  # (nodes, 2) or (nodes, 2, B)
    out = np.empty((trie.n_slots, *strategy.shape[2:]))
    out[0] = 1.0
    pairs = out[1:].reshape(-1, 2, *strategy.shape[2:])
    for level in trie.levels:
        inside = slice(level.start, level.stop)
        pairs[inside] = out[trie.above[inside], None] * sigma[inside]
    return out


def only(trie: Trie, strategy: np.ndarray, player: int) -> np.ndarray:
    """``strategy`` with everybody else's probabilities replaced by 1: its ``reach`` is the player's own."""
    return np.where(_owned(trie, player, strategy), strategy, 1.0)


def without(trie: Trie, strategy: np.ndarray, player: int) -> np.ndarray:
    """``strategy`` with the player's probabilities replaced by 1: its ``reach`` is the others'."""
    return np.where(_owned(trie, player, strategy), 1.0, strategy)


def action_values(game: Game, strategy: np.ndarray, player: int, weighting: Weighting) -> np.ndarray:
    """The value of both actions at every infoset to ``player``, float64 of shape (infosets, 2).

    ``"gradient"``: ∂u/∂σ(I, a), own reach included (for identical-interest games with imperfect recall, where
    the KKT conditions are about it). ``"counterfactual"``: own reach left out, as in CFR (Zinkevich et al. 2007).
    Only the player's own infosets are meaningful.
    """
    trie = game.trie
    values = backward(trie, game.utility_of(player), strategy)
    reached = reach(trie, strategy if weighting == "gradient" else without(trie, strategy, player))
    return by_infoset(trie, reached[trie.above, None] * values[1:].reshape(-1, 2))


def by_infoset(trie: Trie, per_node: np.ndarray) -> np.ndarray:
    """Sums (nodes, 2) values over the nodes of each infoset: (infosets, 2)."""
    columns = [np.bincount(trie.infoset, per_node[:, a], minlength=trie.n_infosets) for a in (0, 1)]
    return np.stack(columns, axis=1)


def expected_utility(game: Game, strategy: np.ndarray, player: int = 0) -> float:
    """The player's expected utility when everybody plays ``strategy``."""
    return float(backward(game.trie, game.utility_of(player), strategy)[0])


def node_mass(game: Game) -> np.ndarray:
    """The chance weight of the histories through every node, whatever is played: (nodes,)."""
    always_first = np.tile([1.0, 0.0], (game.trie.n_infosets, 1))
    return backward(game.trie, game.mass, always_first)[1::2]


def _owned(trie: Trie, player: int, strategy: np.ndarray) -> np.ndarray:
    return (trie.player == player).reshape(-1, *[1] * (strategy.ndim - 1))


def _per_node(trie: Trie, leaves: np.ndarray, strategy: np.ndarray) -> tuple[np.ndarray, int]:
    sigma = (strategy if strategy.ndim == 3 else strategy[:, :, None])[trie.infoset]
    columns = max(sigma.shape[2], leaves.reshape(len(leaves), -1).shape[1])
    return np.broadcast_to(sigma, (*sigma.shape[:2], columns)), columns
