"""A run killed at any moment and resumed is the run that was never killed, bit for bit."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from tracer_agents.config import dump_config

STEPS = 6
PATIENCE_SECONDS = 300.0  # of one process: far more than it needs


@pytest.fixture
def settings_file(small_config, tmp_path) -> Path:
    config = small_config({"trainer.steps": STEPS, "trainer.controller_steps": 2, "controllers.play": "validated"})
    file = tmp_path / "settings.yaml"
    file.write_text(dump_config(config))
    return file


def start(*arguments: str | Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tracer_agents", "train", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr.decode()


def kill_when(process: subprocess.Popen[bytes], ready: Callable[[], bool], delay_seconds: float) -> bool:
    """SIGKILLs the process a little after ``ready()``; False if it ended before."""
    waited = 0.0
    while not ready():
        try:
            process.wait(timeout=0.01)
        except subprocess.TimeoutExpired:
            waited += 0.01
            assert waited < PATIENCE_SECONDS, "the run does not get on"
        else:
            break
    try:
        process.wait(timeout=delay_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()
    assert process.returncode in (0, -9)
    return process.returncode == -9


def lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def same(a: Any, b: Any) -> bool:
    """Equality bit for bit of nested containers, arrays and tensors."""
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


def assert_same_run(killed: Path, whole: Path) -> None:
    def metrics(run: Path) -> list[dict[str, Any]]:
        return [without(row, "timing") for row in rows(run / "metrics.jsonl")]

    assert metrics(killed) == metrics(whole)
    assert [row["step"] for row in metrics(killed)] == list(range(1, STEPS + 1))
    assert (killed / "transcripts.jsonl").read_bytes() == (whole / "transcripts.jsonl").read_bytes()
    summaries = [
        without(json.loads((run / "summary.json").read_text()), "train_seconds", "stage_seconds")
        for run in (killed, whole)
    ]
    assert summaries[0] == summaries[1]
    assert (killed / "certificate.json").read_bytes() == (whole / "certificate.json").read_bytes()
    assert (killed / "trees.jsonl").read_bytes() == (whole / "trees.jsonl").read_bytes()
    checkpoints = sorted(path.name for path in (killed / "checkpoints").glob("step_*"))
    assert checkpoints == sorted(path.name for path in (whole / "checkpoints").glob("step_*"))
    assert f"step_{STEPS}" in checkpoints
    for name in checkpoints:
        mine, theirs = killed / "checkpoints" / name, whole / "checkpoints" / name
        for file in ("model.safetensors", "state.json"):
            assert (mine / file).read_bytes() == (theirs / file).read_bytes(), f"{name}/{file}"
        optimisers = [torch.load(folder / "optimiser.pt", weights_only=True) for folder in (mine, theirs)]
        assert same(*optimisers), name
        files = sorted(path.name for path in mine.iterdir())
        assert files == sorted(path.name for path in theirs.iterdir())
        tables = [file for file in files if file.endswith(".npz")]
        assert "controllers.npz" in tables
        for file in tables:
            with np.load(mine / file) as a, np.load(theirs / file) as b:
                assert a.files == b.files
                assert all(np.array_equal(a[table], b[table]) and a[table].dtype == b[table].dtype for table in a)


def assert_something_was_learned(run: Path) -> None:
    """Equal runs prove little if weights and regrets never move."""
    trained = [row["gspo"] for row in rows(run / "metrics.jsonl") if row["gspo"]]
    assert any(gspo["gradient_norm"] > 0 and gspo["ratio_max_deviation"] > 0 for gspo in trained)
    assert rows(run / "metrics.jsonl")[-1]["infosets"] > 4


def moments(out: Path) -> dict[str, Callable[[], bool]]:
    """Where a run can be caught."""
    metrics, transcripts = out / "metrics.jsonl", out / "transcripts.jsonl"
    evaluated = lines  # before: 6 dialogues sampled and 6 greedy
    return {
        "settings written": (out / "config.yaml").exists,
        "measuring before": lambda: evaluated(transcripts) > 0,
        **{f"step {step}": lambda step=step: lines(metrics) >= step for step in range(1, STEPS + 1)},
        "measuring after": lambda: lines(metrics) >= STEPS and evaluated(transcripts) > 12,
    }


def killed_and_resumed(settings_file: Path, out: Path, plan: list[tuple[str, float]]) -> int:
    """Runs to the end through all the kills of the plan; returns how many processes were killed at work."""
    kills, arguments = 0, ["--config", settings_file]
    for moment, delay in plan:
        kills += kill_when(start(*arguments, "--out", out), moments(out)[moment], delay)
        arguments = ["--resume"]
    finish(start(*arguments, "--out", out))
    return kills


def test_killed_in_every_stage(settings_file, tmp_path):
    rng = Random(0)
    whole = start("--config", settings_file, "--out", tmp_path / "whole")
    plan = [("measuring before", rng.random() / 5), ("step 1", rng.random() / 2), ("step 3", rng.random() / 2),
            ("measuring after", rng.random() / 5)]  # fmt: skip
    kills = killed_and_resumed(settings_file, tmp_path / "killed", plan)
    finish(whole)
    assert kills >= 3
    assert_something_was_learned(tmp_path / "whole")
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_many_moments(settings_file, tmp_path, seed):
    rng = Random(seed)
    finish(start("--config", settings_file, "--out", tmp_path / "whole"))
    names = [*moments(tmp_path), *rng.choices([*moments(tmp_path)], k=5)]
    plan = [(name, rng.expovariate(4.0)) for name in sorted(names, key=[*moments(tmp_path)].index)]
    assert killed_and_resumed(settings_file, tmp_path / "killed", plan) >= 6
    assert_same_run(tmp_path / "killed", tmp_path / "whole")
