"""The example scripts do what they say, in at most 40 lines each."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_random_game_is_played_to_the_end_and_again_alike():
    play = runpy.run_path(str(EXAMPLES / "random_game.py"))["play"]
    utilities = [play(seed) for seed in range(20)]
    assert utilities == [play(seed) for seed in range(20)]
    assert all(-1.1 <= utility <= 1 for utility in utilities)


def test_a_controller_of_ones_own_beats_a_first_proposal():
    """The share of right first proposals is known exactly: a mean over the classes of questions."""
    from tracer_agents.speakers.tabular import TabularSpeaker

    speaker = TabularSpeaker.load("default")
    first = sum(weight * kind.first for weight, kind in zip(speaker.weights, speaker.difficulties, strict=True))
    assert runpy.run_path(str(EXAMPLES / "own_controller.py"))["accuracy"](300) > first + 0.05


def test_kuhn_poker_is_solved():
    value, gap = runpy.run_path(str(EXAMPLES / "kuhn.py"))["solved"](3000)
    assert value == pytest.approx(-1 / 18, abs=2e-3)
    assert 0 <= gap < 2e-3


def test_a_training_run_ends_with_a_dialogue(tmp_path, small_settings):
    train = runpy.run_path(str(EXAMPLES / "train.py"))["train"]
    train.__globals__["SETTINGS"].update(small_settings)
    text = train(tmp_path / "run")
    assert "Team's answer:" in text
    assert (tmp_path / "run" / "summary.json").is_file()


def test_examples_are_short_and_linked_from_the_readme():
    readme = EXAMPLES.with_name("README.md").read_text("utf-8")
    paths = sorted(EXAMPLES.glob("*.py"))
    assert [path.name for path in paths] == ["kuhn.py", "own_controller.py", "random_game.py", "train.py"]
    for path in paths:
        assert len(path.read_text("utf-8").splitlines()) <= 40
        assert f"(examples/{path.name})" in readme
