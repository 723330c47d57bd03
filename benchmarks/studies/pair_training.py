"""Two models trained, one of them, or none: what training adds to a team of a cheap and a strong model, over seeds.

    python -m benchmarks.studies.pair_training --seeds 0 1 2 --out runs/pair-training

Every run is an ordinary ``tracer train pair``; one that has ended is not repeated and one that was cut short is
resumed, so the command can be given again after a kill. The table is computed from their records alone: differences are
paired by question and pooled over seeds, with 95% percentile bootstraps.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tracer_agents.cli import status_of
from tracer_agents.evaluation.metrics import interval95, values
from tracer_agents.evaluation.statistics import RESAMPLES
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.runs.directory import RunDirectory

_LEARNING = [
    *("--credit.train", "true", "--trainer.steps", "9", "--trainer.controller_steps", "1"),
    *("--trainer.checkpoint_every", "4"),
]
_MEASURED = [
    *("--evaluation.greedy", "false", "--evaluation.certificate_questions", "0"),
    *("--controllers.validation_questions", "96", "--trainer.controller_questions_per_step", "192"),
]
_FROZEN_SMALL = "[{model: tiny}, {model: small, price: 4, train: false}]"
VARIANTS = {
    "none": [],
    "tiny alone": [*_LEARNING, "--speakers.members", _FROZEN_SMALL],
    "both": _LEARNING,
}
RIVALS = ("before", "best_fixed", "single", "single_of_agent_1", "self_consistency")


def train_all(seeds: Sequence[int], questions: int, out: Path) -> None:
    """Runs whatever has not been run yet.

    Raises:
        SystemExit: a run failed; its own message stands above.
    """
    for seed in seeds:
        for variant, settings in VARIANTS.items():
            run = folder(out, variant, seed)
            if (run / "summary.json").is_file():
                continue
            command = [sys.executable, "-m", "tracer_agents", "train", "pair", "--seed", str(seed), "--out", str(run)]
            resume = ["--resume"] if (run / "config.yaml").is_file() else []
            questions_wanted = ["--evaluation.questions", str(questions)]
            done = subprocess.run([*command, *settings, *_MEASURED, *questions_wanted, *resume], check=False)
            if done.returncode:
                raise SystemExit(f"{run}: status {done.returncode}")


def folder(out: Path, variant: str, seed: int) -> Path:
    """Where a run is."""
    return out / f"{variant.replace(' ', '-')}-{seed}"


def report(seeds: Sequence[int], out: Path) -> str:
    """The table, in Markdown: the trained team, and how far it is from each rival on the same questions."""
    rows = [
        "| trained | accuracy | cost | utility | " + " | ".join(f"− {name}" for name in RIVALS) + " |",
        "|---" * (4 + len(RIVALS)) + "|",
    ]
    for variant in VARIANTS:
        runs = [RunDirectory(folder(out, variant, seed)) for seed in seeds]
        utility = runs[0].config().utility
        team = _pooled(runs, "after", "team")
        right, cost, worth = (values(team, metric, utility) for metric in ("accuracy", "cost", "utility"))
        cells = [f"{right.mean():.3f}", f"{cost.mean():.1f}", f"{worth.mean():.3f}"]
        for rival in RIVALS:
            records = _pooled(runs, "before", "team") if rival == "before" else _pooled(runs, "after", rival)
            cells.append(_difference(worth - values(records, "utility", utility)))
        rows.append(f"| {variant} | " + " | ".join(cells) + " |")
    return "\n".join(rows) + "\n"


def _pooled(runs: Sequence[RunDirectory], phase: str, method: str) -> list[DialogueRecord]:
    """A method's records under every seed, in order; a rival is found under whatever setting it has."""
    pooled: list[DialogueRecord] = []
    for run in runs:
        records = run.records()
        name = next(
            kept
            for of_phase, kept in records
            if of_phase == phase and (kept == method or kept.startswith((f"{method}:", f"{method}@")))
        )
        pooled += records[phase, name]
    return pooled


def _difference(sample: np.ndarray) -> str:
    low, high = interval95(sample, resamples=RESAMPLES, seed=0)
    return f"{sample.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def main() -> None:
    """Trains, then prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--questions", type=int, default=200, help="held-out questions per seed")
    parser.add_argument("--out", type=Path, required=True, help="where the runs are")
    arguments = parser.parse_args()
    train_all(arguments.seeds, arguments.questions, arguments.out)
    print(report(arguments.seeds, arguments.out))


if __name__ == "__main__":
    sys.exit(status_of(main))
