"""Every run ends with its page, and a page that cannot be written loses no run."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training import experiment
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent

BRIEF = {
    "trainer.steps": 1,
    "trainer.controller_steps": 1,
    "evaluation.questions": 2,
    "evaluation.greedy": False,
    "evaluation.baselines": False,
    "evaluation.checkpoint_questions": 0,
}


class Notes(Silent):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.fixture
def config(small_settings):
    return load_config(overrides={**small_settings, **BRIEF})


def test_a_training_ends_with_its_page(config, tmp_path):
    display = Notes()
    run_training(config, tmp_path / "run", resume=False, display=display)
    html = (tmp_path / "run" / "report.html").read_text("utf-8")
    assert "<h1>run</h1>" in html
    assert '"key": "trees"' in html  # both branches, from the certificate
    assert all(text.startswith("curves while it works") for text in display.texts)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("accuracy")])
def test_a_page_that_cannot_be_written_loses_no_run(config, tmp_path, monkeypatch, error):
    def fails(*_):
        raise error

    monkeypatch.setattr(experiment, "write_report", fails)
    display = Notes()
    summary = run_training(config, tmp_path / "run", resume=False, display=display)
    assert RunDirectory(tmp_path / "run").summary()["after"]["accuracy"] == summary.after.accuracy
    [_, note] = display.texts  # the first says how to look at curves
    assert "not written" in note
    assert f"tracer report {tmp_path / 'run'} --out" in note
