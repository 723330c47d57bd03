"""What a lent GPU is used for, in pieces that each end in time: ``python -m benchmarks.gpu STAGE …``.

=========  ==========================================================================================================
stage      what it does
=========  ==========================================================================================================
split      here: cuts a GGUF file into pieces that can be carried, with their digests
join       there: joins the pieces that have arrived, refuses others, and makes an ordinary model folder of them
kernels    log-probabilities of left-padded batches of awkward widths against each row alone, with and without the
           padding that the engine adds
speed      generated tokens per second and memory by batch size, and one step of the learner
accuracy   the untrained model on held-out questions: ``tracer eval``
train      ``grpo``: one agent that answers alone; ``tracer``: proposers, reviewers and controllers: ``tracer train``
beliefs    pools of independent proposals with one-token reviews, and every stopping rule and belief on them:
           ``benchmarks pool``, ``benchmarks.studies.beliefs``
=========  ==========================================================================================================

Every stage stops by itself after ``--seconds`` and goes on with the same command: its status is 0 when all is done
and 3 when there is more to do. Figures are in ``OUT/STAGE.json``. Words after ``--`` are settings of ``tracer``.
"""

import argparse
import json
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import torch

from benchmarks.gpu.measure import BATCHES, kernels, speed
from benchmarks.gpu.pieces import PIECE_BYTES, convert, join, split
from tracer_agents.cli import status_of
from tracer_agents.config import Config, load_config
from tracer_agents.config.options import take_settings
from tracer_agents.runs.files import read_json, write_json
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Split

SECONDS = 540  # of a call that may last ten minutes
MORE_TO_DO = 3  # exit status of a stage that stopped in time
_GRACE = 20  # seconds for tracer to end cleanly
METHODS: dict[str, dict[str, Any]] = {
    "grpo": {
        "dialogue.n_agents": 1,
        "dialogue.rounds": 1,
        "gspo.loss": "grpo",
        "controllers.train": False,
        "evaluation.certificate_questions": 0,
        "evaluation.checkpoint_questions": 0,
    },
    "tracer": {"dialogue.rounds": 3, "speakers.policy": "per_role", "trainer.controller_steps": 4},
}
_TRAINING: dict[str, Any] = {
    "speakers.lora_rank": 16,
    "gspo.learning_rate": 2e-5,
    "credit.group_size": 8,
    "trainer.steps": 24,
    "trainer.questions_per_step": 16,
    "trainer.controller_questions_per_step": 32,
    "trainer.checkpoint_every": 2,
    "controllers.validation_questions": 32,
    "evaluation.questions": 200,
}
_POOLS: dict[str, Any] = {
    "task.name": "gsm8k",
    "task.options": {},
    "speakers.review": "verdict",
    "speakers.temperature": 0.7,
    "speakers.proposer_max_new_tokens": 400,
    "seed": 0,
}
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What every stage on the GPU is given: where it writes, when it stops, and the model's settings."""

    out: Path
    deadline: float  # of time.monotonic, seconds
    model: Path
    settings: Mapping[str, Any]  # of tracer, by dotted name

    @property
    def late(self) -> bool:
        """Whether it is time to stop."""
        return time.monotonic() >= self.deadline

    @property
    def words(self) -> list[str]:
        """The settings as words of a command."""
        return [word for name, value in self.settings.items() for word in (f"--{name}", json.dumps(value))]

    @property
    def config(self) -> Config:
        """The settings of the model."""
        further = {"backend.batch_size": max(BATCHES), "gspo.optimiser_steps": 1}
        return load_config(overrides={"speakers.model": str(self.model), **further, **self.settings})


STAGES = {"kernels": kernels, "speed": speed}


def run_stage(stage: str, call: Call) -> bool:
    """Measures what is left of a stage, each figure on disk before the next; returns whether all of it is there."""
    path = call.out / f"{stage}.json"
    report = read_json(path) if path.is_file() else {"figures": {}}
    report = {**about(call), "figures": report["figures"]}
    for name, figures in STAGES[stage](call.config, report["figures"]):
        report["figures"][name] = figures
        write_json(path, report)
        if call.late:
            return False
    return True


def run_tracer(stage: str, call: Call, words: Sequence[str], folder: Path) -> bool:
    """Runs a ``tracer`` command until it ends or it is time; returns whether it ended.

    Raises:
        ConfigError: it failed.
    """
    resumed = ["--resume"] if (folder / "run.json").is_file() else []
    command = [sys.executable, "-m", "tracer_agents", *words, *call.words, "--out", str(folder), *resumed]
    ended = _in_time(command, call)
    metrics, summary = folder / "metrics.jsonl", folder / "summary.json"
    report = {
        **about(call),
        "command": command[2:],
        "steps": [json.loads(row) for row in metrics.read_text("utf-8").splitlines()] if metrics.is_file() else [],
        "summary": read_json(summary) if ended else None,
    }
    write_json(call.out / f"{stage}.json", report)
    return ended


