"""The comparison of two runs: it sees a changed bit, and no wall time."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

SCRIPT = Path(__file__).parents[2] / "scripts" / "same_run.py"


def write_run(
    folder: Path, *, weight: float = 1.0, adapter: float = 1.0, seconds: float = 1.0, accuracy: float = 0.5
) -> Path:
    checkpoint = folder / "checkpoints" / "step_2"
    adapters = checkpoint / "adapters" / "proposer"
    adapters.mkdir(parents=True)
    save_file({"w": np.array([weight], dtype=np.float32)}, checkpoint / "model.safetensors")
    save_file({"w": np.array([adapter], dtype=np.float32)}, adapters / "adapter_model.safetensors")
    for name in ("controllers.npz", "regret.npz"):
        np.savez(checkpoint / name, table=np.zeros(2))
    row = {"step": 1, "accuracy": accuracy, "timing": {"expand": seconds}}
    (folder / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "transcripts.jsonl").write_text(json.dumps({"turns": [{"round": 1}]}) + "\n")
    return folder


@pytest.mark.parametrize(
    ("changed", "status"),
    [({"seconds": 2.0}, 0), ({"weight": 1.0000001}, 1), ({"adapter": 1.0000001}, 1), ({"accuracy": 0.25}, 1)],
)
def test_runs_are_the_same_up_to_wall_times(tmp_path, changed, status):
    before, after = write_run(tmp_path / "before"), write_run(tmp_path / "after", **changed)

    done = subprocess.run([sys.executable, SCRIPT, before, after], capture_output=True, text=True, check=False)

    assert done.returncode == status, done.stderr
    assert ("DIFFERENT" in done.stdout) == bool(status)
