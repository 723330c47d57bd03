"""Saved games are the same games; whatever a file's bytes, reading ends in the game or in a clear error."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.files import loaded_arrays, save_arrays
from tracer_agents.game.gaps import kkt_gap, nash_gap, team_optimum
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.values import WEIGHTINGS, action_values, expected_utility
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import SCHEDULES, Rules
from tracer_env.errors import DataError
from tracer_env.infosets import INFOSETS, Infosets
from tracer_env.tasks.base import Grade

SPEAKER = TabularSpeaker.load()


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def sampled(name: str, rules: Rules, seeds: list[int]) -> EmpiricalGame:
    episodes = [Episode(question=tabular_question(seed), seed=seed) for seed in seeds]
    weights = np.arange(1.0, len(seeds) + 1)
    return empirical_game(
        expand(episodes, rules, SPEAKER, grade),
        Infosets(name, rules),
        token_budget=700,
        weights=weights / weights.sum(),
    )


GAMES = st.builds(
    sampled,
    st.sampled_from(INFOSETS),
    st.builds(
        Rules, rounds=st.sampled_from([1, 3, 5]), n_agents=st.integers(1, 3), schedule=st.sampled_from(SCHEDULES)
    ),
    st.lists(st.integers(0, 10_000), min_size=1, max_size=8),
)
IN_ONE_FOLDER = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # every example overwrites the same file


def assert_same(one: EmpiricalGame, other: EmpiricalGame) -> None:
    assert one.trie.keys == other.trie.keys
    for field in ("player", "infoset", "above"):
        assert np.array_equal(getattr(one.trie, field), getattr(other.trie, field))
    for matrix in ("mass", "right", "tokens"):
        assert np.array_equal(getattr(one, matrix).toarray(), getattr(other, matrix).toarray())
    assert np.array_equal(one.weights, other.weights)
    assert (one.token_budget, one.n_players) == (other.token_budget, other.n_players)


@given(sample=GAMES, price=st.floats(0, 2), minimiser=st.sampled_from(sorted(MINIMISERS)), seed=st.integers(0, 99))
@IN_ONE_FOLDER
def test_a_loaded_game_is_the_same_game(sample, price, minimiser, seed, tmp_path):
    path = tmp_path / "game.npz"
    sample.save(path)
    again = EmpiricalGame.load(path)
    assert_same(sample, again)
    game, loaded = sample.priced(price), again.priced(price)
    speak = np.random.default_rng(seed).random(game.trie.n_infosets)
    strategy = np.stack([1 - speak, speak], axis=1)
    assert expected_utility(game, strategy) == expected_utility(loaded, strategy)
    for player in range(game.n_players):
        for weighting in WEIGHTINGS:
            assert np.array_equal(
                action_values(game, strategy, player, weighting), action_values(loaded, strategy, player, weighting)
            )
    assert nash_gap(game, strategy) == nash_gap(loaded, strategy)
    assert kkt_gap(game, strategy) == kkt_gap(loaded, strategy)
    assert team_optimum(game).value == team_optimum(loaded).value
    tables, relearned = (
        solve(each, RegretTables.empty(), MINIMISERS[minimiser](), iterations=3, weighting="gradient")
        for each in (game, loaded)
    )
    assert tables.keys == relearned.keys
    assert np.array_equal(tables.regret, relearned.regret)
    assert np.array_equal(tables.average, relearned.average)


@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_damaged_file_is_noticed(data, tmp_path):
    path = tmp_path / "game.npz"
    sample = sampled("recall", Rules(rounds=3), [1, 2, 3])
    sample.save(path)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ data.draw(st.integers(1, 255))]) + whole[place + 1 :])
    with suppress(DataError):
        assert_same(sample, EmpiricalGame.load(path))  # the damage may be to what nobody reads, a time of day


@pytest.mark.parametrize("reader", [EmpiricalGame, RegretTables, RunRegret])
def test_every_reader_refuses_what_it_did_not_write(reader, tmp_path):
    path = tmp_path / "some.npz"
    sampled("paper", Rules(rounds=3), [1]).save(path)
    truncated = path.read_bytes()[:-40]
    contents = {"text": b"no", "empty": b"", "truncated": truncated}
    for content in contents.values():
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"some\.npz: not a file of"):
            reader.load(path)
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(DataError, match="it holds a single array"):
        reader.load(tmp_path / "single.npy")
    with pytest.raises(DataError, match="No such file"):
        reader.load(tmp_path / "missing.npz")


def changed(path, **arrays) -> None:
    with loaded_arrays(path, what="a game", remedy="") as stored:
        content = dict(stored)
    save_arrays(path, content | arrays)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"schema_version": 2}, "its schema_version is 2, this program reads 1"),
        ({"infoset": np.array([0, 1, 99])}, "names? infosets that it lacks"),
        ({"player": np.array([0, 1, 7])}, "other players than 2"),
        ({"above": np.array([0, 1, 50])}, "do not form a tree"),
        ({"mass_indices": np.array([99] * 4)}, "indices"),
        ({"schema_version": np.array([1, 1])}, "not a file of an empirical game"),
    ],
)
def test_a_readable_file_that_is_no_game_is_refused(arrays, complaint, tmp_path):
    path = tmp_path / "game.npz"
    sample = sampled("paper", Rules(rounds=3), [2])
    assert (sample.trie.n_nodes, sample.trie.n_infosets) == (3, 3)
    sample.save(path)
    changed(path, **arrays)
    with pytest.raises(DataError, match=complaint):
        EmpiricalGame.load(path)
