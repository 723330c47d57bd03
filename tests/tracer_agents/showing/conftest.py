"""A real small run that people read and play with."""

from pathlib import Path

import pytest

from tracer_agents.cli import main

BRIEF = {
    "trainer.steps": 1,
    "trainer.controller_steps": 0,
    "trainer.questions_per_step": 1,
    "controllers.validation_questions": 1,
    "evaluation.questions": 12,
    "evaluation.greedy": "false",
    "evaluation.certificate_questions": 2,
    "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 100,
}


@pytest.fixture(scope="session")
def run(tmp_path_factory) -> Path:
    """A finished training run of the embedded model, whose controllers have hardly learned: they often toss a coin."""
    out = tmp_path_factory.mktemp("shown") / "run"
    options = [word for name, value in BRIEF.items() for word in (f"--{name}", str(value))]
    assert main(["train", "demo-paper", "--out", str(out), *options]) == 0
    return out
