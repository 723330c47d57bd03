"""Other people's learners on the controllers' game: trained through their own PettingZoo support, valued exactly."""

import json
from importlib import import_module

import numpy as np
import pytest

from benchmarks.peers.controllers import main
from benchmarks.peers.controllers_game import (
    CountedSpeakers,
    Progress,
    features,
    goal,
    make_env,
    optimum,
    uniform,
    value,
)

LIBRARIES = ["tianshou", "torchrl"]
STEPS = {"tianshou": 3000, "torchrl": 5000}


def by_chance() -> np.ndarray:
    """Values of 2,000 profiles that nobody trained, each infoset's P(SPEAK) uniform in [0, 1]."""
    rng = np.random.default_rng(0)
    return np.array([value(rng.random(len(features()))) for _ in range(2000)])


def test_the_goal_lies_between_random_play_and_the_optimum():
    assert uniform() < goal() < optimum()
    assert goal() - uniform() == pytest.approx(0.95 * (optimum() - uniform()))
    assert by_chance().max() < goal()


@pytest.mark.parametrize("always", [0, 1])
def test_a_profile_played_in_the_environment_earns_what_it_is_valued_at(always):
    speakers = CountedSpeakers()
    env = make_env(speakers)
    earned, dialogues = [], 3000
    for seed in range(dialogues):
        env.reset(seed=seed)
        while not env.terminations[env.agent_selection]:
            mask = env.last()[0]["action_mask"]
            env.step(always if mask[always] else 1 - always)
        earned.append(env.rewards["controller_0"])

    error = np.std(earned) / np.sqrt(dialogues)
    assert np.mean(earned) == pytest.approx(value(np.full(len(features()), always)), abs=4 * error)
    assert speakers.utterances == dialogues * (5 if always else 1)


def test_a_check_knows_the_goal_and_leaves_its_own_time_out():
    progress = Progress()

    assert not progress.check(np.full(len(features()), 0.5), steps=10, utterances=7)

    [check] = progress.checks
    assert (check.steps, check.utterances, check.value) == (10, 7, uniform())
    assert check.seconds >= 0


def test_ours_reaches_the_goal_and_stops_there(tmp_path, capsys):
    main(["--library", "ours", "--seeds", "1", "--json", str(tmp_path / "figures.json")])

    figures = json.loads((tmp_path / "figures.json").read_text("utf-8"))
    [run] = figures["runs"]
    assert run["reached"]
    assert run["value"] >= figures["goal"] == goal()
    assert [steps for steps, reached in run["checks"] if reached >= goal()] == [run["steps"]]
    assert run["steps"] == run["utterances"] == 16 * 256 * len(run["checks"])
    assert "'reached': True" in capsys.readouterr().out


def test_a_new_measurement_replaces_only_the_same_run(tmp_path):
    file = tmp_path / "figures.json"

    for seeds in (["1", "0"], ["1"]):
        main(["--library", "ours", "--steps", "4096", "--seeds", *seeds, "--json", str(file)])

    assert [run["seed"] for run in json.loads(file.read_text("utf-8"))["runs"]] == [0, 1]


@pytest.mark.slow  # a minute where the machine is busy
@pytest.mark.parametrize("library", LIBRARIES)
def test_another_library_learns_through_its_own_pettingzoo_support(library):
    pytest.importorskip(library, reason=f"{library} is not installed (pip install -e '.[marl]' in a clone)")
    peer = import_module(f"benchmarks.peers.{library}_controllers")

    progress = peer.train(STEPS[library], seed=0)

    last = progress.checks[-1]
    assert np.median([check.value for check in progress.checks[-3:]]) > uniform() + 0.05  # a greedy profile may flip
    assert 0 < last.utterances <= last.steps == STEPS[library]
