"""Certificates of a run: measured at every checkpoint and at the end, on questions that nobody trained on."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from tracer_agents.build import build
from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.errors import GenerationFailed
from tracer_agents.evaluation import certify
from tracer_agents.evaluation.certify import certify_checkpoint, certify_run
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent
from tracer_agents.training.trainer import Trainer
from tracer_env.dialogue import FinishReason
from tracer_env.errors import ConfigError

BRIEF = {
    "evaluation.questions": 2,
    "evaluation.baselines": False,
    "evaluation.greedy": False,
    "evaluation.checkpoint_questions": 3,
    "trainer.steps": 3,
    "trainer.controller_steps": 1,
}  # checkpoints after steps 2 and 3


@pytest.fixture(scope="module")
def config(small_settings):
    return load_config(overrides={**small_settings, **BRIEF})


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> RunDirectory:
    out = tmp_path_factory.mktemp("certified") / "run"
    run_training(config, out, resume=False, display=Silent())
    return RunDirectory(out)


def trained(config, steps: int) -> Trainer:
    trainer = Trainer(config, build(config))
    for number in range(1, steps + 1):
        trainer.step(number)
    return trainer


def test_every_checkpoint_has_a_certificate_and_no_other_step(finished):
    certificates = {row["step"]: row["certificate"] for row in finished.metrics()}
    assert [step for step in certificates if certificates[step]] == [2, 3]
    for step in (2, 3):
        found = certificates[step]
        assert found["questions"] == 3
        assert found["play"] == "current"
        assert found["run"]["rounds"] == 10 * step
        assert (
            found["nash_gap"]["plug_in"]
            <= found["team_gap"]["plug_in"] + 1e-12
            <= found["oracle_gap"]["plug_in"] + 1e-9
        )
        low, high = found["utility"]["ci95"]
        assert low <= found["utility"]["mean"] <= high


def test_the_row_is_what_the_checkpoint_yields_again(config, finished):
    parts = build(config, weights=finished.checkpoints.latest())
    trainer = Trainer(config, parts)
    assert trainer.load(finished.checkpoints.latest()) == 3
    again = certify_checkpoint(config, parts, trainer.controller(), trainer.regret)
    assert json.loads(json.dumps(again.as_json())) == finished.metrics()[-1]["certificate"]


def test_checkpoints_ask_validation_questions_and_the_end_asks_held_out_ones(config, finished, monkeypatch):
    asked = []
    draw = certify.draw_episodes

    def spy(task, split, start, count, **options):
        asked.append((split, start, count, options["phase"]))
        return draw(task, split, start, count, **options)

    monkeypatch.setattr(certify, "draw_episodes", spy)
    parts = build(config, weights=finished.checkpoints.latest())
    trainer = Trainer(config, parts)
    trainer.load(finished.checkpoints.latest())
    certify_checkpoint(config, parts, trainer.controller(), trainer.regret)
    certify_run(finished, config, parts, trainer.controller(), questions=4)
    assert asked == [("validation", 0, 3, "checkpoint"), ("test", 0, 4, "certificate")]


def test_measuring_changes_nothing_that_is_learned(config):
    watched = trained(config, 2)
    evaluation = config.evaluation.model_copy(update={"checkpoint_questions": 0})
    blind = trained(config.model_copy(update={"evaluation": evaluation}), 2)
    assert blind.tables.keys == watched.tables.keys
    assert np.array_equal(blind.tables.regret, watched.tables.regret)
    for one, other in zip(blind.parts.policy.model.parameters(), watched.parts.policy.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_command_writes_file_tables_and_picture(finished, capsys):
    file, picture = finished.folder / "certificate.json", finished.folder / "certificate.png"
    at_the_end = json.loads(file.read_text())
    drawn = picture.read_bytes()
    assert main(["certify", str(finished.folder), "--questions", "5"]) == 0
    printed = capsys.readouterr().out
    assert "gaps over training, 3 validation questions" in printed
    assert "certificate of current play, 5 held-out questions" in printed
    again = json.loads(file.read_text())
    assert (at_the_end["questions"], again["questions"]) == (4, 5)
    assert at_the_end["run"] == again["run"]
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.read_bytes() != drawn


@pytest.mark.parametrize(
    ("overrides", "applies"),
    [
        ({}, True),
        ({"controllers.minimiser": "RegretMatching"}, True),
        ({"dialogue.infoset": "consensus"}, False),
        ({"controllers.weighting": "gradient"}, False),
        ({"controllers.discount": 0.9}, False),
        ({"controllers.minimiser": "Hedge"}, False),
        ({"trainer.controller_steps": 1}, False),
        ({"trainer.controller_steps": 3}, True),
    ],
)
def test_the_bound_is_claimed_only_where_it_is_a_theorem(overrides, applies, small_settings):
    recall = {"dialogue.infoset": "recall", "trainer.steps": 3, "trainer.controller_steps": 0}
    config = load_config(overrides={**small_settings, **recall, **overrides})
    assert certify._bound_applies(config) is applies


def test_a_silent_engine_is_named(config, finished):
    class Silence:
        def __init__(self, speakers):
            self.speakers = speakers

        def speak(self, requests):
            first = requests[0].episode.question.id
            return [
                said if request.episode.question.id == first else replace(said, finish_reason=FinishReason.FAILED)
                for request, said in zip(requests, self.speakers.speak(requests), strict=True)
            ]

    parts = build(config, weights=finished.checkpoints.latest())
    trainer = Trainer(config, parts)
    with pytest.raises(GenerationFailed, match="only 1 of 3 questions were expanded, stage 'checkpoint'"):
        certify_checkpoint(
            config, replace(parts, speakers=Silence(parts.speakers)), trainer.controller(), trainer.regret
        )


@pytest.mark.parametrize("name", ["certificate_questions", "checkpoint_questions"])
def test_one_question_is_no_sample(name):
    with pytest.raises(ConfigError, match=f"evaluation.{name} must be 0"):
        load_config(overrides={f"evaluation.{name}": 1})
