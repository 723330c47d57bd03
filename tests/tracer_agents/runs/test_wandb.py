"""Weights & Biases, by a module that does what it does."""

import importlib
import sys
from contextlib import contextmanager
from typing import Any

import pytest

from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.runs.wandb import WandbLog
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent


class Wandb:
    """Notes what it is asked for, as a module and as its run."""

    def __init__(self) -> None:
        self.begun: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished: list[int] = []

    def init(self, **arguments: Any) -> "Wandb":
        self.begun.append(arguments)
        return self

    def log(self, figures: dict[str, Any], *, step: int) -> None:
        self.logged.append((step, figures))

    def finish(self, *, exit_code: int) -> None:
        self.finished.append(exit_code)

    def Html(self, text: str) -> str:
        return text


def test_figures_settings_and_dialogues_are_sent(tmp_path):
    wandb = Wandb()
    rows = [{"step": 1, "accuracy": 0.5}]
    with WandbLog.open(tmp_path / "run", {"seed": 3}, rows, module=wandb) as log:
        log.add({"step": 2, "accuracy": 0.75, "gspo": {"loss": 1.5}})
        log.show(2, "<script>")

    [begun] = wandb.begun
    assert begun["config"] == {"seed": 3}
    assert (begun["mode"], begun["resume"], begun["name"]) == ("online", "allow", "run")
    assert begun["dir"] == str(tmp_path / "run")
    assert wandb.logged == [
        (1, {"team/accuracy": 0.5}),
        (2, {"team/accuracy": 0.75, "learning/loss": 1.5}),
        (2, {"dialogues/played": "<pre>&lt;script&gt;</pre>"}),
    ]
    assert wandb.finished == [0]


def test_a_resumed_run_goes_on_in_the_same_one_and_another_does_not(tmp_path):
    wandb = Wandb()
    for name in ("a", "a", "b"):
        with WandbLog.open(tmp_path / name, {}, [], module=wandb, offline=True):
            pass
    first, again, other = (begun["id"] for begun in wandb.begun)
    assert first == again != other
    assert {begun["mode"] for begun in wandb.begun} == {"offline"}


def test_a_run_that_failed_is_marked_as_failed(tmp_path):
    wandb = Wandb()
    with pytest.raises(RuntimeError, match="boom"), WandbLog.open(tmp_path, {}, [], module=wandb):
        raise RuntimeError("boom")
    assert wandb.finished == [1]


def test_without_the_package_a_run_is_refused_before_any_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    out = tmp_path / "run"

    assert main(["train", "demo", "--log", "wandb", "--out", str(out)]) == 1
    assert "wandb is not installed here; pip install wandb, or leave --log out" in capsys.readouterr().err
    assert not out.exists()


def test_the_command_hands_the_installed_package_on(tmp_path, monkeypatch):
    opened: list[Any] = []
    monkeypatch.setitem(sys.modules, "wandb", Wandb())
    monkeypatch.setattr(
        "tracer_agents.training.experiment.run_training", lambda config, out, **given: opened.append(given)
    )
    monkeypatch.setattr("tracer_agents.training.terminal.print_summary", lambda summary, out: None)

    with pytest.raises(AttributeError):  # the stand-in returns no summary
        main(["train", "demo", "--log", "wandb-offline", "--out", str(tmp_path / "run")])

    [given] = opened
    [open_log] = given["logs"]
    wandb = importlib.import_module("wandb")
    with open_log(tmp_path / "run", {}, []):
        pass
    assert wandb.begun[0]["mode"] == "offline"


def test_training_tells_every_log_each_step_and_a_dialogue_of_it(tmp_path):
    heard: list[Any] = []

    class Log:
        def add(self, row):
            heard.append(("figures", row["step"], row["truncation_rate"], row["speak_rate_by_role"]))

        def show(self, step, dialogue):
            heard.append(("dialogue", step, dialogue))

    @contextmanager
    def open_log(folder, settings, rows):
        heard.append(("begun", folder, settings["seed"], rows))
        yield Log()
        heard.append(("ended",))

    brief = {
        "seed": 4, "trainer.steps": 1, "trainer.controller_steps": 0, "trainer.questions_per_step": 2,
        "controllers.validation_questions": 1, "evaluation.questions": 2, "evaluation.baselines": False,
        "evaluation.greedy": False, "evaluation.certificate_questions": 0, "evaluation.checkpoint_questions": 0,
        "evaluation.bootstrap": 100,
    }  # fmt: skip
    config = load_config(preset="demo-paper", overrides=brief)
    notes: list[str] = []

    class Display(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    run_training(config, tmp_path / "run", resume=False, display=Display(), logs=[open_log])

    assert heard[0] == ("begun", tmp_path / "run", 4, [])
    assert heard[1][:2] == ("figures", 1)
    assert 0 <= heard[1][2] <= 1
    assert set(heard[1][3]) == {"proposer", "reviewer"}
    assert heard[2][2].startswith("Question: ")
    assert heard[2][2].splitlines()[-1] in ("right", "wrong")
    assert heard[3:] == [("ended",)]
    assert any(f"tensorboard --logdir {tmp_path / 'run' / 'tb'} (file://" in note for note in notes)
