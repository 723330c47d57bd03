"""A team whose controllers see beliefs: trained, resumed, loaded, certified, and played in three ways."""

import json
from dataclasses import replace

import numpy as np
import pytest

from tracer_agents.build import build
from tracer_agents.config import Config, load_config
from tracer_agents.controllers.calibration import diagnose, fit_belief
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.errors import RunError
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.rollout.tree import expand, play, rollout
from tracer_agents.runs.beliefs import load_belief
from tracer_agents.runs.controllers import load_controller
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_agents.training.experiment import run_evaluation, run_training
from tracer_agents.training.report import StepReport
from tracer_agents.training.stages import Silent
from tracer_env.dialogue import Dialogue, is_forced, is_terminal
from tracer_env.errors import ConfigError
from tracer_env.infosets import Infosets

BELIEVING = {
    "dialogue.infoset": "belief",
    "dialogue.belief_bins": 4,
    "dialogue.answer_rule": "belief",
    "dialogue.sharing": "view",
    "trainer.steps": 3,
    "trainer.controller_steps": 2,
    "trainer.checkpoint_every": 1,
    "trainer.keep_checkpoints": 4,
    "evaluation.greedy": False,
}


@pytest.fixture(scope="module")
def config(small_settings) -> Config:
    return load_config(overrides={**small_settings, **BELIEVING})


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory) -> RunDirectory:
    out = tmp_path_factory.mktemp("beliefs") / "whole"
    run_training(config, out, resume=False, display=Silent())
    return RunDirectory(out)


def test_the_belief_is_fitted_once_speakers_are_frozen(finished):
    assert load_belief(finished.checkpoints.path(1)) is None
    first, last = (load_belief(finished.checkpoints.path(step)) for step in (2, 3))
    assert first is not None
    assert first == last
    figures = finished.summary()["belief"]
    assert figures["questions"] > 0
    assert 0 <= figures["calibration_error"] <= 1
    assert (finished.folder / "belief.png").stat().st_size > 0


class _StopsAfterTwo(Silent):
    def step(self, report: StepReport, steps: int) -> None:
        if report.step == 2:
            raise KeyboardInterrupt


def test_a_stopped_run_goes_on_with_the_same_belief_to_the_same_bits(config, finished, tmp_path):
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run_training(config, stopped, resume=False, display=_StopsAfterTwo())

    run_training(config, stopped, resume=True, display=Silent())

    whole, resumed = (
        [json.dumps(row | {"timing": None}) for row in run.metrics()] for run in (finished, RunDirectory(stopped))
    )
    assert whole == resumed
    for name in ("transcripts.jsonl", "checkpoints/step_3/belief.json", "checkpoints/step_3/controllers.npz"):
        assert (finished.folder / name).read_bytes() == (stopped / name).read_bytes()


def test_an_evaluation_plays_the_team_that_was_trained(config, finished, tmp_path):
    run_evaluation(config, tmp_path / "eval", run=finished.folder, display=Silent())

    again = RunDirectory(tmp_path / "eval").summary()["after"]
    assert again["accuracy"] == finished.summary()["after"]["accuracy"]
    assert again["cost_per_question"] == finished.summary()["after"]["cost_per_question"]


@pytest.mark.parametrize("answer_rule", ["pending", "plurality", "belief"])
def test_a_believing_team_plays_alike_in_every_loop(small_config, answer_rule):
    config = small_config({**BELIEVING, "dialogue.answer_rule": answer_rule, "dialogue.rounds": 7})
    with build(config) as parts:
        episodes = draw_episodes(parts.task, "test", 0, 12, seed=0, phase="loops")
        trees = expand(episodes, config.rules, parts.speakers, parts.task.grade)
        rules = replace(config.rules, belief=fit_belief(trees, bins=4))
        trees = [tree.under(rules) for tree in trees]
        controller = mixed(Infosets("belief", rules), trees)
        finals = play(trees, controller)
        assert [said(one) for one in rollout(episodes, rules, parts.speakers, controller)] == [*map(said, finals)]
        env = Team(config, parts, controller).env()
        for tree, final in zip(trees, finals, strict=True):
            env.reset(seed=tree.episode.seed, options={"question": final.question, "gold": tree.episode.question.gold})
            paid = {}
            for agent in env.agent_iter():
                observation, reward, terminated, truncated, info = env.last()
                paid[agent] = reward
                env.step(None if terminated or truncated else Team(config, parts, controller).act(observation, info))
            played = env.unwrapped.dialogue
            assert said(played) == said(final)
            assert played.team_answer == final.team_answer
            assert paid["controller_0"] == pytest.approx(config.utility(tree.right(final), final.generated_tokens))


def said(final: Dialogue) -> list[tuple]:
    """Who chose and said what; the last bits of log-probabilities depend on the engine's batches."""
    return [(turn.mode, turn.utterance and (turn.utterance.text, turn.utterance.verdict)) for turn in final.turns]


def mixed(infosets: Infosets, trees) -> TabularController:
    """Speaks with another chance at every infoset."""
    states = [state for tree in trees for state in tree.states.values()]
    met = sorted({infosets.key(state) for state in states if not is_terminal(state) and not is_forced(state)})
    tables = RegretTables.empty().grown(met)
    speak = np.random.default_rng(0).uniform(0.1, 0.9, len(met))
    assert len({key[-1] for key in met}) > 1  # more than one bin is met
    return TabularController(infosets, replace(tables, strategy=np.stack([1 - speak, speak], axis=1)))


def test_the_deployed_controllers_hold_the_belief(config, finished):
    controller = load_controller(finished)

    assert controller.infosets.rules.belief == load_belief(finished.checkpoints.latest())
    with Team.load(finished.folder) as team:
        assert team.env().unwrapped.rules == controller.infosets.rules


def test_a_damaged_belief_is_named(finished, tmp_path):
    checkpoint = tmp_path / "step_3"
    checkpoint.mkdir()
    (checkpoint / "belief.json").write_text('{"intercept": 0}')
    with pytest.raises(RunError, match=r"belief\.json"):
        load_belief(checkpoint)


def test_a_belief_without_frozen_speakers_is_refused(small_config, tmp_path):
    config = small_config({**BELIEVING, "trainer.controller_steps": 0})
    with pytest.raises(ConfigError, match=r"trainer\.controller_steps"):
        run_training(config, tmp_path / "run", resume=False, display=Silent())
    assert not (tmp_path / "run").exists()


def test_validation_questions_judge_the_belief(config, finished):
    belief = load_belief(finished.checkpoints.latest())
    with build(config, weights=finished.checkpoints.latest()) as parts:
        count = config.controllers.validation_questions
        episodes = draw_episodes(parts.task, "validation", 0, count, seed=0, phase="validation")
        trees = expand(episodes, replace(config.rules, belief=belief), parts.speakers, parts.task.grade)
    assert diagnose(belief, trees).as_json()["auroc"] == finished.summary()["belief"]["auroc"]
