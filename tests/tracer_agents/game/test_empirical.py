"""The array engine beside an independent recursion over dialogues."""

from collections import defaultdict

import numpy as np
import pytest

from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.values import action_values, expected_utility, node_mass, uniform_strategy
from tracer_agents.rollout.empirical import empirical_game, enumerated_game
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Mode, Rules, initial, is_forced, is_terminal, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import INFOSETS, Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade

SPEAKER = TabularSpeaker.load()
PRICE, MAX_NEW_TOKENS = 0.3, 90


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def enumerated(infosets: Infosets) -> EmpiricalGame:
    return enumerated_game(
        SPEAKER,
        SPEAKER.representatives(),
        infosets,
        token_budget=infosets.rules.rounds * MAX_NEW_TOKENS,
        weights=SPEAKER.weights,
    )


def recursive(infosets: Infosets, speak: dict, player: int):
    """(expected utility, gradient by key, counterfactual values by key), by walking every dialogue."""
    rules = infosets.rules
    utility = Utility(price_of_speech=PRICE, rounds=rules.rounds, max_new_tokens=MAX_NEW_TOKENS)
    gradient = defaultdict(lambda: [0.0, 0.0])
    counterfactual = defaultdict(lambda: [0.0, 0.0])

    def value(question, state, chance, own, others):
        if is_terminal(state):
            return float(utility(state.answer == question.gold, state.generated_tokens))
        speaking = transition(state, Mode.SPEAK)

        def spoken(own, others):
            return sum(
                p * value(question, transition(speaking, said), chance * p, own, others)
                for p, said in SPEAKER.outcomes(question, speaking)
            )

        if is_forced(state):
            return spoken(own, others)
        key = infosets.key(state)
        sigma = (1 - speak[key], speak[key])
        mine = state.agent == player
        reached = [(own * p, others) if mine else (own, others * p) for p in sigma]
        values = (value(question, transition(state, Mode.SKIP), chance, *reached[0]), spoken(*reached[1]))
        if mine:
            for action in (0, 1):
                gradient[key][action] += chance * own * others * values[action]
                counterfactual[key][action] += chance * others * values[action]
        return sigma[0] * values[0] + sigma[1] * values[1]

    total = sum(
        weight * value(question, initial(rules, question.text), weight, 1.0, 1.0)
        for weight, question in zip(SPEAKER.weights, SPEAKER.representatives(), strict=True)
    )
    return total, gradient, counterfactual


@pytest.mark.parametrize("name", INFOSETS)
@pytest.mark.parametrize(
    "rules",
    [Rules(), Rules(schedule="parity", rounds=3), Rules(n_agents=3, rounds=3), Rules(rounds=3, force_on_unparsed=True)],
    ids=["R5", "parity", "N3", "forced"],
)
def test_arrays_equal_the_recursive_solver(name, rules):
    infosets = Infosets(name, rules)
    game = enumerated(infosets).priced(PRICE)
    speak = np.random.default_rng(0).random(game.trie.n_infosets)
    strategy = np.stack([1 - speak, speak], axis=1)
    by_key = dict(zip(game.trie.keys, speak, strict=True))
    for player in range(rules.n_agents):
        total, gradient, counterfactual = recursive(infosets, by_key, player)
        assert expected_utility(game, strategy) == pytest.approx(total, abs=1e-9)
        for weighting, truth in (("gradient", gradient), ("counterfactual", counterfactual)):
            values = action_values(game, strategy, player, weighting)
            assert len(truth) == len(game.trie.infosets_of(player))
            for key, expected in truth.items():
                assert values[game.trie.row[key]] == pytest.approx(expected, abs=1e-9)


