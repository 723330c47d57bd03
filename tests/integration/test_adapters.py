"""Policies as adapters through the whole command: trained, stopped and resumed, evaluated, certified and played."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tracer_agents.cli import main
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_agents.training.experiment import run_training
from tracer_agents.training.report import StepReport
from tracer_agents.training.stages import Silent

FEW = {
    "trainer.steps": 1, "trainer.controller_steps": 0, "trainer.questions_per_step": 4, "trainer.keep_checkpoints": 2,
    "controllers.exploration": 1.0, "controllers.validation_questions": 2, "credit.group_size": 8,
    "evaluation.questions": 3, "evaluation.certificate_questions": 2, "evaluation.checkpoint_questions": 0,
    "evaluation.greedy": False, "evaluation.baselines": False, "evaluation.bootstrap": 200,
}  # fmt: skip
POLICIES = ("proposer", "reviewer")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def factors(run: Path, step: int, policy: str) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step_{step}" / "adapters" / policy / "adapter_model.safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of the embedded model, a policy for each role."""
    out = tmp_path_factory.mktemp("adapters") / "run"
    settings = {**FEW, "speakers.policy": "per_role", "speakers.lora_rank": 8, "gspo.learning_rate": 1e-3}
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    assert main(["train", "demo-paper", *words, "--seed", "1", "--out", str(out)]) == 0
    return out


def test_training_changes_both_adapters(run):
    for policy in POLICIES:
        before, after = factors(run, 0, policy), factors(run, 1, policy)
        products = [name for name in before if "lora_B" in name]
        assert products
        assert all(before[name].count_nonzero() == 0 for name in products)
        assert any(after[name].count_nonzero() > 0 for name in products)
    row = rows(run / "metrics.jsonl")[-1]
    assert list(row["gspo_by_policy"]) == list(POLICIES)
    checkpoint = {path.name for path in (run / "checkpoints" / "step_1").iterdir()}
    assert "adapters" in checkpoint
    assert not {"model.safetensors", "optimiser.pt"} & checkpoint


def test_the_trained_team_is_the_one_evaluated(run, tmp_path):
    """On the same questions with the same seeds it says what it said at the end of training."""
    assert main(["eval", str(run), "--out", str(tmp_path / "eval")]) == 0
    evaluated, trained = (RunDirectory(folder).records()["after", "team"] for folder in (tmp_path / "eval", run))
    assert evaluated == trained


def test_the_trained_team_is_certified_and_plays(run):
    before = json.loads((run / "certificate.json").read_text())
    assert main(["certify", str(run), "--questions", "2"]) == 0
    assert json.loads((run / "certificate.json").read_text()) == before
    team = Team.load(run)
    assert team.parts.policy.weights.names == POLICIES
    env = team.env()
    env.reset(seed=0)
    for _ in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        env.step(None if terminated or truncated else team.act(observation, info))
    assert env.unwrapped.dialogue.turns[0].utterance.text


class _Stops(Silent):
    """Ends the process, as it were, after a step."""

    def __init__(self, after: int) -> None:
        self._after = after

    def step(self, report: StepReport, steps: int) -> None:
        if report.step == self._after:
            raise KeyboardInterrupt


def test_stopped_and_resumed_it_is_the_run_that_was_never_stopped(small_config, tmp_path):
    config = small_config(
        {"speakers.policy": "per_role", "speakers.lora_rank": 3, "gspo.learning_rate": 1e-2, "gspo.kl": 0.05}
    )
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_training(config, whole, resume=False, display=Silent())
    with pytest.raises(KeyboardInterrupt):
        run_training(config, stopped, resume=False, display=_Stops(3))  # its last checkpoint is of step 2
    run_training(config, stopped, resume=True, display=Silent())
    for one, other in zip(rows(whole / "metrics.jsonl"), rows(stopped / "metrics.jsonl"), strict=True):
        assert one | {"timing": None} == other | {"timing": None}
    assert (whole / "transcripts.jsonl").read_bytes() == (stopped / "transcripts.jsonl").read_bytes()
    for policy in POLICIES:
        for step in (2, 4):
            one, other = factors(whole, step, policy), factors(stopped, step, policy)
            assert all(torch.equal(one[name], other[name]) for name in one)
            assert one.keys() == other.keys()
