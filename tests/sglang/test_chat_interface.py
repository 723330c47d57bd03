"""A real SGLang server through its OpenAI interface: the same model says the same, and controllers are fitted on it."""

import numpy as np
import pytest

from tracer_agents.config import load_config
from tracer_agents.generation.probe import PolicyProbe
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.speakers.model import View
from tracer_agents.team import Team
from tracer_agents.training.fit import fit_settings, run_fit
from tracer_agents.training.stages import Silent
from tracer_env.dialogue import FinishReason, Role

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]


@pytest.fixture
def remote(server, tmp_path):
    """Settings in which the server's chat interface speaks for everybody."""
    return {
        "dialogue.rounds": 3,
        "speakers.model": "tiny",
        "backend.name": "openai",
        "backend.url": f"{server.spec.url}/v1",
        "backend.cache": str(tmp_path / "completions"),
        "controllers.validation_questions": 4,
        "evaluation.questions": 8,
        "evaluation.certificate_questions": 4,
        "evaluation.bootstrap": 200,
    }


def _views(parts, count: int) -> list[View]:
    questions = parts.task.draw("train", 0, count, seed=0)
    return [
        View(role=Role.PROPOSER, question=question.text, solution=None, review=None, seed=row)
        for row, question in enumerate(questions)
    ]


def test_its_log_probabilities_and_tokens_are_those_of_the_model(remote, built):
    """Texts are encoded again, which gives this model's tokens back; the end token is the one more that is counted."""
    parts, local = built(load_config(overrides=remote)), built(load_config(overrides={"speakers.model": "tiny"}))
    views = _views(parts, 24)
    utterances = parts.training_speakers.complete(views)
    tokenizer = local.policy.tokenizer
    probe = PolicyProbe(local.policy.weights, "shared", tokenizer)
    differences, compared = [], 0
    for view, utterance in zip(views, utterances, strict=True):
        assert utterance.finish_reason is FinishReason.STOP
        assert utterance.counted
        prompt, ids = local.speakers.prompt_ids(view), tuple(tokenizer.encode(utterance.text, add_special_tokens=False))
        assert utterance.prompt_tokens == len(prompt)
        assert utterance.generated_tokens == len(ids) + 1
        [scores] = probe.score([(prompt, ids)], 1.0)
        compared += len(ids)
        differences += [abs(a - b) for a, b in zip(utterance.logps, scores.logp, strict=False)]
    assert compared > 200
    assert np.mean(differences) <= 1e-4


def test_greedy_answers_are_those_of_the_engine_in_this_process(remote, built):
    parts, local = built(load_config(overrides=remote)), built(load_config(overrides={"speakers.model": "tiny"}))
    views = _views(parts, 24)
    pairs = zip(parts.greedy_speakers.complete(views), local.greedy_speakers.complete(views), strict=True)
    assert sum(there.text == here.text for there, here in pairs) >= 23  # a tie in the last bit may fall either way


def test_the_gate_says_what_the_server_gives(remote, built):
    checks = {check.name: check.status for check in built(load_config(overrides=remote)).gate()}
    assert checks["answers"] == checks["tokens are counted"] == checks["log-probabilities"] == "passed"


def test_controllers_are_fitted_on_it_and_resume_to_the_same_end(remote, tmp_path):
    config = fit_settings(load_config(overrides=remote), remote, 8)
    run_fit(config, tmp_path / "run", resume=False, display=Silent())
    summary = RunDirectory(tmp_path / "run").summary()
    assert summary["after"]["accuracy"] > 0.1
    assert summary["certificate"]["questions"] == 4
    run_fit(config, tmp_path / "run", resume=True, display=Silent())
    again = RunDirectory(tmp_path / "run").summary()
    assert (again["after"], again["baselines"]) == (summary["after"], summary["baselines"])
    with Team.load(tmp_path / "run") as team:
        assert team.parts.remote


def test_one_member_may_be_behind_the_server(remote, built, server):
    engine = {"name": "openai", "url": f"{server.spec.url}/v1", "cache": remote["backend.cache"]}
    members = [{"model": "tiny"}, {"model": "tracer", "style": "tiny", "backend": engine, "train": False}]
    parts = built(load_config(overrides={"speakers.members": members, "dialogue.rounds": 3}))
    solution = View(role=Role.REVIEWER, agent=1, question="1 + 1?", solution="#### 2", review=None, seed=1)
    first, second = parts.speakers.complete([*_views(parts, 1), solution])
    assert hasattr(first, "generation")
    assert second.logps
