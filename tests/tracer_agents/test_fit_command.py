"""``tracer fit`` and ``--dry-run``: from words on the command line to a table."""

import json
import signal
import subprocess
import sys
import threading

import pytest
import yaml

from tracer_agents.cli import main


@pytest.fixture
def words(remote_settings, tmp_path):
    """The settings of the very small model's server as a file, named on the command line."""
    sections = {}
    for dotted, value in remote_settings.items():
        section, _, field = dotted.partition(".")
        sections.setdefault(section, {})[field] = value
    (tmp_path / "settings.yaml").write_text(yaml.safe_dump(sections))
    return ["--config", str(tmp_path / "settings.yaml")]


def test_a_dry_run_asks_for_nothing_and_writes_nothing(words, tmp_path, capsys, model_server):
    money = ["--backend.money_per_million_generated_tokens", "1000"]
    command = ["fit", *words, *money, "--questions", "6", "--out", str(tmp_path / "run"), "--dry-run"]
    assert main(command) == 0
    table = capsys.readouterr().out
    assert [word for word in ("record", "validate", "certify", "vote", "money", "at most") if word not in table] == []
    assert main(["eval", "--model", "m", *words, "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    assert "money: set backend.money_per_million_prompt_tokens" in capsys.readouterr().out
    assert main(["eval", "--model", "tiny", "--out", str(tmp_path / "run"), "--dry-run"]) == 0
    assert "no chat server is asked for anything" in capsys.readouterr().out
    assert model_server.bodies == []
    assert not (tmp_path / "run").exists()


def test_a_fit_stopped_by_its_limit_goes_on_with_a_higher_limit(words, tmp_path, capsys, model_server):
    out, limit = ["--out", str(tmp_path / "run")], "--backend.max_spend_tokens"
    assert main(["fit", *words, "--questions", "3", limit, "2000", *out]) == 1
    assert "backend.max_spend_tokens: 2000 is reached" in capsys.readouterr().err
    assert not (tmp_path / "run" / "summary.json").exists()
    asked = len(model_server.bodies)
    assert main(["fit", "--resume", *out]) == 1
    assert len(model_server.bodies) == asked
    capsys.readouterr()
    assert main(["fit", "--resume", *out, limit, "null"]) == 0
    shown = capsys.readouterr()
    assert "single answer" in shown.out
    assert "completions came, with" in shown.err
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["certificate"]["questions"] == 4
    bodies = [json.dumps(body) for body in model_server.bodies if body["temperature"] > 0]
    assert len(set(bodies)) == len(bodies)


def test_a_fitted_run_is_certified_evaluated_and_not_exported(words, tmp_path, capsys):
    run = str(tmp_path / "run")
    assert main(["fit", *words, "--questions", "3", "--out", run]) == 0
    assert main(["certify", run, "--questions", "3"]) == 0
    assert main(["eval", run, "--limit", "4", "--out", str(tmp_path / "eval")]) == 0
    capsys.readouterr()
    assert main(["export", run, "--out", str(tmp_path / "model")]) == 1
    assert "its speakers were not trained" in capsys.readouterr().err


def test_settings_of_training_are_refused(words, tmp_path, capsys):
    assert main(["fit", *words, "--trainer.steps", "9", "--out", str(tmp_path / "run")]) == 1
    assert "trainer.steps: a fit has 1" in capsys.readouterr().err
    assert main(["fit", *words, "--resume", "--out", str(tmp_path / "none")]) == 1
    assert "no config.yaml, so no run" in capsys.readouterr().err


def _heed_ctrl_c() -> None:
    """A job in the background is started with SIGINT ignored, and what it starts inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_fit_at_once_though_a_server_hangs(words, tmp_path, model_server, number, status):
    asked = threading.Event()
    model_server.say = lambda body: (asked.set(), model_server.released.wait(), "")[-1]
    command = [sys.executable, "-m", "tracer_agents", "fit", *words, "--questions", "3", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=_heed_ctrl_c)
    try:
        assert asked.wait(timeout=300)
        process.send_signal(number)
        message = process.communicate(timeout=120)[1]  # its own deadline is 300 seconds
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == status
    assert f"go on with: tracer fit --resume --out {tmp_path / 'run'}" in " ".join(message.split())