def _in_time(command: Sequence[str], call: Call) -> bool:
    """Runs a command until it ends or it is time; returns whether it ended.

    Raises:
        ConfigError: it failed.
    """
    process = subprocess.Popen(command)
    try:
        status = process.wait(timeout=max(0.0, call.deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        return False
    if status:
        raise ConfigError(f"{command[2]} {command[3]} failed with status {status}; its message stands above")
    return True


def run_beliefs(call: Call, questions: Mapping[Split, int], draws: int) -> bool:
    """Draws the pools of the study of beliefs and makes it; returns whether it ended in time.

    Args:
        call: what every stage is given.
        questions: of each split.
        draws: proposals of each question.

    Raises:
        ConfigError: a command failed.
    """
    pools = call.out / "pools"
    folder = pools / call.model.name / call.config.task.name / f"seed-{call.config.seed}"
    for part, count in questions.items():
        path = folder / f"{part}.jsonl"
        if path.is_file() and len(path.read_text("utf-8").splitlines()) == count + 1:  # with its header
            continue
        counts = ["--questions", str(count), "--draws", str(draws), "--reviews", "1"]
        words = ["benchmarks", "pool", "--split", part, *counts, "--out", str(path)]
        if not _in_time([sys.executable, "-m", *words, *call.words], call):
            return False
    write_json(call.out / "beliefs-about.json", {**about(call), "questions": dict(questions), "draws": draws})
    study = ["benchmarks.studies.beliefs", str(pools), "--rounds", "5", "--json", str(call.out / "beliefs.json")]
    return _in_time([sys.executable, "-m", *study], call)


def about(call: Call) -> dict[str, Any]:
    """The machine and the versions that figures are from."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    versions = {name: metadata.version(name) for name in ("torch", "transformers")}
    return {"device": gpu or platform.processor() or platform.machine(), "model": str(call.model), "versions": versions}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description="What a lent GPU is used for.")
    stages = parser.add_subparsers(dest="stage", required=True)
    command = stages.add_parser("split", help="cut a GGUF file into pieces that can be carried")
    command.add_argument("gguf", type=Path)
    command.add_argument("--into", type=Path, required=True)
    command.add_argument("--piece-bytes", type=int, default=PIECE_BYTES)
    command = stages.add_parser("join", help="join the pieces and make a model folder of them")
    command.add_argument("pieces", type=Path)
    command.add_argument("--model", type=Path, required=True, help="the folder to make")
    for name in ("kernels", "speed", "accuracy", "train", "beliefs"):
        command = stages.add_parser(name)
        if name == "train":
            command.add_argument("method", choices=METHODS)
        if name in ("accuracy", "train", "beliefs"):
            command.add_argument("--data", type=Path, required=True, help="questions to answer, or to train on")
        if name == "beliefs":
            command.add_argument("--test-data", type=Path, required=True, help="questions of the test split")
            command.add_argument("--questions", type=int, nargs=3, default=(400, 200, 500), metavar=SPLITS)
            command.add_argument("--draws", type=int, default=8, help="proposals of each question")
        command.add_argument("--model", type=Path, required=True)
        command.add_argument("--out", type=Path, required=True, help="where results are written")
        command.add_argument("--seconds", type=float, default=SECONDS)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one stage; the status is 0 when it is done, ``MORE_TO_DO`` when the same command goes on with it."""
    words = list(sys.argv[1:] if argv is None else argv)
    place = words.index("--") if "--" in words else len(words)
    given = _parser().parse_args(words[:place])
    settings, others = take_settings(words[place + 1 :])
    if others:
        raise ConfigError(f"{others[0]!r} is no setting of tracer; settings are given as --section.field VALUE")
    if given.stage == "split":
        pieces = split(given.gguf, given.into, given.piece_bytes)
        sys.stdout.write("".join(f"{piece}\n" for piece in pieces))
        return 0
    if given.stage == "join":
        gguf = given.model.with_name(given.model.name + ".gguf")
        missing = [] if gguf.is_file() else join(given.pieces, gguf)
        if not missing and not given.model.is_dir():
            convert(gguf, given.model)
        sys.stdout.write(f"missing: {', '.join(missing)}\n" if missing else f"{given.model}\n")
        return MORE_TO_DO if missing else 0
    deadline = time.monotonic() + given.seconds
    call = Call(out=given.out, deadline=deadline, model=given.model, settings=settings)
    call.out.mkdir(parents=True, exist_ok=True)
    return 0 if _ended(given, call) else MORE_TO_DO


def _ended(given: argparse.Namespace, call: Call) -> bool:
    if given.stage in STAGES:
        return run_stage(given.stage, call)
    if given.stage == "accuracy":
        words = ["eval", "--model", str(call.model), "--task", "gsm8k", "--data", str(given.data)]
        call = _with(call, {"dialogue.n_agents": 1, "dialogue.rounds": 1, "evaluation.baselines": False})
        return run_tracer("accuracy", call, words, call.out / "accuracy")
    if given.stage == "beliefs":
        files = {"task.data": str(given.data), "task.eval_data": str(given.test_data)}
        call = _with(call, {**_POOLS, **files, "speakers.model": str(call.model)})
        return run_beliefs(call, dict(zip(SPLITS, given.questions, strict=True)), given.draws)
    words = ["train", "--task", "gsm8k", "--data", str(given.data)]
    call = _with(call, {"speakers.model": str(call.model), **_TRAINING, **METHODS[given.method]})
    return run_tracer(f"train-{given.method}", call, words, call.out / given.method)


def _with(call: Call, settings: Mapping[str, Any]) -> Call:
    """The call with further settings, which those that were given replace."""
    return replace(call, settings={**settings, **call.settings})


if __name__ == "__main__":
    sys.exit(status_of(main))
