"""A training by ``torchrun``: the run of one process but for rounding, and a process that is killed ends it cleanly."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

STEPS = 4
PATIENCE_SECONDS = 300.0  # of one run: far more than it needs
SETTINGS = {
    "trainer.steps": STEPS,
    "trainer.questions_per_step": 4,
    "trainer.controller_questions_per_step": 8,
    "trainer.checkpoint_every": 1,
    "controllers.validation_questions": 4,
    "evaluation.questions": 6,
    "evaluation.baselines": "false",
    "evaluation.certificate_questions": 0,
    "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 100,
    "speakers.device": "cpu",
}
BEGIN = ["demo-paper", *(word for name, value in SETTINGS.items() for word in (f"--{name}", str(value)))]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds processes by /proc"),
]


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in path.read_text().splitlines()]


def start(*arguments: str | Path, processes: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, *(TORCHRUN if processes > 1 else []), "-m", "tracer_agents", "train", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr.decode()


def follower_of(torchrun: subprocess.Popen[bytes]) -> int:
    """The process that torchrun has started as rank 1."""
    children = Path(f"/proc/{torchrun.pid}/task/{torchrun.pid}/children").read_text().split()
    [follower] = [int(pid) for pid in children if b"\0RANK=1\0" in Path(f"/proc/{pid}/environ").read_bytes()]
    return follower


def kill_follower_when(process: subprocess.Popen[bytes], metrics: Path, steps: int, delay_seconds: float) -> str:
    """SIGKILLs rank 1 a little after ``steps`` steps; returns what the run said at its end."""
    waited = 0.0
    while lines(metrics) < steps:
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.02)
        waited += 0.02
        assert waited < PATIENCE_SECONDS, "the run does not get on"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(timeout=delay_seconds)
    os.kill(follower_of(process), signal.SIGKILL)
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode not in (0, None)
    return stderr.decode()


def weights(run: Path, step: int) -> dict[str, torch.Tensor]:
    return load_file(run / "checkpoints" / f"step_{step}" / "model.safetensors")


def assert_same_run(run: Path, other: Path) -> None:
    """But for rounding."""
    mine, theirs = rows(run / "metrics.jsonl"), rows(other / "metrics.jsonl")
    assert [row["step"] for row in mine] == [row["step"] for row in theirs] == list(range(1, STEPS + 1))
    for row, twin in zip(mine, theirs, strict=True):
        assert (row["gspo"] is None) == (twin["gspo"] is None)
        if row["gspo"] is not None:
            for name in ("sequences", "tokens", "optimiser_steps", "loss", "gradient_norm"):
                assert row["gspo"][name] == pytest.approx(twin["gspo"][name], rel=1e-3, abs=1e-5), name
    last, twin = weights(run, STEPS), weights(other, STEPS)
    assert last.keys() == twin.keys()
    assert all(torch.allclose(last[name], twin[name], atol=1e-5) for name in last)
    assert (run / "summary.json").is_file()
    assert (other / "summary.json").is_file()


def test_two_processes_make_the_run_of_one(tmp_path):
    finish(start(*BEGIN, "--out", tmp_path / "one", processes=1))
    finish(start(*BEGIN, "--out", tmp_path / "two", processes=2))
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize("delay_seconds", [0.0, 0.7])
def test_a_killed_follower_ends_the_run_and_either_number_goes_on(tmp_path, delay_seconds):
    run, copy = tmp_path / "run", tmp_path / "copy"
    process = start(*BEGIN, "--out", run, processes=2)
    output = kill_follower_when(process, run / "metrics.jsonl", 1, delay_seconds)
    assert f"tracer train --resume --out {run}" in output or "go on with train --resume" in output
    assert lines(run / "metrics.jsonl") < STEPS
    assert not (run / "summary.json").exists()
    assert not list((run / "checkpoints").glob(".*"))  # nothing half-written

    shutil.copytree(run, copy)
    finish(start("--resume", "--out", run, processes=1))
    finish(start("--resume", "--out", copy, processes=2))
    assert_same_run(run, copy)


def test_what_is_wrong_is_said_by_the_leader(tmp_path):
    process = start(*BEGIN, "--credit.train", "false", "--out", tmp_path / "run", processes=2)
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert stderr.decode().count("2 processes have nothing to share") == 1