def test_sampled_trees_are_unbiased_and_converge_at_the_root_rate():
    infosets = Infosets("consensus", Rules(rounds=3))
    exact = enumerated(infosets).priced(PRICE)
    n = 4096
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(n)]
    sampled = empirical_game(
        expand(episodes, infosets.rules, SPEAKER, grade), infosets, token_budget=3 * MAX_NEW_TOKENS
    )
    # Each question alone is one draw of the fixed profile's utility.
    strategy = uniform_strategy(sampled.trie)
    draws = np.array([expected_utility(sampled.priced(PRICE, weights), strategy) for weights in _blocks(n, 1)[:512]])
    truth = expected_utility(exact, uniform_strategy(exact.trie))
    whole = expected_utility(sampled.priced(PRICE), strategy)
    assert abs(whole - truth) < 4 * draws.std() / np.sqrt(n)

    sizes = np.array([4, 16, 64])
    errors = [
        np.sqrt(
            np.mean([(expected_utility(sampled.priced(PRICE, w), strategy) - truth) ** 2 for w in _blocks(n, size)])
        )
        for size in sizes
    ]
    slope = np.polyfit(np.log(sizes), np.log(errors), 1)[0]
    assert -0.6 < slope < -0.4


def _blocks(n: int, size: int) -> np.ndarray:
    """Weights of the consecutive blocks of ``size`` questions."""
    return np.kron(np.eye(n // size), np.ones(size) / size)


def test_merging_changes_nothing_but_the_size():
    infosets = Infosets("consensus", Rules())
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(60)]
    trees = expand(episodes, infosets.rules, SPEAKER, grade)
    together = empirical_game(trees, infosets, token_budget=5 * MAX_NEW_TOKENS)
    speak = np.random.default_rng(1).random(together.trie.n_infosets)
    strategy = np.stack([1 - speak, speak], axis=1)
    apart = []
    for tree in trees:
        single = empirical_game([tree], infosets, token_budget=5 * MAX_NEW_TOKENS)
        assert single.trie.n_nodes == 15
        rows = [together.trie.row[key] for key in single.trie.keys]
        apart.append(expected_utility(single.priced(PRICE), strategy[rows]))
    assert expected_utility(together.priced(PRICE), strategy) == pytest.approx(np.mean(apart), abs=1e-12)
    assert together.trie.n_nodes < 0.2 * 15 * 60


def test_the_order_of_questions_changes_nothing():
    infosets = Infosets("recall", Rules())
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(40)]
    trees = expand(episodes, infosets.rules, SPEAKER, grade)
    one = empirical_game(trees, infosets, token_budget=500)
    other = empirical_game(trees[::-1], infosets, token_budget=500)
    assert one.trie.keys == other.trie.keys
    assert np.array_equal(one.trie.above, other.trie.above)
    assert one.priced(0.1).utilities == pytest.approx(other.priced(0.1).utilities, abs=1e-14)


def test_the_price_reweights_tokens_alone():
    infosets = Infosets("paper", Rules())
    game = enumerated(infosets)
    strategy = uniform_strategy(game.trie)
    free, dear = expected_utility(game.priced(0.0), strategy), expected_utility(game.priced(2.0), strategy)
    # Half of the four free rounds speak: a proposal and two reviews at ½, two further proposals at ½.
    tokens = 60 + 0.5 * (2 * 40 + 2 * 60)
    assert free - dear == pytest.approx(2.0 * tokens / (5 * MAX_NEW_TOKENS), abs=1e-12)


def test_chance_mass_sums_to_one_at_every_depth():
    game = enumerated(Infosets("recall", Rules())).priced(0.0)
    mass = node_mass(game)
    # Behind any fixed line of modes lies all the chance there is: depth d holds 2^d such lines.
    assert [mass[level.start : level.stop].sum() for level in game.trie.levels] == pytest.approx([1, 2, 4, 8])


def test_too_many_tokens_for_the_budget_are_refused():
    with pytest.raises(ConfigError, match="token_budget=100"):
        enumerated_game(SPEAKER, SPEAKER.representatives(), Infosets("paper", Rules()), token_budget=100)
