"""Teaches an embedded model to give verdicts first: an adapter of its reviewer's own, beside the model.

    python -m scripts.tiny_verdicts --model tracer_agents/assets/tracer-tiny

Draws graded proposals of training questions, trains on them by the exact expectation over both verdicts (no token is
generated for that), measures on validation questions, and writes the adapter to ``MODEL/verdicts`` and the figures
into the model's card. The model itself stays as it is, and so does everything that was ever measured with it:
``--speakers.adapters verdicts`` begins with the adapter. Every step is a public command.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.suite.draws import Table
from tracer_agents.controllers.calibration import judge
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.pools import load_pool

LEVEL = 3
RANK = 8
SPEAKERS = ["--speakers.review", "verdict", "--speakers.policy", "per_role", "--speakers.lora_rank", str(RANK)]
HEADING = "## Verdicts first"
_SECTION = """\
{heading}
With `--speakers.review verdict` a review is one token. `verdicts/` holds a LoRA adapter of rank {rank} that teaches
the reviewer to give it; proposers speak with the model as it is: `--speakers.adapters verdicts
--speakers.policy per_role --speakers.lora_rank {rank}`. It was trained on {proposals:,} graded solutions of
{questions:,} questions of the training split, level {level}, in {epochs} passes; seed {seed}. On {count} questions of
the validation split, {draws} solutions of each:

| P(RIGHT) | model as it is | with the adapter |
|---|---|---|
| AUROC of single solutions | {before[auroc]:.3f} | {after[auroc]:.3f} |
| AUROC within questions | {before[within]:.3f} | {after[within]:.3f} |
| calibration error | {before[calibration]:.3f} | {after[calibration]:.3f} |
| right solutions called RIGHT (P ≥ ½) | {before[specificity]:.3f} | {after[specificity]:.3f} |
| wrong solutions called WRONG | {before[sensitivity]:.3f} | {after[sensitivity]:.3f} |

What it learned to tell is whether a solution was worked out: an answer alone is next to never right. It does not
recompute, as a review that is worked out does. Made by `scripts/tiny_verdicts.py`, which writes this section.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """How much is drawn and learned."""

    questions: int
    count: int
    draws: int
    epochs: int


def run(words: Sequence[str]) -> str:
    """A public command's output, with this interpreter.

    Raises:
        SystemExit: it failed; what it said is shown.
    """
    done = subprocess.run([sys.executable, "-m", *words], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit status {done.returncode}")
    return done.stdout


def measure(pool: Path) -> dict[str, float]:
    """What P(RIGHT) tells about the readable answers of a pool."""
    table = Table.of(load_pool(pool).questions)
    readable, right, question = table.graded()
    chance = table.p_right[readable]
    judged = judge(chance, right, question, np.ones(len(right)))
    return {
        "auroc": judged.auroc if judged.auroc is not None else np.nan,
        "within": judged.auroc_within_questions if judged.auroc_within_questions is not None else np.nan,
        "calibration": judged.calibration_error if judged.calibration_error is not None else np.nan,
        "specificity": float((chance >= 0.5)[right].mean()) if right.any() else np.nan,
        "sensitivity": float((chance < 0.5)[~right].mean()) if not right.all() else np.nan,
    }


def teach(model: Path, lengths: Lengths, *, seed: int) -> dict[str, object]:
    """Trains and measures the adapter, and puts it into the model's folder; returns what the card says of it."""
    speaker = ["--speakers.model", str(model), "--speakers.style", "tiny", "--speakers.review", "verdict"]
    task = ["--task.options", f"{{level: {LEVEL}}}", *speaker]
    with tempfile.TemporaryDirectory(prefix="tracer-verdicts-") as folder:
        room = Path(folder)
        made, trained = room / "train" / "pool.jsonl", room / "run"

        def draw(split: str, out: Path, questions: int, reviews: int, *words: str) -> None:
            counts = ["--questions", str(questions), "--draws", str(lengths.draws), "--reviews", str(reviews)]
            run(["benchmarks", "pool", "--split", split, *counts, "--seed", str(seed), "--out", str(out), *words])

        draw("train", made, lengths.questions, 0, *task)
        steps = ["--epochs", str(lengths.epochs), "--repeated", "--credit.verdict_learning_rate", "1e-3"]
        words = [str(made), "--out", str(trained), "--seed", str(seed), *steps, *task, *SPEAKERS[2:]]
        learned = json.loads(run(["benchmarks.studies.train_verdicts", *words]).splitlines()[-1])
        checkpoint = RunDirectory(trained).checkpoints.latest()
        assert checkpoint is not None
        before, after = room / "before" / "pool.jsonl", room / "after" / "pool.jsonl"
        draw("validation", before, lengths.count, 1, *task)
        draw("validation", after, lengths.count, 1, "--weights", str(trained))
        keep(checkpoint / "adapters" / "reviewer", model)
        return {"proposals": learned["proposals"], "before": measure(before), "after": measure(after)}


def keep(adapter: Path, model: Path) -> None:
    """Copies an adapter to where the model's own lies; its base is the model by name, wherever that lies."""
    target = model / "verdicts" / "adapters" / "reviewer"
    shutil.rmtree(model / "verdicts", ignore_errors=True)
    target.mkdir(parents=True)
    shutil.copy(adapter / "adapter_model.safetensors", target)
    config = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    config |= {"base_model_name_or_path": model.resolve().name, "target_modules": sorted(config["target_modules"])}
    (target / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def write_section(card: Path, section: str) -> None:
    """Puts the section into the card, in place of an earlier one."""
    text = card.read_text("utf-8")
    before, earlier, rest = text.partition(HEADING)
    following = re.search(r"^## ", rest, re.MULTILINE) if earlier else None
    card.write_text(before.rstrip() + "\n\n" + section + (rest[following.start() :] if following else ""), "utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="the model's folder, with its card")
    parser.add_argument("--questions", type=int, default=1200, help="of the training split")
    parser.add_argument("--count", type=int, default=512, help="of the validation split, to measure on")
    parser.add_argument("--draws", type=int, default=4, help="solutions of each")
    parser.add_argument("--epochs", type=int, default=4, help="how often each solution is learned from")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    lengths = Lengths(questions=given.questions, count=given.count, draws=given.draws, epochs=given.epochs)
    figures = teach(given.model, lengths, seed=given.seed)
    section = _SECTION.format(
        heading=HEADING, rank=RANK, level=LEVEL, seed=given.seed,
        questions=lengths.questions, count=lengths.count, draws=lengths.draws, epochs=lengths.epochs, **figures,
    )  # fmt: skip
    write_section(given.model / "README.md", section)
    print(section)


if __name__ == "__main__":
    main()
