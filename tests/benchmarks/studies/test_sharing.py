"""The study of sharing by view, on speakers whose chances are known."""

import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.studies import sharing
from tracer_agents.config import load_config
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.cost import utterance_count


@pytest.fixture(scope="module")
def trees():
    speaker = TabularSpeaker.load()
    rules = load_config(preset="demo", overrides={"dialogue.sharing": "view"}).rules
    task = TabularTask()
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(300)]
    return {way: expand(episodes, replace(rules, sharing=way), speaker, task.grade) for way in sharing.SHARING}


def test_what_paths_share_is_counted_once(trees):
    counts = {way: sharing.generated(trees[way])[0] for way in sharing.SHARING}
    rules = {way: trees[way][0].states[""].rules for way in sharing.SHARING}
    assert counts["prefix"] == utterance_count(rules["prefix"]) == 16
    assert counts["view"] <= utterance_count(rules["view"]) < 16


def test_both_ways_agree_on_the_means(trees):
    config = load_config(preset="demo")
    measured = [sharing.measure(trees[way], config) for way in sharing.SHARING]
    for old, new in zip(*measured, strict=True):
        error = np.hypot(old["deviation"], new["deviation"]) / np.sqrt(300)
        assert abs(old["mean"] - new["mean"]) < 4 * error
        assert old["controllers"] == new["controllers"]


def test_the_command_writes_a_row_for_each_way_and_pair(tmp_path, monkeypatch, capsys):
    out = tmp_path / "sharing.json"
    monkeypatch.setattr(sys, "argv", ["sharing", "--questions", "2", "--json", str(out), "--dialogue.rounds", "3"])
    sharing.main()
    assert len(out.read_text("utf-8").split('"controllers"')) == 1 + 2 * 3
    assert "always speak − stop on agreement" in capsys.readouterr().out
