"""The two evaluators beside each other."""

import numpy as np
import pytest

from tracer_agents.game import evaluators
from tracer_agents.game.evaluators import ByLevels, ByPaths, evaluator
from tracer_agents.game.values import WEIGHTINGS
from tracer_agents.worlds.games import climbing_game, kuhn_poker, staircase
from tracer_agents.worlds.tabular_games import TABULAR_EXAMPLES

GAMES = {
    "kuhn": kuhn_poker,
    "climbing": climbing_game,
    "staircase": lambda: staircase(3),
    **{
        f"{infoset} {schedule} N={n_agents}": lambda i=infoset, s=schedule, n=n_agents: TABULAR_EXAMPLES[0].game(
            i, s, n_agents=n
        )
        for infoset in ("paper", "consensus", "recall")
        for schedule in ("rotate", "parity")
        for n_agents in (1, 2, 3)
    },
}


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("name", GAMES)
def test_lines_equal_levels(name, weighting):
    game = GAMES[name]()
    paths, levels = ByPaths(game, weighting), ByLevels(game, weighting)
    speak = np.random.default_rng(0).random(game.trie.n_infosets)
    speak[::5] = 0.0  # zeros too: no division can hide in either
    flat = np.append(np.stack([1 - speak, speak], axis=1), 1.0)
    for player in range(game.n_players):
        assert paths.values(flat, player) == pytest.approx(levels.values(flat, player), abs=1e-12)
        assert paths.own_reach(flat, player) == pytest.approx(levels.own_reach(flat, player), abs=1e-12)


def test_the_size_decides(monkeypatch):
    game = kuhn_poker()
    assert isinstance(evaluator(game, "gradient"), ByPaths)
    monkeypatch.setattr(evaluators, "PATHS_AT_MOST", 10)
    assert isinstance(evaluator(game, "gradient"), ByLevels)
