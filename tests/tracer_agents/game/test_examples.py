import numpy as np
import pytest

from tracer_agents.controllers.regret import RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.examples import climbing_game, kuhn_poker, matrix_game, staircase
from tracer_agents.game.gaps import kkt_gap
from tracer_agents.game.values import expected_utility


def test_matrix_games_pay_their_matrix():
    payoffs = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    game = matrix_game(payoffs)
    for row in range(2):
        for column in range(3):
            strategy = np.tile([1.0, 0.0], (game.trie.n_infosets, 1))
            if row == 0:
                strategy[game.trie.row[0, 0]] = [0, 1]
            if column < 2:
                strategy[game.trie.row[1, column]] = [0, 1]
            assert expected_utility(game, strategy) == payoffs[row, column]


def test_shapes():
    assert (kuhn_poker().trie.n_infosets, kuhn_poker().n_players) == (12, 2)
    assert climbing_game().trie.n_infosets == 4
    assert staircase(4).n_players == 4


def rounds_to_the_top(game, rule) -> int:
    tables, used = RegretTables.empty(), 0
    while True:
        tables = solve(game, tables, rule, iterations=1, weighting="gradient")
        used += 1
        if kkt_gap(game, tables.strategy[tables.rows(game.trie.keys)]) < 1e-3:
            return used


def test_plain_regret_matching_crawls_up_the_staircase():
    plain = np.array([rounds_to_the_top(staircase(steps), RegretMatching()) for steps in (2, 3, 4, 5)])
    plus = np.array([rounds_to_the_top(staircase(steps), RegretMatchingPlus()) for steps in (2, 3, 4, 5)])
    assert np.all(plain[1:] / plain[:-1] > 4)  # a factor a step
    assert np.all(np.diff(plus) <= 8)  # a few rounds a step
    assert plus == pytest.approx(np.polyval(np.polyfit(range(4), plus, 1), range(4)), abs=2)
