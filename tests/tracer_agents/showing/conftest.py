"""A real small run that people read and play with."""

from pathlib import Path

import pytest

from tracer_agents.cli import main
from tracer_agents.config import dump_config, load_config


@pytest.fixture(scope="session")
def run(small_settings, tmp_path_factory) -> Path:
    """A finished training run of the very small model."""
    folder = tmp_path_factory.mktemp("shown")
    brief = {"trainer.steps": 1, "trainer.controller_steps": 0, "evaluation.questions": 12}
    (folder / "small.yaml").write_text(dump_config(load_config(overrides={**small_settings, **brief})))
    assert main(["train", "--config", str(folder / "small.yaml"), "--out", str(folder / "run")]) == 0
    return folder / "run"
