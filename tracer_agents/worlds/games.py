"""Games with known answers, all of binary decisions, for the same minimisers as the dialogues."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations, product

import numpy as np

from tracer_agents.game.trie import Histories, merge
from tracer_agents.game.values import Game
from tracer_env.infosets import InfosetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """One way through a game, from the root to a leaf."""

    steps: tuple[tuple[int, InfosetKey, int], ...]  # (player, infoset, action)
    utilities: tuple[float, ...]  # one per player, or one for all
    chance: float = 1.0


def game_from_paths(paths: Sequence[Path], n_players: int) -> Game:
    """The game whose leaves end ``paths``; a leaf's chance is the product of the chance moves on its path."""
    players = {key: player for path in paths for player, key, _ in path.steps}
    keys = sorted(players, key=lambda key: (len(key), key))
    rank = {key: index for index, key in enumerate(keys)}
    parent: list[tuple[int, int, int]] = []
    leaves: list[tuple[int, int]] = []
    for path in paths:
        above, action = -1, 0
        for _, key, chosen in path.steps:
            parent.append((above, action, rank[key]))
            above, action = len(parent) - 1, chosen
        leaves.append((above, action))
    table, below = np.array(parent, dtype=np.int64).reshape(-1, 3), np.array(leaves, dtype=np.int64)
    trie, slot = merge(
        Histories(
            parent=table[:, 0],
            action=table[:, 1],
            infoset=table[:, 2],
            leaf_parent=below[:, 0],
            leaf_action=below[:, 1],
        ),
        keys,
        [players[key] for key in keys],
    )
    chance = np.array([path.chance for path in paths])
    payoffs = np.array([path.utilities for path in paths])
    utilities = np.stack([np.bincount(slot, chance * column, minlength=trie.n_slots) for column in payoffs.T])
    mass = np.bincount(slot, chance, minlength=trie.n_slots)
    return Game(trie=trie, utilities=utilities, mass=mass, n_players=n_players)


def kuhn_poker() -> Game:
    """Kuhn (1950): three cards, one bet, zero sum; the first player's value is −1/18 in every equilibrium.

    Keys are (card, actions so far …), action 1 bets or calls.
    """
    paths = []
    for first, second in permutations(range(3), 2):
        sign = 1.0 if first > second else -1.0
        endings = {
            (0, 0): sign,
            (0, 1, 0): -1.0,
            (0, 1, 1): 2 * sign,
            (1, 0): 1.0,
            (1, 1): 2 * sign,
        }
        for actions, won in endings.items():
            steps = tuple(
                (turn % 2, ((first, second)[turn % 2], *actions[:turn]), action) for turn, action in enumerate(actions)
            )
            paths.append(Path(steps=steps, utilities=(won, -won), chance=1 / 6))
    return game_from_paths(paths, 2)


def matrix_game(payoffs: np.ndarray) -> Game:
    """Two players with one payoff matrix (rows, columns), moving at once.

    A choice among k actions is k − 1 binary ones: take action 0 (1) or go on (0), and so forth.
    """

    def choice(player: int, action: int, count: int) -> tuple[tuple[int, InfosetKey, int], ...]:
        return tuple((player, (player, step), int(step == action)) for step in range(min(action + 1, count - 1)))

    rows, columns = payoffs.shape
    return game_from_paths(
        [
            Path(steps=choice(0, row, rows) + choice(1, column, columns), utilities=(float(payoffs[row, column]),))
            for row, column in product(range(rows), range(columns))
        ],
        2,
    )


def climbing_game() -> Game:
    """Claus & Boutilier (1998): optimum 11 beside −30, a safe equilibrium of 5."""
    return matrix_game(np.array([[11.0, -30.0, 0.0], [-30.0, 7.0, 6.0], [0.0, 0.0, 5.0]]))


def penalty_game(penalty: float = -10.0) -> Game:
    """Claus & Boutilier (1998): two optima of 10 that do not mix, a safe equilibrium of 2."""
    return matrix_game(np.array([[10.0, 0.0, penalty], [0.0, 2.0, 0.0], [penalty, 0.0, 10.0]]))


def staircase(steps: int, *, gain: float = 0.2, slip: float = 1.0) -> Game:
    """Identical interest, one player per step: climbing pays only on top of all earlier steps.

    u = gain · (leading climbers) − slip · (climbers above the first who stayed). While somebody below stays,
    climbing costs ``slip`` per round. Plain regret matching must first win all that back, so every further step
    takes about 1 + slip/gain times as long as the one before; RM+ forgets, and every step takes about as long.
    All climbing is the optimum, gain · steps. The top step moves first, so that alternating updates do not
    climb the whole stair in one round. In the manner of the lower bound of arXiv 2510.17067.
    """
    paths = []
    for climbs in product((0, 1), repeat=steps):
        leading = next((step for step, climb in enumerate(climbs) if not climb), steps)
        utility = gain * leading - slip * sum(climbs[leading:])
        moves = tuple((player, (player,), climb) for player, climb in enumerate(reversed(climbs)))
        paths.append(Path(steps=moves, utilities=(utility,)))
    return game_from_paths(paths, steps)
