import numpy as np
import pytest

from tracer_agents.controllers.regret import RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.gaps import best_response
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.values import expected_utility
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.games import kuhn_poker, matrix_game
from tracer_env.dialogue import Rules
from tracer_env.errors import DataError
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Grade


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def batches(name: str, count: int, n: int = 16):
    """Games of different questions: none holds all the infosets."""
    rules = Rules()
    for batch in range(count):
        episodes = [Episode(question=tabular_question(i), seed=i) for i in range(n * batch, n * batch + n)]
        trees = expand(episodes, rules, TabularSpeaker.load(), grade)
        yield empirical_game(trees, Infosets(name, rules), token_budget=500).priced(0.1)


def test_two_rounds_by_hand():
    game = matrix_game(np.array([[4.0, 0.0], [0.0, 2.0]]))
    regret = RunRegret(2)
    on_update = regret.watch(game)
    rows = {player: game.trie.row[player, 0] for player in (0, 1)}
    for first, second in ((1.0, 0.0), (0.0, 0.0)):  # P(first row), P(first column)
        profile = np.zeros((2, 2))
        profile[rows[0]], profile[rows[1]] = [1 - first, first], [1 - second, second]
        for player in (0, 1):
            on_update(player, profile)
    # Payoffs 0 then 2. Always the second row would have won 4: regret 2 over 2 rounds. Columns: always the first
    # wins 4 + 0, the second 0 + 2: regret 4 − 2.
    players = regret.players()
    assert [player.external for player in players] == pytest.approx([1.0, 1.0])
    assert [player.as_seen for player in players] == pytest.approx([1.0, 1.0])
    assert regret.rounds == 2


def test_of_one_profile_it_is_the_best_response_gain():
    game = kuhn_poker()
    speak = np.random.default_rng(0).random(12)
    profile = np.stack([1 - speak, speak], axis=1)
    regret = RunRegret(2)
    for player in (0, 1):
        regret.watch(game)(player, profile)
    for player in (0, 1):
        gain = best_response(game, profile, player).value - expected_utility(game, profile, player)
        assert regret.players()[player].external == pytest.approx(gain)


@pytest.mark.parametrize("minimiser", [RegretMatching(), RegretMatchingPlus()])
@pytest.mark.parametrize("turns", ["alternating", "simultaneous"])
def test_the_run_keeps_its_bound_over_changing_games(minimiser, turns):
    tables, regret = RegretTables.empty(), RunRegret(2)
    for game in batches("recall", 6):
        tables = solve(
            game, tables, minimiser, iterations=5, weighting="counterfactual", turns=turns, on_update=regret.watch(game)
        )
    assert regret.rounds == 30
    for player in regret.players():
        assert player.as_seen <= player.bound + 1e-12
        if turns == "simultaneous":
            assert player.external == pytest.approx(player.as_seen, abs=1e-12)


def test_in_hindsight_beats_every_other_fixed_strategy():
    tables, regret, seen = RegretTables.empty(), RunRegret(2), []
    for game in batches("consensus", 3):
        watch = regret.watch(game)

        def on_update(player, profile, game=game, watch=watch):
            watch(player, profile)
            if player == 0:
                seen.append((game, profile.copy()))

        tables = solve(game, tables, RegretMatchingPlus(), iterations=4, weighting="gradient", on_update=on_update)
    rng = np.random.default_rng(2)
    for player in regret.players():
        for _ in range(20):
            fixed = {key: rng.integers(0, 2) for key in tables.keys}
            gains = []
            for game, profile in seen:
                deviation = profile.copy()
                for row in game.trie.infosets_of(player.player):
                    deviation[row] = np.eye(2)[fixed[game.trie.keys[row]]]
                gains.append(expected_utility(game, deviation) - expected_utility(game, profile))
            assert np.mean(gains) <= player.external + 1e-12


def test_files_are_bit_exact(tmp_path):
    games, path = list(batches("consensus", 4)), tmp_path / "run_regret.npz"

    def run(games, tables, regret):
        for game in games:
            tables = solve(
                game, tables, RegretMatchingPlus(), iterations=3, weighting="gradient", on_update=regret.watch(game)
            )
        return tables, regret

    _, whole = run(games, RegretTables.empty(), RunRegret(2))
    tables, half = run(games[:2], RegretTables.empty(), RunRegret(2))
    half.save(path)
    _, resumed = run(games[2:], tables, RunRegret.load(path))
    assert resumed.players() == whole.players()
    assert RunRegret(2).players() == []
    path.write_text("no")
    with pytest.raises(DataError, match="run_regret"):
        RunRegret.load(path)
