"""Our learner beside TRL's ``GRPOTrainer``: ``python -m benchmarks.peers.trl --python PYTHON_WITH_TRL --json FILE``.

Both take the gradient of the same loss on the same completions with the same weights, one thread, each in a process of
its own: TRL in the environment that ``make venv-trl`` builds. Timed are the scoring of the completions before the step,
the loss and the backward pass, in CPU time; generation is not. TRL is tried with several settings first, and the
fastest is compared; ``tokens_per_second_ratio_unscored`` is that of both without the scoring, which neither does where
a batch is one optimiser step. ``gradient_difference`` is the norm of the difference over TRL's.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from benchmarks.peers.figures import asked, publish, spread
from benchmarks.peers.learner import gradient_of, random_model, random_samples
from tracer_agents.build import TINY
from tracer_agents.cli import status_of
from tracer_agents.config import ObjectiveName
from tracer_agents.learners.batches import Sample
from tracer_env.dialogue import Role

SCHEMA_VERSION = 1
SCRIPT = Path(__file__).with_name("trl_step.py")
CLIP = {"gspo": (3e-4, 4e-4), "grpo": (0.2, 0.2)}
KERNELS = ("sdpa", "eager")
REMEDY = "build an environment with TRL by make venv-trl, and name its .venv-trl/bin/python"

Figures = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How TRL computes."""

    kernel: str  # of attention
    batch: int  # sequences in a forward pass
    checkpointing: bool = False

    @property
    def words(self) -> list[str]:
        """As arguments of its script."""
        return ["--kernel", self.kernel, "--batch", str(self.batch), *["--checkpointing"] * self.checkpointing]

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.kernel}, {self.batch} sequences" + ", gradient checkpointing" * self.checkpointing


def settings(rows: int) -> list[Setting]:
    """Those that TRL is tried with on a minibatch of ``rows``: the last one for the least memory."""
    batches = [batch for batch in (2, 8, 16) if batch <= rows and rows % batch == 0] or [rows]
    tried = [Setting(kernel=kernel, batch=batch) for kernel in KERNELS for batch in batches]
    return [*tried, Setting(kernel="sdpa", batch=batches[0], checkpointing=True)]


class Contest:
    """The two contenders on one minibatch, in a folder.

    Args:
        folder: where weights, samples and gradients go.
        options: the command's.
    """

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self._folder = folder
        self._options = options
        model = random_model(options.model)
        model.save_pretrained(folder / "model")
        samples = random_samples(options, model.config.vocab_size)
        rows = [
            {"prompt_ids": each.prompt_ids, "output_ids": each.output_ids, "advantage": each.advantage}
            for each in samples
        ]
        groups = [rows[first : first + options.size] for first in range(0, len(rows), options.size)]
        (folder / "samples.json").write_text(json.dumps(groups), "utf-8")
        self.rows = len(rows)

    def ours(self, *, scored: bool) -> dict[str, Any]:
        """One step of ours."""
        words = ["--way", str(self._folder), "--loss", self._options.loss, *["--scored"] * scored]
        command = [sys.executable, "-m", "benchmarks.peers.trl", "--python", self._options.python, *words]
        return asked(command, "our step", "run it by hand: " + " ".join(command))

    def theirs(self, setting: Setting, *, scored: bool) -> dict[str, Any]:
        """One step of TRL's."""
        files = {"model": "model", "samples": "samples.json", "gradient": "theirs.pt"}
        words = [part for name, file in files.items() for part in (f"--{name}", str(self._folder / file))]
        words += ["--tokenizer", str(TINY), "--loss", self._options.loss]
        words += ["--clip", *map(str, CLIP[self._options.loss]), *setting.words, *["--scored"] * scored]
        python = self._options.python
        command = [python, "-P", str(SCRIPT), *words]  # -P: not this folder's trl, but the library
        return asked(command, f"--python {python}", REMEDY)

    def difference(self) -> float:
        """Of the last gradients."""
        ours, theirs = (torch.load(self._folder / f"{name}.pt", weights_only=True) for name in ("ours", "theirs"))
        return float((ours - theirs).norm() / theirs.norm())


def _our_step(folder: Path, loss: ObjectiveName, *, scored: bool) -> None:
    """In this process: prints the figures, and keeps the gradient in the folder."""
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(str(folder / "model"), dtype=torch.float32).eval()
    groups = json.loads((folder / "samples.json").read_text("utf-8"))
    samples = [
        Sample(
            prompt_ids=tuple(row["prompt_ids"]),
            output_ids=tuple(row["output_ids"]),
            logps_engine=(0.0,) * len(row["output_ids"]),
            role=Role.PROPOSER,
            advantage=row["advantage"],
        )
        for group in groups
        for row in group
    ]
    figures, gradient = gradient_of(model, samples, 8192, loss, scored=scored)
    torch.save(gradient, folder / "ours.pt")
    print("\n" + json.dumps(figures))


