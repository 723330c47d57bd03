"""Is the demo's learning real? Trains it over seeds, also without its language layer and as in the paper, and reports.

    python -m benchmarks.studies.demo --seeds 0 1 2 --questions 1000 --out runs/demo-seeds --report docs/results/demo.md

Every run is an ordinary ``tracer train demo``; one that has ended is not repeated and one that was cut short is
resumed, so the command can be given again after a kill. The report is computed from their records alone.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from tracer_agents.cli import status_of
from tracer_agents.evaluation.metrics import METRIC_NAMES, interval95, values
from tracer_agents.evaluation.statistics import RESAMPLES
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.runs.directory import RunDirectory

_BARE = ["--evaluation.greedy", "false", "--evaluation.baselines", "false", "--evaluation.certificate_questions", "0"]
VARIANTS = {  # name -> preset and options
    "both": ["demo"],
    "controllers": ["demo", "--credit.train", "false", *_BARE],
    "paper": ["demo-paper"],
}
MARGIN = -0.01  # of accuracy, below always-speak, that fewer tokens may cost


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedRecords:
    """What was recorded under one seed: a run of each variant."""

    seed: int
    runs: Mapping[str, RunDirectory]

    @property
    def both(self) -> RunDirectory:
        """The run in which both layers learned."""
        return self.runs["both"]

    def of(self, method: str, *, phase: str = "after", variant: str = "both") -> list[DialogueRecord]:
        """The dialogues of a method; ``best_fixed`` is found under whatever controller it was."""
        records = self.runs[variant].records()
        [name] = [m for p, m in records if p == phase and (m == method or m.startswith(f"{method}:"))]
        return records[phase, name]

    def training_tokens(self, variant: str = "both") -> int:
        """Tokens generated in training."""
        return sum(row["all_tokens"] for row in self.runs[variant].metrics())


def train_all(seeds: Sequence[int], questions: int, out: Path, *, jobs: int) -> None:
    """Runs whatever has not been run yet, ``jobs`` at a time.

    Raises:
        SystemExit: a run failed; its own message stands above.
    """
    wanted = [(seed, variant) for seed in seeds for variant in VARIANTS]
    with ThreadPoolExecutor(jobs) as pool:
        codes = list(pool.map(lambda cell: _train(cell[0], cell[1], questions, out), wanted))
    if any(codes):
        raise SystemExit(f"runs that failed: {[cell for cell, code in zip(wanted, codes, strict=True) if code]}")


def _train(seed: int, variant: str, questions: int, out: Path) -> int:
    folder = out / f"{variant}-{seed}"
    if (folder / "summary.json").exists():
        return 0
    command = [sys.executable, "-m", "tracer_agents", "train", *VARIANTS[variant], "--seed", str(seed)]
    command += ["--evaluation.questions", str(questions), "--out", str(folder)]
    if (folder / "config.yaml").exists():
        command.append("--resume")
    return subprocess.run(command, check=False).returncode


def report(seeds: Sequence[int], out: Path) -> str:
    """The Markdown page, from the runs' records."""
    runs = [
        SeedRecords(seed=seed, runs={variant: RunDirectory(out / f"{variant}-{seed}") for variant in VARIANTS})
        for seed in seeds
    ]
    sections = (_figures, _learning, _against_always, _two_layers, _against_paper, _habit)
    return "\n\n".join(section(runs) for section in sections) + "\n"


