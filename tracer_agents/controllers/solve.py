"""Runs a minimiser on a game: tables in, tables out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from tracer_agents.controllers.regret import Minimiser, instant_regret
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.values import Game, Weighting, action_values, node_mass, only, reach

Turns = Literal["alternating", "simultaneous"]


def solve(
    game: Game,
    tables: RegretTables,
    minimiser: Minimiser,
    *,
    iterations: int,
    weighting: Weighting,
    turns: Turns = "alternating",
    on_update: Callable[[int, np.ndarray], None] | None = None,
) -> RegretTables:
    """``iterations`` rounds of regret minimisation by every player; neither argument is modified.

    With ``"alternating"`` turns each player sees the others' newest strategies; the infosets of the game that the
    tables lack get fresh rows, rows that the game lacks are left alone. A strategy enters the average weighted by
    the round's ``average_weight``, the chance of the infoset's histories and the player's own reach.

    Args:
        on_update: called before each player's update with the player and the profile that it sees, float64 of
            shape (infosets, 2) in the order of ``game.trie.keys``; it must not keep the array. The profiles seen
            by the first player, one a round, are the run's stated sequence.
    """
    grown = tables.grown(game.trie.keys)
    where = grown.rows(game.trie.keys)
    trie, mass = game.trie, node_mass(game)
    regret, memory = grown.regret[where], grown.memory[where]
    strategy, average = grown.strategy[where], grown.average[where]
    owned = [trie.infosets_of(player) for player in range(game.n_players)]
    for iteration in range(tables.iterations + 1, tables.iterations + iterations + 1):
        weight = minimiser.average_weight(iteration)
        seen = strategy if turns == "alternating" else strategy.copy()
        for player, rows in enumerate(owned):
            if on_update is not None:
                on_update(player, seen)
            if not len(rows):
                continue
            values = action_values(game, seen, player, weighting)[rows]
            own = reach(trie, only(trie, seen, player))[trie.above] * mass
            own_reach = np.bincount(trie.infoset, own, minlength=trie.n_infosets)[rows]
            average[rows] += weight * own_reach[:, None] * seen[rows]
            instant = instant_regret(values, seen[rows])
            regret[rows], memory[rows] = minimiser.observe(regret[rows], memory[rows], instant, iteration)
            strategy[rows] = minimiser.strategy(regret[rows], memory[rows], iteration)
    return replace(
        grown,
        regret=_scattered(grown.regret, where, regret),
        memory=_scattered(grown.memory, where, memory),
        strategy=_scattered(grown.strategy, where, strategy),
        average=_scattered(grown.average, where, average),
        iterations=tables.iterations + iterations,
    )


def _scattered(whole: np.ndarray, rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    out = whole.copy()
    out[rows] = part
    return out
