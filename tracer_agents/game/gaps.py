"""How far a profile is from equilibrium and from the optimum (DESIGN, section 3, "The certificate")."""

import numpy as np

from tracer_agents.game.optimum import Optimum, maximise
from tracer_agents.game.trie import Trie
from tracer_agents.game.values import Game, action_values, expected_utility


def best_response(game: Game, strategy: np.ndarray, player: int) -> Optimum:
    """The player's best pure answer to everybody else's ``strategy``, exact or bracketed."""
    return maximise(game.trie, game.utility_of(player), strategy, game.trie.player == player)


def nash_gap(game: Game, strategy: np.ndarray) -> float:
    """The largest gain of a single player's best response; 0 at a Nash equilibrium. An upper end if bracketed."""
    return max(
        max(best_response(game, strategy, player).upper - expected_utility(game, strategy, player), 0.0)
        for player in range(game.n_players)
    )


def nash_conv(game: Game, strategy: np.ndarray) -> float:
    """The sum of all players' best-response gains (OpenSpiel's NashConv)."""
    return sum(
        best_response(game, strategy, player).upper - expected_utility(game, strategy, player)
        for player in range(game.n_players)
    )


def kkt_gap(game: Game, strategy: np.ndarray) -> float:
    """The largest gain of changing one infoset's strategy alone, its reach included; 0 at a KKT point."""
    return float(_gains_of_switching(game, strategy)[1].max(initial=0.0))


def best_switch(game: Game, strategy: np.ndarray) -> Optimum:
    """The profile behind ``kkt_gap``: a pure action at one infoset, ``strategy`` at all others.

    Its value is the gain added to what player 0 has now; in an identical-interest game that is the profile's utility.
    """
    gradient, gains = _gains_of_switching(game, strategy)
    switched, value = strategy.copy(), expected_utility(game, strategy)
    if len(gains):
        row = int(np.argmax(gains))
        switched[row] = np.eye(2)[int(np.argmax(gradient[row]))]
        value += float(gains[row])
    return Optimum(strategy=switched, value=value, upper=value)


def _gains_of_switching(game: Game, strategy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(gradient (infosets, 2), what the better action gains (infosets,)), each row for the player who decides there."""
    gradient = np.zeros_like(strategy)
    for player in range(game.n_players):
        rows = game.trie.infosets_of(player)
        gradient[rows] = action_values(game, strategy, player, "gradient")[rows]
    return gradient, gradient.max(axis=1) - (gradient * strategy).sum(axis=1)


def team_optimum(game: Game, *, max_branches: int = 20_000) -> Optimum:
    """The best joint pure strategy of an identical-interest game, exact or bracketed."""
    everyone = np.ones(game.trie.n_infosets, dtype=bool)
    return maximise(game.trie, game.utility_of(0), _first(game.trie), everyone, max_branches=max_branches)


def _first(trie: Trie) -> np.ndarray:
    return np.tile([1.0, 0.0], (trie.n_infosets, 1))
