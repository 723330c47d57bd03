"""A benchmark killed at ten random moments ends with the records of one that never was."""

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

KILLS = 10
PATIENCE_SECONDS = 600.0
METHODS = ["single", "self_consistency", "best_fixed", "controllers_only", "tracer"]


@pytest.fixture
def plan_file(small_settings, tmp_path) -> Path:
    plan = {
        "settings": {**small_settings, "trainer.steps": 3, "trainer.checkpoint_every": 1},
        "methods": METHODS,
        "tasks": {"easy": {"name": "arithmetic", "options": {"level": "1"}}},
        "train": "harder",
        "train_tasks": {"harder": {"name": "arithmetic", "options": {"level": "2"}}},
        "seeds": [0, 1],
        "questions": 12,
        "fit_questions": 8,
        "validation_questions": 4,
        "votes": 3,
        "chunk": 2,
    }
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump(plan))
    return file


def start(plan: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "run", "--config", plan, "--out", out, "--jobs", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def finish(process: subprocess.Popen[bytes]) -> None:
    _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, stderr.decode()


def size(out: Path) -> int:
    """Bytes of what is recorded, in files that only grow; folders of old checkpoints may go meanwhile."""
    files = (Path(folder) / name for folder, _, names in os.walk(out) for name in names if name.endswith(".jsonl"))
    return sum(path.stat().st_size for path in files)


def kill_when_grown(process: subprocess.Popen[bytes], out: Path, by: int) -> bool:
    """SIGKILLs the process, not its workers, once the records have grown; False if it ended before."""
    before = size(out)
    while size(out) - before < by:
        try:
            process.wait(timeout=0.005)
        except subprocess.TimeoutExpired:
            continue
        break
    killed = process.poll() is None
    if killed:
        process.kill()
    process.communicate()
    return killed


def without_timing(value: Any) -> Any:
    return {name: each for name, each in value.items() if name != "timing"} if isinstance(value, dict) else value


def records(out: Path) -> dict[str, list[Any]]:
    """Every line of every record by file, and every cell's facts, ``timing`` aside."""
    found = {
        str(path.relative_to(out)): [without_timing(json.loads(line)) for line in path.read_text().splitlines()]
        for path in out.rglob("*.jsonl")
    }
    cells = {
        str(path.relative_to(out)): [without_timing(json.loads(path.read_text()))]
        for name in ("cell.json", "summary.json")
        for path in out.rglob(name)
    }
    return {**found, **cells}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills_change_no_record(plan_file, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start(plan_file, whole))
    expected = records(whole)
    assert sum(name.endswith("cell.json") for name in expected) == len(METHODS) * 2

    random, kills = Random(0), 0
    total = size(whole)
    for _ in range(KILLS):
        kills += kill_when_grown(start(plan_file, killed), killed, by=random.randrange(1, 2 * total // KILLS))
    assert kills > KILLS // 2  # the later ones may find everything done
    finish(start(plan_file, killed))
    found = records(killed)
    assert found.keys() == expected.keys()
    for name, lines in expected.items():
        assert found[name] == lines, name
