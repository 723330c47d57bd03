"""Best responses and team optima beside brute force over pure strategies."""

from itertools import product

import numpy as np
import pytest

from tracer_agents.game.gaps import best_response, kkt_gap, nash_conv, nash_gap, team_optimum
from tracer_agents.game.optimum import ascend, maximise, relaxed_value
from tracer_agents.game.values import Game, backward, expected_utility, uniform_strategy
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.games import (
    Path,
    climbing_game,
    game_from_paths,
    kuhn_poker,
    matrix_game,
    penalty_game,
    staircase,
)
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Grade


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def sampled(name: str, rules: Rules, seed: int, n: int = 12) -> Game:
    """A game of few questions: noisy, so that nodes of an infoset want different things."""
    episodes = [Episode(question=tabular_question(i), seed=i) for i in range(100 * seed, 100 * seed + n)]
    trees = expand(episodes, rules, TabularSpeaker.load(), grade)
    return empirical_game(trees, Infosets(name, rules), token_budget=500).priced(0.2)


def brute_force(game: Game, strategy: np.ndarray, rows: np.ndarray, player: int) -> float:
    """The best value over all pure strategies at ``rows``."""
    choices = np.array(list(product((0, 1), repeat=len(rows))))
    profiles = np.repeat(strategy[:, :, None], len(choices), axis=2)
    profiles[rows] = np.stack([1 - choices.T, choices.T], axis=1)
    return float(backward(game.trie, game.utility_of(player), profiles)[0].max())


def random_strategy(game: Game, seed: int) -> np.ndarray:
    speak = np.random.default_rng(seed).random(game.trie.n_infosets)
    return np.stack([1 - speak, speak], axis=1)


@pytest.mark.parametrize("name", ["paper", "consensus", "recall"])
@pytest.mark.parametrize("schedule", ["rotate", "parity"])
@pytest.mark.parametrize("seed", range(4))
def test_best_response_equals_brute_force(name, schedule, seed):
    rules = Rules(rounds=3 if name == "recall" else 5, schedule=schedule)
    game = sampled(name, rules, seed)
    strategy = random_strategy(game, seed)
    for player in (0, 1):
        rows = game.trie.infosets_of(player)
        answer = best_response(game, strategy, player)
        truth = brute_force(game, strategy, rows, player)
        assert answer.exact
        assert answer.value == pytest.approx(truth, abs=1e-12)
        assert expected_utility(game, answer.strategy) == pytest.approx(truth, abs=1e-12)
        others = np.setdiff1d(np.arange(game.trie.n_infosets), rows)
        assert np.array_equal(answer.strategy[others], strategy[others])


@pytest.mark.parametrize("seed", range(6))
def test_team_optimum_equals_brute_force(seed):
    game = sampled("paper", Rules(schedule="parity"), seed, n=8)
    optimum = team_optimum(game)
    rows = np.arange(game.trie.n_infosets)
    assert len(rows) <= 16
    assert optimum.exact
    assert optimum.value == pytest.approx(brute_force(game, uniform_strategy(game.trie), rows, 0), abs=1e-12)


def test_one_round_leaves_nothing_to_decide():
    game = sampled("consensus", Rules(rounds=1), 0)
    nothing = np.empty((0, 2))
    assert game.trie.n_infosets == 0
    assert team_optimum(game).value == expected_utility(game, nothing) == game.utilities.sum()
    assert nash_gap(game, nothing) == kkt_gap(game, nothing) == nash_conv(game, nothing) == 0


def test_abstraction_costs_and_recall_bounds():
    for seed in range(4):
        rules = Rules()
        values = [team_optimum(sampled(name, rules, seed)).value for name in ("paper", "consensus", "recall")]
        assert np.all(np.diff(values) >= -1e-12)
        recall = sampled("recall", rules, seed)
        everyone = np.ones(recall.trie.n_infosets, dtype=bool)
        relaxed = relaxed_value(recall.trie, recall.utility_of(0), uniform_strategy(recall.trie), everyone)
        assert relaxed == pytest.approx([values[2]], abs=1e-12)


