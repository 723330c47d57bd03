"""What holds for every dialogue, whoever speaks: strategies, masks, permutations, merging and the bound of a run."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.regret.neural import NeuralRegret
from benchmarks.suite.immediate import greedy
from tracer_agents.controllers.fixed import RandomSpeech, fixed_controllers
from tracer_agents.controllers.regret import MINIMISERS, RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import PLAYS, TabularController, strategy_of
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.trie import trie_of
from tracer_agents.game.values import WEIGHTINGS, Game, action_values, expected_utility
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree, expand, rollout
from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, TokenCounts, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.games import Path, game_from_paths
from tracer_env.dialogue import SCHEDULES, Rules, initial, is_forced, legal, transition
from tracer_env.infosets import INFOSETS, Infosets
from tracer_env.tasks.base import Grade

# The same examples every time: where two actions are worth the same, rounding may tip regret matching either way.
ALWAYS_THE_SAME = settings(max_examples=40, deadline=None, derandomize=True)
CHANCE = st.floats(0.05, 0.95)
PAIR = st.tuples(CHANCE, CHANCE)
SPEAKERS = st.builds(
    lambda difficulty: TabularSpeaker(
        difficulties=(difficulty,), wrong_answers=2, tokens=TokenCounts(proposal=60, review=40, spread=20)
    ),
    st.builds(
        Difficulty,
        first=CHANCE,
        after_none=PAIR,
        after_right=PAIR,
        after_wrong=PAIR,
        coincide=CHANCE,
        unparsed_proposal=st.floats(0, 0.5),
        sensitivity=CHANCE,
        specificity=CHANCE,
        unparsed_review=st.floats(0, 0.5),
    ),
)
RULES = st.builds(
    Rules,
    rounds=st.sampled_from([3, 5]),
    n_agents=st.integers(1, 3),
    schedule=st.sampled_from(SCHEDULES),
    force_on_unparsed=st.booleans(),
)
SEEDS = st.lists(st.integers(0, 10_000), min_size=1, max_size=6)
PRICE = st.floats(0.05, 1.5)


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def expanded(speaker: TabularSpeaker, rules: Rules, seeds: list[int]) -> list[Tree]:
    episodes = [Episode(question=tabular_question(seed), seed=seed) for seed in seeds]
    return expand(episodes, rules, speaker, grade)


def merged(trees: list[Tree], name: str, weights: np.ndarray | None = None) -> EmpiricalGame:
    rules = trees[0].states[""].rules
    return empirical_game(trees, Infosets(name, rules), token_budget=5 * 80, weights=weights)


def unmerged(trees: list[Tree], name: str, price: float) -> Game:
    """The same game in which every question keeps nodes of its own, behind the shared infosets."""
    whole = merged(trees, name)
    apart = [merged([tree], name) for tree in trees]
    new: list[dict[int, int]] = [{0: 0} for _ in trees]  # a question's slot -> the slot in the whole
    above, infoset = [], []
    for depth in range(len(whole.trie.levels)):
        level = sorted(
            (new[question][int(game.trie.above[node])], question, node)
            for question, game in enumerate(apart)
            if depth < len(game.trie.levels)
            for node in range(game.trie.levels[depth].start, game.trie.levels[depth].stop)
        )
        for slot, question, node in level:
            trie = apart[question].trie
            for action in (0, 1):
                new[question][1 + 2 * node + action] = 1 + 2 * len(above) + action
            above.append(slot)
            infoset.append(whole.trie.row[trie.keys[trie.infoset[node]]])
    trie = trie_of(whole.trie.keys, whole.trie.player, np.array(infoset, int), np.array(above, int))
    utilities, mass = np.zeros((1, trie.n_slots)), np.zeros(trie.n_slots)
    for question, game in enumerate(apart):
        priced = game.priced(price)
        for slot in range(game.trie.n_slots):
            utilities[0, new[question][slot]] += priced.utilities[0, slot] / len(trees)
            mass[new[question][slot]] += priced.mass[slot] / len(trees)
    return Game(trie=trie, utilities=utilities, mass=mass, n_players=whole.n_players)


def random_strategy(game: Game, seed: int) -> np.ndarray:
    speak = np.random.default_rng(seed).random(game.trie.n_infosets)
    return np.stack([1 - speak, speak], axis=1)


@given(speaker=SPEAKERS, rules=RULES, seeds=SEEDS, price=PRICE, name=st.sampled_from(INFOSETS), data=st.data())
@ALWAYS_THE_SAME
def test_learned_strategies_are_distributions(speaker, rules, seeds, price, name, data):
    game = merged(expanded(speaker, rules, seeds), name).priced(price)
    tables = solve(
        game,
        RegretTables.empty(),
        MINIMISERS[data.draw(st.sampled_from(sorted(MINIMISERS)))](),
        iterations=data.draw(st.integers(1, 8)),
        weighting=data.draw(st.sampled_from(WEIGHTINGS)),
        turns=data.draw(st.sampled_from(["alternating", "simultaneous"])),
    )
    for play in PLAYS:
        strategy = strategy_of(tables, play)
        assert np.all(strategy >= 0)
        assert strategy.sum(axis=1) == pytest.approx(np.ones(len(strategy)), abs=1e-12)


@given(speaker=SPEAKERS, rules=RULES, seeds=SEEDS, name=st.sampled_from(INFOSETS), p=st.floats(0, 1))
@ALWAYS_THE_SAME
def test_masked_actions_get_nothing(speaker, rules, seeds, name, p):
    infosets = Infosets(name, rules)
    trees = expanded(speaker, rules, seeds)
    tables = RegretTables.empty().grown(merged(trees, name).trie.keys)
    silent = replace(tables, strategy=np.tile([1.0, 0.0], (len(tables.keys), 1)))
    controllers = [
        *fixed_controllers().values(),
        RandomSpeech(p=p),
        TabularController.uniform(infosets),
        *(TabularController(infosets, silent, play) for play in PLAYS),
        greedy(infosets, silent),
        NeuralRegret(infosets),
    ]
    states = [state for tree in trees for state in tree.states.values() if state.round <= rules.rounds]
    masked = [state for state in states if legal(state) == (False, True)]
    assert masked == [state for state in states if is_forced(state)] != []
    episodes = [tree.episode for tree in trees]
    for controller in controllers:
        assert controller.speak_probability(masked).tolist() == [1.0] * len(masked)
        chances = controller.speak_probability(states)
        assert np.all((chances >= 0) & (chances <= 1))
        for played in rollout(episodes, rules, speaker, controller):
            state = initial(rules, played.question)
            for turn in played.turns:
                assert legal(state)[turn.mode]
                state = transition(state, turn.mode)
                state = transition(state, turn.utterance) if turn.utterance else state


@given(speaker=SPEAKERS, rules=RULES, seeds=SEEDS, price=PRICE, name=st.sampled_from(INFOSETS), data=st.data())
@ALWAYS_THE_SAME
def test_permuting_questions_changes_nothing(speaker, rules, seeds, price, name, data):
    trees = expanded(speaker, rules, seeds)
    order = data.draw(st.permutations(range(len(trees))))
    weights = np.array(data.draw(st.lists(st.floats(0.1, 1), min_size=len(trees), max_size=len(trees))))
    weights /= weights.sum()
    minimiser = MINIMISERS[data.draw(st.sampled_from(sorted(MINIMISERS)))]()
    one = merged(trees, name, weights).priced(price)
    other = merged([trees[index] for index in order], name, weights[list(order)]).priced(price)
    assert one.trie.keys == other.trie.keys
    assert np.array_equal(one.trie.above, other.trie.above)
    assert one.utilities == pytest.approx(other.utilities, abs=1e-12)
    tables = [solve(game, RegretTables.empty(), minimiser, iterations=4, weighting="gradient") for game in (one, other)]
    assert tables[0].keys == tables[1].keys
    assert tables[0].regret == pytest.approx(tables[1].regret, abs=1e-9)
    assert tables[0].strategy == pytest.approx(tables[1].strategy, abs=1e-6)


@given(speaker=SPEAKERS, rules=RULES, seeds=SEEDS, price=PRICE, name=st.sampled_from(INFOSETS), data=st.data())
@ALWAYS_THE_SAME
def test_merging_changes_nothing(speaker, rules, seeds, price, name, data):
    trees = expanded(speaker, rules, seeds)
    small, large = merged(trees, name).priced(price), unmerged(trees, name, price)
    assert large.trie.n_nodes == sum(merged([tree], name).trie.n_nodes for tree in trees) >= small.trie.n_nodes
    strategy = random_strategy(small, data.draw(st.integers(0, 99)))
    assert expected_utility(small, strategy) == pytest.approx(expected_utility(large, strategy), abs=1e-12)
    minimiser = MINIMISERS[data.draw(st.sampled_from(sorted(MINIMISERS)))]()
    for weighting in WEIGHTINGS:
        for player in range(rules.n_agents):
            rows = small.trie.infosets_of(player)
            values = [action_values(game, strategy, player, weighting)[rows] for game in (small, large)]
            assert values[0] == pytest.approx(values[1], abs=1e-12)
        tables = [
            solve(game, RegretTables.empty(), minimiser, iterations=4, weighting=weighting) for game in (small, large)
        ]
        assert tables[0].regret == pytest.approx(tables[1].regret, abs=1e-9)
        assert tables[0].average == pytest.approx(tables[1].average, abs=1e-6)


@given(
    speaker=SPEAKERS,
    n_agents=st.integers(1, 3),
    schedule=st.sampled_from(SCHEDULES),
    batches=st.lists(SEEDS, min_size=1, max_size=4),
    price=st.floats(0, 2),
    minimiser=st.sampled_from([RegretMatching(), RegretMatchingPlus()]),
    turns=st.sampled_from(["alternating", "simultaneous"]),
    inner=st.integers(1, 6),
)
@ALWAYS_THE_SAME
def test_a_runs_average_regret_never_exceeds_its_bound(
    speaker, n_agents, schedule, batches, price, minimiser, turns, inner
):
    """Over changing games, with perfect recall and counterfactual weighting: where the bound is a theorem."""
    tables, regret = RegretTables.empty(), RunRegret(n_agents)
    for seeds in batches:
        game = merged(expanded(speaker, Rules(n_agents=n_agents, schedule=schedule), seeds), "recall").priced(price)
        tables = solve(
            game,
            tables,
            minimiser,
            iterations=inner,
            weighting="counterfactual",
            turns=turns,
            on_update=regret.watch(game),
        )
    assert regret.rounds == inner * len(batches)
    for player in regret.players():
        assert player.as_seen <= player.bound + 1e-12
        if turns == "simultaneous":
            assert player.external == pytest.approx(player.as_seen, abs=1e-12)


@given(
    gains=arrays(np.float64, st.tuples(st.integers(4, 30), st.just(2)), elements=st.floats(-1, 1, width=32)),
    minimiser=st.sampled_from([RegretMatching(), RegretMatchingPlus()]),
)
@ALWAYS_THE_SAME
def test_nor_against_a_hostile_sequence_of_games(gains, minimiser):
    """One decision a game; the likelier action is the one that is punished."""
    tables, regret = RegretTables.empty().grown([(0,)]), RunRegret(1)
    for gain in gains:
        likelier = int(np.argmax(tables.strategy[0]))
        utilities = np.where(np.arange(2) == likelier, -np.abs(gain), np.abs(gain))
        game = game_from_paths([Path(steps=((0, (0,), a),), utilities=(float(utilities[a]),)) for a in (0, 1)], 1)
        tables = solve(game, tables, minimiser, iterations=1, weighting="counterfactual", on_update=regret.watch(game))
    (player,) = regret.players()
    assert -1e-12 <= player.as_seen <= player.bound + 1e-12
    assert player.external == pytest.approx(player.as_seen, abs=1e-12)
