"""Does learned stopping with beliefs beat votes and the adaptive rules, at equal generated tokens? From pools alone.

    for split in train validation test; do
      python -m benchmarks pool --split $split --questions 1000 --draws 8 --seed 0 --task.options.level 3 \\
        --speakers.review verdict --out runs/beliefs/initial/arithmetic-3/seed-0/$split.jsonl
    done
    python -m benchmarks.studies.beliefs runs/beliefs --json docs/results/beliefs.json

``FOLDER/SPEAKERS/TASK/seed-N/SPLIT.jsonl`` are the pools; with ``--weights RUN`` a run's speakers draw. Every rule is
tuned on the training and validation questions, for every price at once: the settings kept are the upper concave
envelope of cost and accuracy there. TRACER's controllers are fitted on training questions and chosen on validation
ones. Each is then taken to the test questions, under several orders of each question's draws. Accuracy at exactly 2 and
3 times the tokens of one answer is that of the mixture of the two settings on either side. Differences are paired by
question and resampled by question within each seed, p-values adjusted by Holm.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods import FAMILIES
from benchmarks.methods.stopping import outcomes_of
from benchmarks.report.holm import holm
from benchmarks.suite.draws import Table
from benchmarks.suite.frontier import Curve, accuracy_at, difference, envelope, orders_of
from benchmarks.suite.learned import NUMBERS, Learner, learned_curve, neural, tabular
from tracer_agents.cli import status_of
from tracer_agents.controllers.calibration import BINS
from tracer_agents.evaluation.statistics import RESAMPLES, interval95, resampled_counts
from tracer_agents.rollout.pools import Pool, PooledQuestion
from tracer_agents.runs.pools import load_pool
from tracer_env.dialogue import AnswerRule
from tracer_env.errors import DataError
from tracer_env.seeding import bootstrap_stream, stream

RATIOS = (2.0, 3.0)
VOTES, AGREEING, BEST = "pool_votes", ("pool_agreement", "asc", "esc"), "best of agreement, asc, esc"
ANSWER_RULES: tuple[AnswerRule, ...] = ("plurality", "belief")
SPLITS = ("train", "validation", "test")
LEARNERS: dict[str, tuple[Learner, int, str]] = {  # name -> how, bins of the belief, what it adds to a rule's name
    "tables": (tabular, BINS, ""),
    "network": (neural, NUMBERS, ", NeuralRegret"),
}


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One speaker, task and seed: what each rule comes to.

    Args:
        speakers, task, seed: which.
        unit: tokens of one answer, per test question, (Q,).
        curves: rule -> its settings on test questions.
        tuned: rule -> ratio -> its accuracy there on the questions it was tuned on.
    """

    speakers: str
    task: str
    seed: int
    unit: np.ndarray
    curves: Mapping[str, Curve]
    tuned: Mapping[str, Mapping[float, float]]

    def best_agreeing(self, ratio: float) -> str:
        """Of the rules that go by agreement alone, the best where it was tuned."""
        return max(AGREEING, key=lambda name: self.tuned[name][ratio])


