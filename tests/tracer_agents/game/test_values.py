"""Passes over hand-made tries: values, reaches, batches of columns."""

import numpy as np
import pytest

from tracer_agents.game.values import (
    action_values,
    backward,
    expected_utility,
    node_mass,
    only,
    reach,
    uniform_strategy,
    without,
)
from tracer_agents.worlds.games import Path, game_from_paths, kuhn_poker


def two_steps():
    """Player 0 stops for 1 or goes on; player 1 then stops for 5 or gambles: 10 or −2 at even odds."""
    first, second = (0, (0,)), (1, (1,))
    return game_from_paths(
        [
            Path(steps=((*first, 0),), utilities=(1.0,)),
            Path(steps=((*first, 1), (*second, 0)), utilities=(5.0,)),
            Path(steps=((*first, 1), (*second, 1)), utilities=(10.0,), chance=0.5),
            Path(steps=((*first, 1), (*second, 1)), utilities=(-2.0,), chance=0.5),
        ],
        2,
    )


STRATEGY = np.array([[0.25, 0.75], [0.9, 0.1]])


def test_backward_by_hand():
    game = two_steps()
    values = backward(game.trie, game.utility_of(0), STRATEGY)
    second = 0.9 * 5 + 0.1 * 4
    assert values == pytest.approx([0.25 * 1 + 0.75 * second, 1, second, 5, 4])


def test_reach_by_hand():
    game = two_steps()
    assert reach(game.trie, STRATEGY) == pytest.approx([1, 0.25, 0.75, 0.675, 0.075])
    assert reach(game.trie, only(game.trie, STRATEGY, 1)) == pytest.approx([1, 1, 1, 0.9, 0.1])
    assert reach(game.trie, without(game.trie, STRATEGY, 1)) == pytest.approx([1, 0.25, 0.75, 0.75, 0.75])


def test_action_values_by_hand():
    game = two_steps()
    assert action_values(game, STRATEGY, 0, "gradient")[0] == pytest.approx([1, 4.9])
    assert action_values(game, STRATEGY, 1, "gradient")[1] == pytest.approx([0.75 * 5, 0.75 * 4])


def test_the_gradient_is_the_derivative():
    game = kuhn_poker()
    speak = np.random.default_rng(0).random(game.trie.n_infosets)
    strategy = np.stack([1 - speak, speak], axis=1)
    for player in (0, 1):
        gradient = action_values(game, strategy, player, "gradient")
        for row in game.trie.infosets_of(player):
            for action in (0, 1):
                bumped = strategy.copy()
                bumped[row, action] += 1.0  # multilinear: a difference is the derivative
                change = expected_utility(game, bumped, player) - expected_utility(game, strategy, player)
                assert gradient[row, action] == pytest.approx(change, abs=1e-12)


def test_columns_are_games_or_profiles():
    game, rng = kuhn_poker(), np.random.default_rng(1)
    speak = rng.random((game.trie.n_infosets, 4))
    profiles = np.stack([1 - speak, speak], axis=1)  # (infosets, 2, 4)
    leaves = rng.random((game.trie.n_slots, 4))
    reached = reach(game.trie, profiles)
    both = backward(game.trie, leaves, profiles)
    over_games = backward(game.trie, leaves, profiles[..., 0])
    over_profiles = backward(game.trie, leaves[:, 0], profiles)
    for column in range(4):
        assert reached[:, column] == pytest.approx(reach(game.trie, profiles[..., column]))
        assert both[:, column] == pytest.approx(backward(game.trie, leaves[:, column], profiles[..., column]))
        assert over_games[:, column] == pytest.approx(backward(game.trie, leaves[:, column], profiles[..., 0]))
        assert over_profiles[:, column] == pytest.approx(backward(game.trie, leaves[:, 0], profiles[..., column]))


def test_chance_weight_of_nodes():
    game = two_steps()
    assert node_mass(game) == pytest.approx([1, 1])
    kuhn = kuhn_poker()
    by_key = np.bincount(kuhn.trie.infoset, node_mass(kuhn))
    assert by_key == pytest.approx(np.full(12, 1 / 3))


def test_zero_sum():
    game = kuhn_poker()
    profile = uniform_strategy(game.trie)
    assert expected_utility(game, profile, 0) == pytest.approx(1 / 8)
    assert expected_utility(game, profile, 1) == pytest.approx(-1 / 8)