def test_an_exhausted_budget_leaves_an_honest_bracket():
    found = 0
    for seed in range(12):
        game = sampled("paper", Rules(schedule="parity"), seed)
        truth, cut = team_optimum(game), team_optimum(game, max_branches=1)
        assert cut.value <= truth.value + 1e-12
        assert truth.value <= cut.upper + 1e-12
        assert cut.exact == (cut.upper - cut.value <= 1e-9)
        found += not cut.exact
    assert found >= 1


def test_known_optima():
    assert team_optimum(climbing_game()).value == 11
    assert team_optimum(penalty_game()).value == 10
    assert team_optimum(staircase(5)).value == pytest.approx(1.0)


def test_gaps_tell_equilibrium_from_optimum():
    game = penalty_game()
    safe = uniform_strategy(game.trie)
    for player in (0, 1):
        safe[game.trie.row[player, 0]] = [1, 0]
        safe[game.trie.row[player, 1]] = [0, 1]
    assert expected_utility(game, safe) == 2
    assert nash_gap(game, safe) == 0
    assert kkt_gap(game, safe) == 0
    assert team_optimum(game).value - expected_utility(game, safe) == 8


def test_gaps_by_hand():
    game = matrix_game(np.array([[4.0, 0.0], [0.0, 2.0]]))
    profile = uniform_strategy(game.trie)
    # Value 1.5; the first row (or column) is worth 2 against ½, ½.
    assert nash_gap(game, profile) == pytest.approx(0.5)
    assert kkt_gap(game, profile) == pytest.approx(0.5)
    assert nash_conv(game, profile) == pytest.approx(1.0)


def test_kkt_gap_counts_reach_and_nash_gap_joint_changes():
    # One player: going on alone loses, going on and then claiming wins; it starts by stopping, claiming not.
    first, second = (0, (0,)), (0, (1,))
    game = game_from_paths(
        [
            Path(steps=((*first, 0),), utilities=(0.0,)),
            Path(steps=((*first, 1), (*second, 0)), utilities=(-1.0,)),
            Path(steps=((*first, 1), (*second, 1)), utilities=(3.0,)),
        ],
        1,
    )
    timid = np.array([[1.0, 0.0], [1.0, 0.0]])
    assert kkt_gap(game, timid) == 0
    assert nash_gap(game, timid) == 3


def test_kuhn_equilibrium():
    game = kuhn_poker()
    strategy = uniform_strategy(game.trie)
    bets = {(0,): 0, (1,): 0, (2,): 0, (0, 0, 1): 0, (1, 0, 1): 1 / 3, (2, 0, 1): 1}
    bets |= {(0, 0): 1 / 3, (1, 0): 0, (2, 0): 1, (0, 1): 0, (1, 1): 1 / 3, (2, 1): 1}
    for key, bet in bets.items():
        strategy[game.trie.row[key]] = [1 - bet, bet]
    assert expected_utility(game, strategy) == pytest.approx(-1 / 18)
    assert nash_conv(game, strategy) == pytest.approx(0, abs=1e-12)


def test_ascend_stops_where_no_single_switch_gains():
    game = climbing_game()
    everyone = np.ones(game.trie.n_infosets, dtype=bool)
    for seed in range(5):
        top = ascend(game.trie, game.utility_of(0), random_strategy(game, seed), everyone)
        assert kkt_gap(game, top) <= 1e-12


def test_nothing_free_is_the_profile_itself():
    game = kuhn_poker()
    strategy = random_strategy(game, 3)
    answer = maximise(game.trie, game.utility_of(0), strategy, np.zeros(game.trie.n_infosets, dtype=bool))
    assert answer.exact
    assert np.array_equal(answer.strategy, strategy)
    assert answer.value == pytest.approx(expected_utility(game, strategy))