def measure(
    pools: Mapping[str, Pool],
    *,
    orders: int,
    rounds: Sequence[int],
    names: tuple[str, str, int],
    answer_rules: Sequence[AnswerRule] = ANSWER_RULES,
    learners: Sequence[str] = ("tables",),
) -> Cell:
    """Tunes every rule, TRACER's for all rounds, answer rules and learners, and takes it to the test questions."""
    speakers, task, seed = names
    tuning = (*pools["train"].questions, *pools["validation"].questions)
    known, fresh = _table(tuning, orders, seed), _table(pools["test"].questions, orders, seed)
    curves: dict[str, Curve] = {}
    tuned: dict[str, dict[float, float]] = {}
    unit = _unit(known, len(tuning))
    for name, make in FAMILIES.items():
        family = make(known)
        if not family:
            raise DataError(
                f"{speakers}, {task}, seed {seed}: the rule {name} has no setting on these pools: draw more than "
                f"{known.k} proposals per question, or see why next to none of their answers can be read"
            )
        points = {key: (cost.mean(), right.mean()) for key, (right, cost) in outcomes_of(family, known).items()}
        kept = {key: family[key] for key in envelope(points)}
        on_tuning = _curve(outcomes_of(kept, known), len(tuning))
        tuned[name] = {ratio: float(accuracy_at(on_tuning, unit, ratio)[0]) for ratio in RATIOS}
        curves[name] = _curve(outcomes_of(kept, fresh), len(pools["test"].questions))
    for count in rounds:
        for answer_rule in answer_rules:
            for learner in learners:
                learn, bins, suffix = LEARNERS[learner]
                name = f"tracer, {count} rounds, {answer_rule}{suffix}"
                curves[name], tuned[name] = learned_curve(
                    pools,
                    rounds=count,
                    answer_rule=answer_rule,
                    orders=orders,
                    seed=seed,
                    ratios=RATIOS,
                    bins=bins,
                    learn=learn,
                )
    return Cell(
        speakers=speakers,
        task=task,
        seed=seed,
        unit=_unit(fresh, len(pools["test"].questions)),
        curves=curves,
        tuned=tuned,
    )


def _table(questions: Sequence[PooledQuestion], orders: int, seed: int) -> Table:
    """Every question under several orders, one order after the other."""
    k = min(len(question.members[0]) for question in questions)
    seen = orders_of(len(questions), k, orders, stream(seed, "orders"))
    return Table.of([*questions] * orders, orders=seen.reshape(-1, k))


def _unit(table: Table, questions: int) -> np.ndarray:
    """Tokens of one answer: the mean over all of a question's draws."""
    return table.cost[:questions, -1] / table.k


def _curve(known: Mapping[Any, tuple[np.ndarray, np.ndarray]], questions: int) -> Curve:
    """Means over the orders."""

    def means(values: Sequence[np.ndarray]) -> np.ndarray:
        return np.array([each.astype(float).reshape(-1, questions).mean(axis=0) for each in values])

    return Curve(right=means([right for right, _ in known.values()]), cost=means([cost for _, cost in known.values()]))


