"""Runs a minimiser on a game: tables in, tables out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from tracer_agents.controllers.regret import Minimiser, instant_regret
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.evaluators import evaluator
from tracer_agents.game.values import Game, Weighting

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
            by the first player, one per round, are the run's stated sequence.
    """
    grown = tables.grown(game.trie.keys)
    where = grown.rows(game.trie.keys)
    regret, memory, average = grown.regret[where], grown.memory[where], grown.average[where]
    flat = np.append(grown.strategy[where], 1.0)
    strategy = flat[:-1].reshape(-1, 2)
    engine = evaluator(game, weighting)
    owned = [game.trie.infosets_of(player) for player in range(game.n_players)]
    for iteration in range(tables.iterations + 1, tables.iterations + iterations + 1):
        weight = minimiser.average_weight(iteration)
        seen = flat if turns == "alternating" else flat.copy()
        for player, rows in enumerate(owned):
            if on_update is not None:
                on_update(player, seen[:-1].reshape(-1, 2))
            if not len(rows):
                continue
            values, own_reach = engine.values(seen, player), engine.own_reach(seen, player)
            played = seen[:-1].reshape(-1, 2)[rows]
            average[rows] += (weight * own_reach)[:, None] * played
            regret[rows], memory[rows] = minimiser.observe(
                regret[rows], memory[rows], instant_regret(values, played), iteration
            )
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
