"""OpenSpiel beside us on exported dialogues: the same iterations, and the same NashConv under perfect recall."""

import numpy as np
import pytest

pytest.importorskip("pyspiel", reason="OpenSpiel is not installed (pip install open_spiel)")

from benchmarks.peers.openspiel import brute_force_nash_conv, iterated, twins
from benchmarks.peers.regret import measure
from tracer_agents.game.gaps import nash_conv
from tracer_env.dialogue import SCHEDULES, Rules
from tracer_env.infosets import INFOSETS

QUESTIONS = 64
RULES = {"rotate": Rules(), "parity": Rules(schedule="parity"), "three agents": Rules(n_agents=3)}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("infoset", INFOSETS)
@pytest.mark.parametrize("solver", ["CFR", "CFRPlus"])
def test_the_same_average_policies(solver, infoset, rules):
    pair = twins(QUESTIONS, infoset, RULES[rules])
    assert set(pair.states) == set(pair.game.trie.keys)
    runs = iterated(pair, solver, (1, 10, 100))
    assert [run.iterations for run in runs] == [1, 10, 100]
    assert all(run.difference <= 1e-9 for run in runs)
    assert np.abs(runs[0].ours - runs[2].ours).max() > 0.1  # the iterations do something
    if infoset == "recall":
        for run in runs:
            assert run.openspiel_nash_conv == pytest.approx(nash_conv(pair.game, run.ours), abs=1e-9)


def test_token_counts_are_untied():
    game = twins(QUESTIONS, "recall").game
    utilities = game.utilities[0][game.mass > 0] / game.mass[game.mass > 0]
    assert len(np.unique(utilities)) > 0.9 * len(utilities)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("infoset", ["paper", "consensus"])
def test_nash_conv_equals_brute_force_in_the_abstractions(infoset, schedule):
    pair = twins(QUESTIONS, infoset, Rules(schedule=schedule))
    for run in iterated(pair, "CFR", (1, 10, 100)):
        assert nash_conv(pair.game, run.ours) == pytest.approx(brute_force_nash_conv(pair.game, run.ours), abs=1e-9)


def test_openspiels_best_response_is_wrong_under_imperfect_recall():
    pair = twins(QUESTIONS, "paper", Rules(schedule="parity"))
    run = iterated(pair, "CFR", [3])[0]
    assert run.openspiel_nash_conv is not None
    assert run.openspiel_nash_conv < brute_force_nash_conv(pair.game, run.ours) - 1e-3
    refused = iterated(twins(QUESTIONS, "paper"), "CFRPlus", [10, 100])
    assert any(run.openspiel_nash_conv is None for run in refused)  # worse than the policy it answers


def test_the_side_by_side_has_every_figure():
    figures = measure("recall", sizes=(8, 16), repeats=1)
    assert figures["max_policy_difference"] <= 1e-9
    assert figures["nodes_16"]["unmerged"] == 15 * 16 > figures["nodes_16"]["merged"]
    speedups = {name: figures[name] for name in figures if name.startswith("speedup")}
    assert set(speedups) == {"speedup_openspiel_python", "speedup_openspiel_cpp", "speedup_openspiel_cpp_16"}
    assert speedups["speedup_openspiel_python"] == figures["seconds_8"]["python"] / figures["seconds_8"]["ours"]
