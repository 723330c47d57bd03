import numpy as np
import pytest

from tracer_agents.controllers.regret import RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.gaps import kkt_gap, nash_gap, team_optimum
from tracer_agents.game.values import expected_utility, node_mass, reach
from tracer_agents.worlds.games import climbing_game, kuhn_poker, matrix_game, staircase
from tracer_agents.worlds.tabular_games import TABULAR_EXAMPLES
from tracer_env.dialogue import SCHEDULES


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


def optimal_reviews(name: str) -> dict[tuple[int, ...], bool]:
    """Whether the optimum speaks at each review it can come to, by recall key."""
    example = next(example for example in TABULAR_EXAMPLES if example.speakers == name)
    game = example.game("recall")
    best = team_optimum(game)
    assert best.exact
    reached = reach(game.trie, best.strategy)[game.trie.above] * node_mass(game)
    keys = [game.trie.keys[row] for row in game.trie.infoset]
    return {
        key: bool(best.strategy[row, 1])
        for key, row, chance in zip(keys, game.trie.infoset, reached, strict=True)
        if chance > 0 and len(key) % 2 == 1
    }


def test_never_review():
    reviews = optimal_reviews("never_review")
    assert reviews
    assert not any(reviews.values())


def test_always_review():
    reviews = optimal_reviews("always_review")
    assert {len(key) for key in reviews} == {1, 3}
    assert all(reviews.values())


def test_review_early():
    reviews = optimal_reviews("review_early")
    assert {len(key) for key in reviews} == {1, 3}
    assert all(spoken == (len(key) == 1) for key, spoken in reviews.items())


def test_review_only_without_agreement():
    late = {key: spoken for key, spoken in optimal_reviews("review_disagreement").items() if len(key) == 3}
    agreement = {key: spoken for key, spoken in late.items() if key[0] == key[2] == 2}
    assert agreement
    assert not any(agreement.values())
    disagreement = {key: spoken for key, spoken in late.items() if key[2] > 2}
    assert disagreement
    assert all(disagreement.values())


@pytest.mark.parametrize("infoset", ["consensus", "recall"])
def test_the_coordination_trap_shuts_under_parity_alone(infoset):
    example = next(example for example in TABULAR_EXAMPLES if example.speakers == "coordination_trap")
    lost = {}
    for schedule in SCHEDULES:
        game = example.game(infoset, schedule)
        weighting = "counterfactual" if infoset == "recall" else "gradient"
        tables = solve(game, RegretTables.empty(), RegretMatchingPlus(), iterations=200, weighting=weighting)
        strategy = tables.strategy[tables.rows(game.trie.keys)]
        assert nash_gap(game, strategy) <= 1e-4  # an equilibrium in both
        lost[schedule] = team_optimum(game).value - expected_utility(game, strategy)
    assert lost["rotate"] <= 1e-4
    assert lost["parity"] > 0.1
