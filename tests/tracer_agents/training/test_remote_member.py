"""A member behind a chat server beside a local member that learns: it speaks, is paid for, and stays as it is."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent
from tracer_env.errors import ConfigError


@pytest.fixture
def team(remote_settings, small_settings, small_folder):
    """Settings of a local and a remote member of the same very small model."""
    engine = {name.removeprefix("backend."): value for name, value in remote_settings.items() if "backend." in name}
    members = [
        {"model": str(small_folder), "style": "tiny"},
        {"model": "m", "style": "tiny", "price": 3.0, "train": False, "backend": engine},
    ]
    rest = {name: value for name, value in small_settings.items() if name != "speakers.model"}
    return {**rest, "dialogue.rounds": 3, "trainer.steps": 2, "speakers.members": members}


def test_the_local_member_learns_and_the_other_stays(team, model_server, tmp_path):
    run_training(load_config(overrides=team), tmp_path / "run", resume=False, display=Silent())
    run = RunDirectory(tmp_path / "run")
    first = run.metrics()[0]
    assert first["gspo"]["sequences"] > 0
    turns = [turn for records in run.records().values() for record in records for turn in record.turns]
    assert {turn.agent for turn in turns if turn.generated_tokens} == {0, 1}
    assert len({str(body) for body in model_server.bodies}) == len(model_server.bodies) > 0
    names = {path.parent.name for path in (tmp_path / "run").rglob("*.safetensors")}
    assert len(names) == 1  # of the local member alone
    with Team.load(tmp_path / "run") as loaded:
        assert [model.learner is None for model in loaded.parts.models] == [False, True]


def test_a_run_with_a_remote_member_goes_on_where_it_was(team, model_server, tmp_path):
    run_training(load_config(overrides=team), tmp_path / "run", resume=False, display=Silent())
    asked, summary = len(model_server.bodies), RunDirectory(tmp_path / "run").summary()
    run_training(load_config(overrides=team), tmp_path / "run", resume=True, display=Silent())
    assert len(model_server.bodies) == asked
    assert RunDirectory(tmp_path / "run").summary()["after"] == summary["after"]


def test_a_remote_member_that_should_learn_is_refused(team, tmp_path):
    team["speakers.members"][1]["train"] = True
    with pytest.raises(ConfigError, match=r"speakers.members.1.train: openai servers.*set train: false here"):
        run_training(load_config(overrides=team), tmp_path / "run", resume=False, display=Silent())
    assert not (tmp_path / "run").exists()
