"""Controllers are learned for speakers behind a chat server, from the settings to a run like any other."""

import json

import numpy as np
import pytest

from tracer_agents.config import load_config
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.errors import SpendingLimitReached
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_agents.training.experiment import run_evaluation
from tracer_agents.training.fit import fit_settings, run_fit
from tracer_agents.training.stages import Silent
from tracer_env.errors import ConfigError


def settings(overrides, questions=6):
    return fit_settings(load_config(overrides=overrides), overrides, questions)


def without_times(folder):
    summary = RunDirectory(folder).summary()
    return {name: value for name, value in summary.items() if not name.endswith("seconds") and name != "config_sha256"}


@pytest.fixture
def fitted(remote_settings, tmp_path):
    run_fit(settings(remote_settings), tmp_path / "run", resume=False, display=Silent())
    return tmp_path / "run"


def test_a_fit_is_a_run_like_any_other(fitted, remote_settings, model_server, tmp_path):
    files = {path.name for path in fitted.iterdir()}
    assert {"config.yaml", "summary.json", "metrics.jsonl", "transcripts.jsonl", "certificate.json"} <= files
    run = RunDirectory(fitted)
    summary = run.summary()
    assert summary["model"] == "m"
    assert summary["train_seconds"] > 0
    assert set(summary["baselines"]) >= {"single", "always_speak", "self_consistency", "best_fixed"}
    assert summary["certificate"]["questions"] == 4
    [row] = run.metrics()
    assert (row["questions"], row["groups"], row["gspo"], row["utterances"]) == (6, 0, None, 6 * 4)
    tables = RegretTables.load(run.checkpoints.latest() / "controllers.npz")
    assert tables.iterations == 1000
    assert not list(fitted.rglob("*.safetensors"))
    with Team.load(fitted) as team:
        env = team.env()
        env.reset(seed=3)
        for _ in env.agent_iter():
            observation, _, ended, cut, info = env.last()
            env.step(None if ended or cut else team.act(observation, info))
    asked = len(model_server.bodies)
    evaluated = run_evaluation(run.config(), tmp_path / "eval", run=fitted, display=Silent())
    assert evaluated.after == run_evaluation(run.config(), tmp_path / "again", run=fitted, display=Silent()).after
    assert json.loads(json.dumps(evaluated.after.as_json())) == summary["after"]
    assert len(model_server.bodies) == asked  # all of it had been said already


def test_nothing_is_asked_for_twice_within_a_fit(fitted, model_server):
    asked = [json.dumps(body) for body in model_server.bodies if body["temperature"] > 0]
    assert len(set(asked)) == len(asked)


def test_a_fit_that_was_stopped_goes_on_to_the_same_end(fitted, remote_settings, model_server, tmp_path):
    """Stopped by the spending limit, then killed: what was bought stays, and the end is that of a fit in one go."""
    whole = len(model_server.bodies)
    other = {**remote_settings, "backend.cache": str(tmp_path / "other"), "backend.max_spend_tokens": 3_000}
    with pytest.raises(SpendingLimitReached, match="max_spend_tokens: 3000"):
        run_fit(settings(other), tmp_path / "stopped", resume=False, display=Silent())
    bought = len(model_server.bodies) - whole
    assert 0 < bought < whole
    recorded = (tmp_path / "stopped" / "utterances.jsonl").read_bytes()
    assert recorded.count(b"\n") > 0
    with (tmp_path / "stopped" / "utterances.jsonl").open("ab") as file:
        file.write(b'{"seed": 1, "te')  # a kill within a row
    further = {**other, "backend.max_spend_tokens": None}
    run_fit(settings(further), tmp_path / "stopped", resume=True, display=Silent())
    assert len(model_server.bodies) == 2 * whole
    assert without_times(tmp_path / "stopped") == without_times(fitted)
    first, second = (
        RegretTables.load(RunDirectory(folder).checkpoints.latest() / "controllers.npz")
        for folder in (fitted, tmp_path / "stopped")
    )
    assert np.array_equal(first.regret, second.regret)


def test_local_speakers_are_fitted_without_a_second_copy_of_their_weights(small_settings, tmp_path):
    local = {name: value for name, value in small_settings.items() if not name.startswith(("trainer", "credit"))}
    local["dialogue.rounds"] = 3
    run_fit(settings(local, 3), tmp_path / "run", resume=False, display=Silent())
    rows = (tmp_path / "run" / "utterances.jsonl").read_text().splitlines()
    assert len(rows) >= 3 * 4
    assert not list((tmp_path / "run").rglob("*.safetensors"))
    with Team.load(tmp_path / "run") as team:
        assert team.controller.play == RunDirectory(tmp_path / "run").deployed_play()


def test_a_local_fit_that_was_killed_says_nothing_twice(small_settings, tmp_path, monkeypatch):
    from tracer_agents.speakers.model import ModelSpeakers

    local = {name: value for name, value in small_settings.items() if not name.startswith(("trainer", "credit"))}
    asked = []
    speak = ModelSpeakers.speak

    def counted(self, requests):
        if len(asked) == 3:
            asked.append([])
            raise KeyboardInterrupt
        asked.append([request.noise_seed for request in requests])
        return speak(self, requests)

    monkeypatch.setattr(ModelSpeakers, "speak", counted)
    config = settings({**local, "dialogue.rounds": 3, "evaluation.greedy": False}, 4)
    with pytest.raises(KeyboardInterrupt):
        run_fit(config, tmp_path / "run", resume=False, display=Silent())
    run_fit(config, tmp_path / "run", resume=True, display=Silent())
    seeds = [seed for batch in asked for seed in batch]
    assert len(set(seeds)) == len(seeds)


def test_speakers_behind_a_chat_server_cannot_be_trained(remote_settings, tmp_path):
    from tracer_agents.training.experiment import run_training

    with pytest.raises(ConfigError, match=r"backend.name: openai servers keep their weights.*tracer fit"):
        run_training(load_config(overrides=remote_settings), tmp_path / "run", resume=False, display=Silent())
    assert not (tmp_path / "run").exists()


def test_a_missing_key_is_an_error_before_any_work(remote_settings, tmp_path, model_server):
    config = settings({**remote_settings, "backend.api_key_env": "NO_SUCH_KEY"})
    with pytest.raises(ConfigError, match="NO_SUCH_KEY is not set"):
        run_fit(config, tmp_path / "run", resume=False, display=Silent())
    assert not (tmp_path / "run").exists()
    assert model_server.bodies == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"credit.train": True}, "credit.train: a fit has False"),
        ({"trainer.steps": 40}, "trainer.steps: a fit has 1.*--questions"),
        ({"controllers.expansion": "external"}, "controllers.expansion: a fit expands"),
    ],
)
def test_settings_that_contradict_a_fit_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        fit_settings(load_config(overrides=given), given)


def test_what_is_set_stays_and_what_is_not_suits_a_fit():
    config = fit_settings(load_config(preset="demo", overrides={"controllers.inner_iterations": 7}), {})
    assert (config.controllers.inner_iterations, config.trainer.steps) == (7, 1)
    assert fit_settings(load_config(), {}).trainer.controller_questions_per_step == 256
    assert fit_settings(load_config(), {}, 12).trainer.controller_questions_per_step == 12
    assert config.controllers.play == load_config(preset="demo").controllers.play
