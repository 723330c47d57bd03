"""Kills what a training depends on, again and again, and counts what was lost.

    python -m benchmarks.studies.kills ranks --out DIR
    python -m benchmarks.studies.kills servers --python .venv-sglang/bin/python --out DIR

*ranks*: a training over two processes by ``torchrun``, of which one, rank 0 or 1, is killed with SIGKILL at random; the
run is resumed each time, and must end with the transcripts and the weights of one that nobody disturbed. *servers*: a
training beside a real SGLang server on the CPU that is killed while prompts are in flight and started anew each time;
every step must have learned from completions of its own weights alone, and every question must have been answered.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from safetensors.numpy import load_file

from tracer_agents.build import TINY
from tracer_agents.cli import status_of
from tracer_agents.config import load_config
from tracer_agents.generation.sglang.server import Server, ServerSpec, find_python, watch
from tracer_agents.generation.sglang.wire import Worker
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent
from tracer_env.errors import DataError

SETTINGS: dict[str, Any] = {
    "trainer.questions_per_step": 4,
    "trainer.controller_questions_per_step": 8,
    "trainer.controller_steps": 0,
    "trainer.checkpoint_every": 1,
    "controllers.validation_questions": 4,
    "evaluation.questions": 12,
    "evaluation.baselines": False,
    "evaluation.greedy": False,
    "evaluation.certificate_questions": 0,
    "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 100,
    "speakers.device": "cpu",
}
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
TRAIN = (*TORCHRUN, "-m", "tracer_agents", "train")
LONGEST_SECONDS = 3.0  # after a step, before a rank is killed


def ranks(out: Path, kills: int) -> dict[str, Any]:
    """What ten killed ranks, or so many, cost a training."""
    words = [f"--{name}={json.dumps(value)}" for name, value in SETTINGS.items()]
    begin = [*TRAIN, "demo-paper", *words, f"--trainer.steps={2 * kills}"]
    whole, killed = out / "whole", out / "killed"
    _finish([*begin, "--out", str(whole)])
    random = Random(0)
    command, done = [*begin, "--out", str(killed)], []
    while len(done) < kills and not (killed / "summary.json").exists():
        done += _killed_once(command, killed, random)
        if (killed / "config.yaml").exists():
            command = [*TRAIN, "--resume", "--out", str(killed)]
    _finish(command)
    return {"kills": done, "same": _same(whole, killed)}


def _killed_once(command: Sequence[str], run: Path, random: Random) -> list[dict[str, Any]]:
    """Starts, and kills a rank once both are at work; nothing, if the run ended before."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    rank, more, begun = random.randrange(2), random.randrange(3), _steps(run)
    while process.poll() is None and _steps(run) < begun + more:  # in a later step, in the first or before it
        time.sleep(0.02)
    victim = 0
    while process.poll() is None and not victim:
        victim = _process_of(process.pid, rank)
        time.sleep(0.02)
    try:
        process.wait(timeout=random.uniform(0.0, LONGEST_SECONDS))
    except subprocess.TimeoutExpired:
        os.kill(victim, signal.SIGKILL)
        if process.wait() == 0:
            raise DataError(f"{run}: rank {rank} was killed, and the run ended as if nothing had been") from None
        return [{"rank": rank, "steps": _steps(run)}]
    if process.returncode:
        raise DataError(f"{' '.join(command)} ended with status {process.returncode} before anybody was killed")
    return []


def _steps(run: Path) -> int:
    """How many steps are on disk."""
    file = run / "metrics.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def _process_of(torchrun: int, rank: int) -> int:
    """The process that torchrun has started as this rank; 0: none yet."""
    children = Path(f"/proc/{torchrun}/task/{torchrun}/children").read_text().split()
    for child in map(int, children):
        if f"\0RANK={rank}\0".encode() in Path(f"/proc/{child}/environ").read_bytes():
            return child
    return 0


def _finish(command: Sequence[str]) -> None:
    ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if ended.returncode:
        raise DataError(f"{' '.join(command)}: {ended.stderr[-500:]}")


def _same(run: Path, other: Path) -> dict[str, bool]:
    """Whether two runs have the same transcripts, and the same weights after the last step."""
    files = [folder / "transcripts.jsonl" for folder in (run, other)]
    steps = [
        max(int(path.name.removeprefix("step_")) for path in (each / "checkpoints").iterdir()) for each in (run, other)
    ]
    mine, theirs = (
        load_file(each / "checkpoints" / f"step_{step}" / "model.safetensors")
        for each, step in zip((run, other), steps, strict=True)
    )
    same = mine.keys() == theirs.keys() and all((mine[name] == theirs[name]).all() for name in mine)
    return {
        "transcripts": files[0].read_bytes() == files[1].read_bytes(),
        "weights": bool(same) and len(set(steps)) == 1,
    }


def servers(out: Path, kills: int, python: Path | None) -> dict[str, Any]:
    """What ten killed servers, or so many, cost a training."""
    out.mkdir(parents=True, exist_ok=True)
    spec = ServerSpec(model=str(TINY), python=find_python(python), device="cpu", port=31977)
    config = load_config(
        preset="demo-paper",
        overrides={**SETTINGS, "backend.name": "sglang", "backend.url": spec.url, "trainer.steps": 2 * kills},
    )
    with (out / "server.txt").open("wb") as log:
        server = Server(spec, log)
        states = watch(server, restarts=kills)
        next(states)
        watcher = threading.Thread(target=lambda: [*zip(range(2 * kills), states, strict=False)], daemon=True)
        watcher.start()
        done = _with_kills(lambda: run_training(config, out / "run", resume=False, display=Silent()), server, kills)
        server.stop()
    rows = RunDirectory(out / "run").metrics()
    return {
        "kills": done,
        "versions": [row["policy_version"] for row in rows],
        "failed_questions": sum(len(row["failed_questions"]) for row in rows),
        "failed_candidates": sum(row["failed_candidates"] for row in rows),
        "engine_logp_difference_max": max(row["gspo"]["engine_logp_difference_max"] for row in rows if row["gspo"]),
        "dialogues_after": len(RunDirectory(out / "run").records()["after", "team"]),
    }


def _with_kills(train: Any, server: Server, kills: int) -> list[int]:
    """Trains; kills the server at random ones of the calls, and returns which."""
    complete, random, lock = Worker.complete, Random(0), threading.Lock()
    asked, due, done = [0], [random.randrange(5, 60)], list[int]()

    def watched(worker: Worker, order: Any) -> Any:
        with lock:
            asked[0] += 1
            if len(done) < kills and asked[0] >= due[0] and server.pid is not None:
                done.append(asked[0])
                due[0] = asked[0] + random.randrange(60, 160)
                os.kill(server.pid, signal.SIGKILL)
        return complete(worker, order)

    with patch.object(Worker, "complete", watched):
        train()
    return done


def main() -> None:
    """Prints what was seen as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("ranks", "servers"))
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--python", type=Path, help="of an environment with SGLang; by default it is looked for")
    parser.add_argument("--out", type=Path, required=True, help="a new folder")
    options = parser.parse_args()
    if options.what == "ranks":
        seen = ranks(options.out, options.kills)
    else:
        seen = servers(options.out, options.kills, options.python)
    print(json.dumps(seen))


if __name__ == "__main__":
    sys.exit(status_of(main))