def compared(cells: Sequence[Cell], *, resamples: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The accuracy of every rule at every ratio, and TRACER's differences from every other, over a task's seeds.

    Speakers that differ from the first are given the first's tokens of one answer, so that all spend the same.
    """
    units = {cell.seed: cell.unit for cell in reversed(cells)}  # the first speakers' last
    values: dict[tuple[str, float], list[tuple[np.ndarray, np.ndarray]]] = {}
    for cell in cells:
        unit = units[cell.seed]
        rng = bootstrap_stream(cell.seed)  # equal for all speakers: differences are paired
        counts = resampled_counts(len(unit), resamples=resamples, rng=rng)
        for ratio in RATIOS:
            for name in (*cell.curves, BEST):
                curve = cell.curves[cell.best_agreeing(ratio) if name == BEST else name]
                pair = accuracy_at(curve, unit, ratio), accuracy_at(curve, unit, ratio, counts)
                values.setdefault((f"{cell.speakers}: {name}", ratio), []).append(pair)
    levels = [
        {
            "rule": name,
            "ratio": ratio,
            "accuracy": float(np.mean([estimate[0] for estimate, _ in pairs])),
            "ci95": interval95(np.mean([draws for _, draws in pairs], axis=0)[:, None])[:, 0].tolist(),
        }
        for (name, ratio), pairs in values.items()
    ]
    rows = [
        {"rule": mine, "rival": theirs, "ratio": ratio, **asdict(difference(pairs, values[theirs, ratio]))}
        for (mine, ratio), pairs in values.items()
        if ": tracer" in mine
        for theirs in dict.fromkeys(name for name, _ in values)
        if theirs != mine
    ]
    return levels, rows


def load(folder: Path) -> dict[tuple[str, str, int], dict[str, Pool]]:
    """The pools below a folder, by (speakers, task, seed).

    Raises:
        DataError: there are none, a split is missing, or speakers were asked different test questions.
    """
    pools: dict[tuple[str, str, int], dict[str, Pool]] = {}
    for path in sorted(folder.glob("*/*/seed-*/test.jsonl")):
        speakers, task, seed = path.parts[-4:-1]
        for split in SPLITS:
            if not path.with_name(f"{split}.jsonl").is_file():
                raise DataError(f"{path.with_name(f'{split}.jsonl')}: is missing; draw it as the study's command says")
        number = int(seed.removeprefix("seed-"))
        pools[speakers, task, number] = {split: load_pool(path.with_name(f"{split}.jsonl")) for split in SPLITS}
    asked: dict[tuple[str, int], list[str]] = {}
    for (speakers, task, number), splits in pools.items():
        ids = [question.episode.question.id for question in splits["test"].questions]
        if asked.setdefault((task, number), ids) != ids:
            raise DataError(
                f"{folder / speakers / task}: others were asked different test questions; draw with one seed"
            )
    if not pools:
        raise DataError(f"{folder}: holds no SPEAKERS/TASK/seed-N/test.jsonl; draw pools as the study's command says")
    return pools


def report(cells: Sequence[Cell], *, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Everything that the page says, as plain data; p-values are adjusted over the whole family of comparisons."""
    by_task: dict[str, list[Cell]] = {}
    for cell in cells:
        by_task.setdefault(cell.task, []).append(cell)
    levels, rows = [], []
    for task, group in by_task.items():
        ours, theirs = compared(group, resamples=resamples)
        levels += [{"task": task, **row} for row in ours]
        rows += [{"task": task, **row} for row in theirs]
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = float(p)
    frontier = [
        {"speakers": cell.speakers, "task": cell.task, "seed": cell.seed, "rule": name, "points": curve.points()}
        for cell in cells
        for name, curve in cell.curves.items()
    ]
    return {"accuracy": levels, "differences": rows, "frontier": frontier}


def page(results: Mapping[str, Any]) -> str:
    """The tables in Markdown."""
    out: list[str] = []
    for task in dict.fromkeys(row["task"] for row in results["accuracy"]):
        out += [f"### {task}", "", "| rule | " + " | ".join(f"{ratio:g}×" for ratio in RATIOS) + " |", "|---|---|---|"]
        rows = {(row["rule"], row["ratio"]): row for row in results["accuracy"] if row["task"] == task}
        for rule in dict.fromkeys(rule for rule, _ in rows):
            cells = (rows[rule, ratio] for ratio in RATIOS)
            shown = (f"{cell['accuracy']:.3f} [{cell['ci95'][0]:.3f}, {cell['ci95'][1]:.3f}]" for cell in cells)
            out.append(f"| {rule} | " + " | ".join(shown) + " |")
        out += ["", "| rule | rival | tokens | difference [95%] | p (Holm) |", "|---|---|---|---|---|"]
        out += [
            f"| {row['rule']} | {row['rival']} | {row['ratio']:g}× | {row['estimate']:+.3f} [{row['low']:+.3f}, "
            f"{row['high']:+.3f}] | {row['p_holm']:.3g} |"
            for row in results["differences"]
            if row["task"] == task
        ]
        out.append("")
    return "\n".join(out)


def main() -> None:
    """Prints the tables, and writes everything that they hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pools are")
    parser.add_argument("--orders", type=int, default=4, help="orders of each question's draws")
    parser.add_argument("--rounds", type=int, nargs="*", default=[5], help="of TRACER's dialogues")
    parser.add_argument(
        "--answer-rules", nargs="+", choices=ANSWER_RULES, default=ANSWER_RULES, help="what TRACER's teams answer"
    )
    parser.add_argument(
        "--learners", nargs="+", choices=tuple(LEARNERS), default=["tables"], help="of TRACER's controllers"
    )
    parser.add_argument("--json", type=Path, help="also write everything here")
    arguments = parser.parse_args()
    cells = []
    for names, pools in load(arguments.folder).items():
        cells.append(
            measure(
                pools,
                orders=arguments.orders,
                rounds=arguments.rounds,
                names=names,
                answer_rules=arguments.answer_rules,
                learners=arguments.learners,
            )
        )
        print(*names, "done", file=sys.stderr)
    results = report(cells)
    print(page(results))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(status_of(main))
