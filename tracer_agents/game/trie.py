"""The merged tree of decisions: histories with equal infoset paths are one node, kept as arrays.

Every decision is binary. A *slot* is a place below a decision: slot 0 is the root and slot 1 + 2·v + a is where
action a of node v leads; nodes and leaves hang from slots. Chance never appears: its weight sits in the leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tracer_env.errors import ConfigError
from tracer_env.infosets import InfosetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Histories:
    """Unmerged decision histories and leaves; a parent is a history's index, −1 at the root.

    Parents come before their children.
    """

    parent: np.ndarray  # (histories,) int
    action: np.ndarray  # (histories,) int, the action taken at the parent
    infoset: np.ndarray  # (histories,) int
    leaf_parent: np.ndarray  # (leaves,) int
    leaf_action: np.ndarray  # (leaves,) int


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """The nodes of one depth, ``start … stop−1``, and the sums over the children of each of their parents."""

    start: int
    stop: int
    parents: np.ndarray  # (distinct parents,) slots above this level, ascending
    firsts: np.ndarray  # (distinct parents,) offset of each parent's first child from ``start``


@dataclass(frozen=True, kw_only=True)
class Trie:
    """The merged decisions, nodes ordered by depth and then by the slot above them.

    ``keys`` and ``player`` are of shape (infosets,); ``infoset`` and ``above`` (a slot) of shape (nodes,).
    """

    keys: tuple[InfosetKey, ...]
    player: np.ndarray
    infoset: np.ndarray
    above: np.ndarray
    levels: tuple[Level, ...]

    @property
    def n_infosets(self) -> int:
        """Information sets at which somebody decides."""
        return len(self.keys)

    @property
    def n_nodes(self) -> int:
        """Distinct infoset paths that end in a decision."""
        return len(self.infoset)

    @property
    def n_slots(self) -> int:
        """The root and two slots per node."""
        return 1 + 2 * self.n_nodes

    @cached_property
    def node_player(self) -> np.ndarray:
        """Who decides at each node, int of shape (nodes,)."""
        return self.player[self.infoset]

    @cached_property
    def row(self) -> dict[InfosetKey, int]:
        """key -> infoset index."""
        return {key: index for index, key in enumerate(self.keys)}

    def infosets_of(self, player: int) -> np.ndarray:
        """The infosets at which ``player`` decides, int of shape (its infosets,)."""
        return np.flatnonzero(self.player == player)


def trie_of(keys: Sequence[InfosetKey], player: np.ndarray, infoset: np.ndarray, above: np.ndarray) -> Trie:
    """The trie of these nodes.

    Args:
        keys, player: of the infosets.
        infoset, above: of the nodes, ordered by the slot above, each below the root or an earlier node.
    """
    levels: list[Level] = []
    start, stop = 0, int(np.searchsorted(above, 1))
    while start < stop:
        parents, firsts = np.unique(above[start:stop], return_index=True)
        levels.append(Level(start=start, stop=stop, parents=parents, firsts=firsts))
        start, stop = stop, int(np.searchsorted(above, 1 + 2 * stop))
    return Trie(keys=tuple(keys), player=player, infoset=infoset, above=above, levels=tuple(levels))


def merge(histories: Histories, keys: Sequence[InfosetKey], player: Sequence[int]) -> tuple[Trie, np.ndarray]:
    """Merges histories with equal infoset paths.

    Returns:
        The trie and the slot of every leaf, int of shape (leaves,).

    Raises:
        ConfigError: an infoset repeats along a path (the utility would not be multilinear in the strategy).
    """
    n_infosets = len(keys)
    node_of = np.full(len(histories.parent), -1, dtype=np.int64)
    infoset: list[np.ndarray] = []
    above: list[np.ndarray] = []
    start = 0
    rows = np.flatnonzero(histories.parent < 0)
    by_parent = np.argsort(histories.parent, kind="stable")
    sorted_parents = histories.parent[by_parent]
    while len(rows):
        code = _slots(node_of, histories.parent[rows], histories.action[rows]) * n_infosets + histories.infoset[rows]
        distinct, node = np.unique(code, return_inverse=True)
        node_of[rows] = start + node
        infoset.append(distinct % n_infosets)
        above.append(distinct // n_infosets)
        start += len(distinct)
        low = np.searchsorted(sorted_parents, rows, side="left")
        high = np.searchsorted(sorted_parents, rows, side="right")
        rows = np.sort(by_parent[_ranges(low, high)])
    trie = trie_of(
        keys,
        np.asarray(player, dtype=np.int64),
        np.concatenate([np.empty(0, np.int64), *infoset]),
        np.concatenate([np.empty(0, np.int64), *above]),
    )
    _check_no_repeats(trie)
    return trie, _slots(node_of, histories.leaf_parent, histories.leaf_action)


def _slots(node_of: np.ndarray, parent: np.ndarray, action: np.ndarray) -> np.ndarray:
    if not len(node_of):
        return np.zeros(len(parent), dtype=np.int64)
    return np.where(parent < 0, 0, 1 + 2 * node_of[parent] + action)


def _ranges(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The concatenation of ``arange(low[i], high[i])``."""
    lengths = high - low
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts - low, lengths)


def _check_no_repeats(trie: Trie) -> None:
    ancestor = trie.above.copy()
    while np.any(ancestor > 0):
        inside = np.flatnonzero(ancestor > 0)
        nodes = (ancestor[inside] - 1) // 2
        repeated = trie.infoset[nodes] == trie.infoset[inside]
        if np.any(repeated):
            key = trie.keys[int(trie.infoset[inside[np.argmax(repeated)]])]
            raise ConfigError(f"infoset {key} repeats along a path: give its key the round or the cycle")
        ancestor[inside] = trie.above[nodes]
