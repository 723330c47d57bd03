"""Exact maxima over pure strategies: best responses and the team optimum, by branch and bound.

The relaxation lets the maximiser choose at every *node* of the trie, as if it remembered the whole path; its
value is one backward pass with maxima. Where nodes of one infoset want different actions it branches on that
infoset. With perfect recall and public actions (``recall``) the relaxation is already the answer; under imperfect
recall, where best responses are NP-hard in general, the bracket [value, upper] is returned when the budget ends.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from tracer_agents.game.trie import Trie
from tracer_agents.game.values import backward, by_infoset, reach

_TOLERANCE = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimum:
    """A pure strategy at the free infosets, what it is worth, and a bound that nothing exceeds."""

    strategy: np.ndarray  # (infosets, 2); the given strategy at the infosets that are not free
    value: float
    upper: float

    @property
    def exact(self) -> bool:
        """Whether the bracket is closed."""
        return self.upper - self.value <= 1e-9


def maximise(
    trie: Trie, leaves: np.ndarray, strategy: np.ndarray, free: np.ndarray, *, max_branches: int = 20_000
) -> Optimum:
    """The best pure strategy at the free infosets while the others are played by ``strategy``.

    Args:
        leaves: utility × chance weight of every slot, (slots,).
        strategy: (infosets, 2).
        free: which infosets the maximiser controls, bool of shape (infosets,).
        max_branches: relaxations solved before the bracket is left open.
    """
    start = np.where(free, -1, -2).astype(np.int8)  # −1 open, −2 not ours, 0 or 1 decided
    best, best_value = strategy, -np.inf
    order = 0
    heap: list[tuple[float, int, np.ndarray]] = [(-np.inf, order, start)]
    for _ in range(max_branches):
        if not heap or -heap[0][0] <= best_value + _TOLERANCE:
            break
        _, _, decided = heapq.heappop(heap)
        bound, votes, conflict = _relaxed(trie, leaves, strategy, decided)
        if bound <= best_value + _TOLERANCE:
            continue
        candidate = ascend(trie, leaves, _rounded(strategy, decided, votes), free)
        value = float(backward(trie, leaves, candidate)[0])
        if value > best_value:
            best, best_value = candidate, value
        if bound <= best_value + _TOLERANCE:
            continue
        branch = int(np.argmax(np.where(decided == -1, conflict, -np.inf)))
        for action in (0, 1):
            child = decided.copy()
            child[branch] = action
            order += 1
            heapq.heappush(heap, (-bound, order, child))
    upper = max(best_value, -heap[0][0]) if heap else best_value
    return Optimum(strategy=best, value=best_value, upper=upper)


def ascend(trie: Trie, leaves: np.ndarray, strategy: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Switches one free infoset at a time to its better action, best gain first, until none gains.

    The value is multilinear in the strategy, so every switch raises it and the climb ends.
    """
    strategy = strategy.copy()
    while True:
        values = backward(trie, leaves, strategy)
        reached = reach(trie, strategy)
        gradient = by_infoset(trie, reached[trie.above, None] * values[1:].reshape(-1, 2))
        gain = np.where(free, gradient.max(axis=1) - (gradient * strategy).sum(axis=1), 0.0)
        row = int(np.argmax(gain)) if len(gain) else 0
        if not len(gain) or gain[row] <= _TOLERANCE:
            return strategy
        strategy[row] = np.eye(2)[int(np.argmax(gradient[row]))]


def relaxed_value(trie: Trie, leaves: np.ndarray, strategy: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The relaxation's value: choices at every node of the free infosets.

    Args:
        leaves: (slots,) or (slots, B).

    Returns:
        (B,), one value a column.
    """
    return _maxima(trie, leaves.reshape(len(leaves), -1), strategy, free)[0]


def _maxima(trie: Trie, leaves: np.ndarray, strategy: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The slot values (slots, B) when free nodes take their better action."""
    values = leaves.copy()
    pairs = values[1:].reshape(-1, 2, leaves.shape[1])
    sigma, chooses = strategy[trie.infoset], free[trie.infoset]
    for level in reversed(trie.levels):
        inside = slice(level.start, level.stop)
        played: np.ndarray = np.einsum("nab,na->nb", pairs[inside], sigma[inside])
        best: np.ndarray = pairs[inside].max(axis=1)
        taken = np.where(chooses[inside, None], best, played)
        values[level.parents] += np.add.reduceat(taken, level.firsts, axis=0)
    return values


def _relaxed(
    trie: Trie, leaves: np.ndarray, strategy: np.ndarray, decided: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """(bound, each infoset's reach-weighted action values, how much its nodes disagree)."""
    strategy = _decided(strategy, decided)
    is_open = decided == -1
    values = _maxima(trie, leaves[:, None], strategy, is_open)[:, 0]
    pairs = values[1:].reshape(-1, 2)
    better = (pairs[:, 1] > pairs[:, 0]).astype(np.int64)
    sigma = np.where(is_open[trie.infoset, None], np.eye(2)[better], strategy[trie.infoset])
    reached = _node_reach(trie, sigma)
    votes = by_infoset(trie, reached[:, None] * pairs)
    wanted = np.bincount(trie.infoset, reached * pairs.max(axis=1), minlength=trie.n_infosets)
    return float(values[0]), votes, wanted - votes.max(axis=1)


def _node_reach(trie: Trie, sigma: np.ndarray) -> np.ndarray:
    """The chance that node-wise probabilities (nodes, 2) lead to every node: (nodes,)."""
    slots = np.ones(trie.n_slots)
    pairs = slots[1:].reshape(-1, 2)
    for level in trie.levels:
        inside = slice(level.start, level.stop)
        pairs[inside] = slots[trie.above[inside], None] * sigma[inside]
    return slots[trie.above]


def _decided(strategy: np.ndarray, decided: np.ndarray) -> np.ndarray:
    return np.where((decided >= 0)[:, None], np.eye(2)[np.maximum(decided, 0)], strategy)


def _rounded(strategy: np.ndarray, decided: np.ndarray, votes: np.ndarray) -> np.ndarray:
    return _decided(strategy, np.where(decided == -1, np.argmax(votes, axis=1), decided))