def _figures(runs: Sequence[SeedRecords]) -> str:
    lines = [
        "| seed | | accuracy | 95% interval | greedy | utility | tokens | corrects | preserves | speaks |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for run in runs:
        summary = run.both.summary()
        rows = {"before": summary["before"], "after": summary["after"], **summary["baselines"]}
        for name, m in rows.items():
            low, high = m["accuracy_ci95"]
            cells = [
                str(run.seed), m.get("method", name), _f(m["accuracy"]), f"{low:.3f} – {high:.3f}",
                _f(m["greedy_accuracy"]), f"{m['utility']:+.3f}", f"{m['generated_tokens_per_question']:.1f}",
                _f(m["correction_rate"]), _f(m["preservation_rate"]), _f(m["speak_rate"]),
            ]  # fmt: skip
            lines.append(f"| {' | '.join(cells)} |")
    return "## Every method\n\n" + "\n".join(lines)


def _learning(runs: Sequence[SeedRecords]) -> str:
    lines = ["| seed | sampled accuracy, after − before | 95% | greedy, after − before |", "|---|---|---|---|"]
    for run in runs:
        sampled = _paired(run, run.of("team"), run.of("team", phase="before"), "accuracy")
        greedy = _paired(run, run.of("team@greedy"), run.of("team@greedy", phase="before"), "accuracy")
        lines.append(f"| {run.seed} | {_difference(sampled, run.seed)} | {greedy.mean():+.3f} |")
    single = ["", "The same for a single answer (the speakers alone, no protocol):", ""]
    single += ["| seed | single, after | first proposals, before |", "|---|---|---|"]
    for run in runs:
        after = np.mean([record.first_correct for record in run.of("single")])
        before = np.mean([record.first_correct for record in run.of("team", phase="before")])
        single.append(f"| {run.seed} | {after:.3f} | {before:.3f} |")
    return "## (a) The team has learned\n\n" + "\n".join(lines + single)


def _against_always(runs: Sequence[SeedRecords]) -> str:
    accuracy, tokens = (
        np.concatenate([_paired(run, run.of("team"), run.of("always_speak"), metric) for run in runs])
        for metric in ("accuracy", "generated_tokens")
    )
    lower = float(np.mean(accuracy) - stats.norm.ppf(0.95) * np.std(accuracy, ddof=1) / np.sqrt(len(accuracy)))
    verdict = "holds" if lower > MARGIN else "does not hold"
    return (
        "## (b) Against always speaking, with the same trained speakers\n\n"
        "| pooled over seeds | team − always speak | 95% |\n|---|---|---|\n"
        f"| tokens per question | {_difference(tokens, 0, '+.1f')} |\n"
        f"| accuracy | {_difference(accuracy, 0)} |\n\n"
        f"One-sided 95% lower limit of the accuracy difference: {lower:+.4f}; "
        f"“at most one point lower” {verdict}."
    )


def _two_layers(runs: Sequence[SeedRecords]) -> str:
    rivals = {
        "trained speakers, best fixed controller": lambda run: run.of("best_fixed"),
        "initial speakers, learned controllers": lambda run: run.of("team", variant="controllers"),
    }
    lines = ["| both layers minus | seed | utility | 95% | accuracy | tokens |", "|---|---|---|---|---|---|"]
    for name, of in rivals.items():
        pooled = []
        for run in runs:
            parts = {metric: _paired(run, run.of("team"), of(run), metric) for metric in METRIC_NAMES}
            pooled.append(parts["utility"])
            lines.append(
                f"| {name} | {run.seed} | {_difference(parts['utility'], run.seed)} | "
                f"{parts['accuracy'].mean():+.3f} | {parts['generated_tokens'].mean():+.1f} |"
            )
        lines.append(f"| {name} | all | {_difference(np.concatenate(pooled), 0)} | | |")
    return "## (c) Both layers together\n\n" + "\n".join(lines)


def _against_paper(runs: Sequence[SeedRecords]) -> str:
    lines = ["| seed | utility | 95% | accuracy | 95% | tokens | training tokens |", "|---|---|---|---|---|---|---|"]
    pooled: dict[str, list[np.ndarray]] = {metric: [] for metric in METRIC_NAMES}
    for run in runs:
        for metric, differences in pooled.items():
            differences.append(_paired(run, run.of("team"), run.of("team", variant="paper"), metric))
        last = {metric: differences[-1] for metric, differences in pooled.items()}
        spent = run.training_tokens() / run.training_tokens("paper") - 1
        lines.append(f"| {run.seed} | {_against(last, run.seed)} | {spent:+.1%} |")
    all_seeds = {metric: np.concatenate(differences) for metric, differences in pooled.items()}
    lines.append(f"| all | {_against(all_seeds, 0)} | |")
    over_fixed = np.concatenate(
        [
            _paired(run, run.of("team", variant="paper"), run.of("best_fixed", variant="paper"), "utility")
            for run in runs
        ]
    )
    worth = _difference(over_fixed, 0).replace(" | ", " ")
    return (
        "## (d) Against the demo as the paper describes it\n\n"
        "The demo less `demo-paper`: consensus infosets, the pending answer, GSPO throughout; the same questions and "
        "seeds.\n\n" + "\n".join(lines) + "\n\n"
        "What `demo-paper`'s controllers are worth over its best fixed rule with the same speakers, in utility over "
        f"all seeds: {worth}."
    )


def _against(differences: Mapping[str, np.ndarray], seed: int) -> str:
    utility, accuracy = (_difference(differences[metric], seed) for metric in ("utility", "accuracy"))
    return f"{utility} | {accuracy} | {differences['generated_tokens'].mean():+.1f}"


def _habit(runs: Sequence[SeedRecords]) -> str:
    lines = [
        "| seed | immediate answers, before → after | accuracy of worked-out first proposals, before → after |",
        "|---|---|---|",
    ]
    for run in runs:
        cells = []
        for records in (run.of("team", phase="before"), run.of("single")):
            worked = np.array(["=" in (record.turns[0].text or "") for record in records])
            right = np.array([record.first_correct for record in records])
            cells.append((1 - worked.mean(), right[worked].mean()))
        (shown, accuracy), (shown_after, accuracy_after) = cells
        lines.append(f"| {run.seed} | {shown:.3f} → {shown_after:.3f} | {accuracy:.3f} → {accuracy_after:.3f} |")
    return (
        "## (e) What the speakers' gain is made of\n\n"
        "`tracer-tiny` often gives the answer without working it out, and is then almost never right: a habit of its "
        "training, not noise put in (its model card says how it came about). Unlearning it is part of the gain; the "
        "accuracy of the proposals that are worked out tells the rest.\n\n" + "\n".join(lines)
    )


def _paired(run: SeedRecords, a: Sequence[DialogueRecord], b: Sequence[DialogueRecord], metric: str) -> np.ndarray:
    """a − b, question by question, (n,)."""
    if [record.question_id for record in a] != [record.question_id for record in b]:
        raise ValueError(f"seed {run.seed}: the runs were not measured on the same questions")
    utility = run.both.config().utility
    return values(a, metric, utility) - values(b, metric, utility)


def _difference(sample: np.ndarray, seed: int, form: str = "+.3f") -> str:
    low, high = interval95(sample, resamples=RESAMPLES, seed=seed)
    return f"{sample.mean():{form}} | [{low:{form}}, {high:{form}}]"


def _f(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def main() -> None:
    """Trains, then writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--questions", type=int, default=1000, help="held-out questions per seed")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time")
    parser.add_argument("--out", type=Path, required=True, help="where the runs are")
    parser.add_argument("--report", type=Path, help="the Markdown page to write; by default standard output")
    arguments = parser.parse_args()
    train_all(arguments.seeds, arguments.questions, arguments.out, jobs=arguments.jobs)
    page = report(arguments.seeds, arguments.out)
    config = RunDirectory(arguments.out / f"both-{arguments.seeds[0]}").summary()
    head = (
        "# The demo over seeds\n\n```\n"
        f"python -m benchmarks.studies.demo --seeds {' '.join(map(str, arguments.seeds))} "
        f"--questions {arguments.questions} "
        "--out runs/demo-seeds --report docs/results/demo.md\n```\n\n"
        f"Task {config['task']}, model {config['model']}, price of speech {config['price_of_speech']}, versions "
        f"{json.dumps(config['versions'])}. Questions are held out by construction; every method of a seed has the "
        "same questions and the same noise. Intervals are percentile bootstraps over questions.\n\n"
    )
    if arguments.report is None:
        print(head + page)
    else:
        arguments.report.parent.mkdir(parents=True, exist_ok=True)
        arguments.report.write_text(head + page, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(status_of(main))
