"""Runs of the minimisers on games with known answers."""

import numpy as np
import pytest

from tracer_agents.controllers.regret import (
    MINIMISERS,
    DiscountedRegretMatching,
    RegretMatching,
    RegretMatchingPlus,
)
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import strategy_of
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.gaps import kkt_gap, nash_conv, nash_gap
from tracer_agents.game.values import expected_utility
from tracer_agents.rollout.empirical import enumerated_game
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.worlds.games import kuhn_poker, matrix_game
from tracer_env.dialogue import SCHEDULES, Rules
from tracer_env.infosets import INFOSETS, Infosets

SPEAKER = TabularSpeaker.load()


def dialogue(name: str, **rules) -> EmpiricalGame:
    return enumerated_game(
        SPEAKER, SPEAKER.representatives(), Infosets(name, Rules(**rules)), token_budget=500, weights=SPEAKER.weights
    )


def played(game, tables, play="current"):
    return strategy_of(tables, play)[tables.rows(game.trie.keys)]


def test_one_round_by_hand():
    # Both choose a column of [[4, 0], [0, 2]] at ½: player 0's values are (½·4, ½·2) = (1, 2)·… per action.
    game = matrix_game(np.array([[4.0, 0.0], [0.0, 2.0]]))
    both = {
        turns: solve(game, RegretTables.empty(), RegretMatching(), iterations=1, weighting="gradient", turns=turns)
        for turns in ("simultaneous", "alternating")
    }
    # In this encoding action 1 picks the first row: values (1, 2), value of ½, ½ is 1.5.
    for tables in both.values():
        row = tables.row[0, 0]
        assert tables.regret[row].tolist() == [-0.5, 0.5]
        assert tables.strategy[row].tolist() == [0.0, 1.0]
        assert tables.average[row].tolist() == [0.5, 0.5]
    assert both["simultaneous"].regret[both["simultaneous"].row[1, 0]].tolist() == [-0.5, 0.5]
    # Alternating, player 1 already sees player 0 at (0, 1): values (0, 4), value 2.
    assert both["alternating"].regret[both["alternating"].row[1, 0]].tolist() == [-2.0, 2.0]


def test_the_weightings_differ_by_own_reach_alone():
    game = kuhn_poker()
    runs = {
        w: solve(game, RegretTables.empty(), RegretMatching(), iterations=1, weighting=w, turns="simultaneous")
        for w in ("gradient", "counterfactual")
    }
    # (card, pass, bet) is reached after the player's own pass, at ½; (card,) needs no own action.
    for card in range(3):
        first, later = (card,), (card, 0, 1)
        ratio = [runs["gradient"].regret[runs["gradient"].row[key]] for key in (first, later)]
        full = [runs["counterfactual"].regret[runs["counterfactual"].row[key]] for key in (first, later)]
        assert ratio[0] == pytest.approx(full[0])
        assert ratio[1] == pytest.approx(full[1] / 2)


@pytest.mark.parametrize(("minimiser", "iterations"), [(RegretMatching(), 300), (RegretMatchingPlus(), 200)])
def test_kuhn_poker(minimiser, iterations):
    game = kuhn_poker()
    tables = solve(game, RegretTables.empty(), minimiser, iterations=iterations, weighting="counterfactual")
    average = played(game, tables, "average")
    assert expected_utility(game, average) == pytest.approx(-1 / 18, abs=1e-3)
    assert expected_utility(game, average, player=1) == pytest.approx(1 / 18, abs=1e-3)
    assert nash_conv(game, average) < 0.02


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("n_agents", [1, 2, 3])
def test_regret_matching_plus_on_dialogues(schedule, n_agents):
    recall = dialogue("recall", n_agents=n_agents, schedule=schedule).priced(0.1)
    tables = solve(recall, RegretTables.empty(), RegretMatchingPlus(), iterations=300, weighting="counterfactual")
    assert nash_gap(recall, played(recall, tables)) <= 1e-4
    for name in ("paper", "consensus"):
        game = dialogue(name, n_agents=n_agents, schedule=schedule).priced(0.1)
        tables = solve(game, RegretTables.empty(), RegretMatchingPlus(), iterations=300, weighting="gradient")
        assert kkt_gap(game, played(game, tables)) <= 1e-4


@pytest.mark.parametrize("turns", ["alternating", "simultaneous"])
@pytest.mark.parametrize("name", MINIMISERS)
@pytest.mark.parametrize("infoset", INFOSETS)
def test_every_minimiser_beats_the_uniform_profile(name, turns, infoset):
    game = dialogue(infoset).priced(0.1)
    tables = solve(game, RegretTables.empty(), MINIMISERS[name](), iterations=200, weighting="gradient", turns=turns)
    start = expected_utility(game, np.full((game.trie.n_infosets, 2), 0.5))
    for play in ("current", "average", "greedy"):
        assert expected_utility(game, played(game, tables, play)) > start + 0.1


def test_runs_are_resumable_and_pure():
    game = dialogue("consensus").priced(0.1)
    for rule in (RegretMatchingPlus(), DiscountedRegretMatching()):
        whole = solve(game, RegretTables.empty(), rule, iterations=30, weighting="gradient")
        half = solve(game, RegretTables.empty(), rule, iterations=12, weighting="gradient")
        before = half.regret.copy()
        rest = solve(game, half, rule, iterations=18, weighting="gradient")
        assert np.array_equal(half.regret, before)
        for name in ("regret", "memory", "strategy", "average"):
            assert np.array_equal(getattr(whole, name), getattr(rest, name))
        assert rest.iterations == 30


def test_rows_that_a_game_lacks_are_left_alone():
    long, short = dialogue("recall").priced(0.1), dialogue("recall", rounds=3).priced(0.1)
    tables = solve(long, RegretTables.empty(), RegretMatchingPlus(), iterations=5, weighting="counterfactual")
    after = solve(short, tables, RegretMatchingPlus(), iterations=5, weighting="counterfactual")
    assert after.keys == tables.keys
    absent = [row for key, row in tables.row.items() if key not in short.trie.row]
    present = tables.rows(short.trie.keys)
    assert np.array_equal(after.average[absent], tables.average[absent])
    assert np.all(after.average[present].sum(axis=1) >= tables.average[present].sum(axis=1))
    assert np.any(after.average[present] != tables.average[present])


def test_the_profiles_seen_are_those_before_each_update():
    game, seen = dialogue("paper").priced(0.1), []
    solve(
        game,
        RegretTables.empty(),
        RegretMatchingPlus(),
        iterations=4,
        weighting="gradient",
        on_update=lambda player, profile: seen.append((player, profile.copy())),
    )
    assert [player for player, _ in seen] == [0, 1] * 4
    assert np.all(seen[0][1] == 0.5)
    three = solve(game, RegretTables.empty(), RegretMatchingPlus(), iterations=3, weighting="gradient")
    assert np.array_equal(seen[6][1], played(game, three))
    mine = game.trie.infosets_of(0)
    assert not np.array_equal(seen[1][1][mine], seen[0][1][mine])  # alternating: player 1 sees the new strategy
    assert np.array_equal(seen[2][1][mine], seen[1][1][mine])