def compared(runs: Mapping[str, Sequence[Figures]]) -> dict[str, Any]:
    """Medians and ratios of ``ours`` and ``trl``, both with scoring and ``_unscored``, run in turns."""
    speeds = {name: [run["tokens"] / run["seconds"] for run in kept] for name, kept in runs.items()}

    def ratio(key: str) -> dict[str, float]:
        return spread([a[key] / b[key] for a, b in zip(runs["ours"], runs["trl"], strict=True)])

    return {
        "tokens_per_second": {name: spread(values) for name, values in speeds.items()},
        "peak_bytes": {name: spread([run["peak_bytes"] for run in kept]) for name, kept in runs.items()},
        "tokens_per_second_ratio": spread([a / b for a, b in zip(speeds["ours"], speeds["trl"], strict=True)]),
        "tokens_per_second_ratio_unscored": spread(
            [a / b for a, b in zip(speeds["ours_unscored"], speeds["trl_unscored"], strict=True)]
        ),
        "peak_memory_ratio": ratio("peak_bytes"),
        "peak_above_model_ratio": ratio("peak_above_model_bytes"),
    }


def measure(contest: Contest, tried: Sequence[Setting], repeats: int) -> dict[str, Any]:
    """The comparison with TRL in the fastest of some settings; a setting alone is not tried before."""
    trials = {setting: contest.theirs(setting, scored=True) for setting in tried} if len(tried) > 1 else {}
    best = min(trials, key=lambda setting: trials[setting]["seconds"]) if trials else tried[0]
    runs: dict[str, list[Figures]] = {"ours": [], "ours_unscored": [], "trl": [], "trl_unscored": []}
    for _ in range(repeats):
        runs["ours_unscored"].append(contest.ours(scored=False))
        runs["ours"].append(contest.ours(scored=True))
        runs["trl"].append(contest.theirs(best, scored=True))
        runs["trl_unscored"].append(contest.theirs(best, scored=False))
    figures: dict[str, Any] = {
        "trl_packages": runs["trl"][0]["packages"],
        "trl_setting": best.name,
        "trl_tried": {
            setting.name: {"tokens_per_second": run["tokens"] / run["seconds"], "peak_bytes": run["peak_bytes"]}
            for setting, run in trials.items()
        },
        **compared(runs),
        "gradient_difference": contest.difference(),
    }
    if trials:
        least = min(trials, key=lambda setting: trials[setting]["peak_bytes"])
        peaks = [run["peak_bytes"] / trials[least]["peak_bytes"] for run in runs["ours"]]
        figures["peak_memory_ratio_to_trl_least"] = {"setting": least.name, **spread(peaks)}
    return figures


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.trl", description=__doc__)
    parser.add_argument("--python", required=True, help="Python of an environment with TRL (make venv-trl)")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--model", default="tiny", choices=("50m", "tiny"))
    parser.add_argument("--loss", default="gspo", choices=tuple(CLIP))
    parser.add_argument("--groups", type=int, default=2)
    parser.add_argument("--size", type=int, default=8, help="completions in a group")
    parser.add_argument(
        "--prompt", type=int, nargs=2, default=(256, 513), help="lengths: least, and one above the most"
    )
    parser.add_argument("--completion", type=int, nargs=2, default=(64, 129), help="the same of completions")
    parser.add_argument("--kernel", choices=KERNELS, help="of TRL's attention; with --batch, nothing else is tried")
    parser.add_argument("--batch", type=int, help="sequences in a forward pass of TRL's")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--scored", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if min(options.groups, options.repeats) < 1 or options.size < 2 or options.size % 2:
        parser.error("--groups and --repeats must be ≥ 1, --size an even number: advantages are ±1 by turns")
    if (options.kernel is None) != (options.batch is None):
        parser.error("--kernel and --batch go together")
    if options.batch is not None and (options.batch < 1 or options.groups * options.size % options.batch):
        parser.error("--batch must divide the number of completions")
    if options.way:
        _our_step(options.way, options.loss, scored=options.scored)
        return 0
    chosen = {name: value for name, value in vars(options).items() if name not in {"json", "way", "scored", "python"}}
    figures: dict[str, Any] = {"schema_version": SCHEMA_VERSION, "torch": torch.__version__, "options": chosen}
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(Path(folder), options)
        tried = (
            [Setting(kernel=options.kernel, batch=options.batch)]
            if options.kernel and options.batch
            else settings(contest.rows)
        )
        figures |= measure(contest, tried, options.repeats)
    publish(figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(status_of(main))
