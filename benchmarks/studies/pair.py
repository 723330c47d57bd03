"""Do learned controllers use a team of a cheap and a strong model better than cascades do? Reports from records.

    python -m benchmarks run --config configs/pair.yaml --out runs/pair
    python -m benchmarks run --config configs/trio.yaml --out runs/trio
    python -m benchmarks.studies.pair runs/pair runs/trio

The first folder holds the rivals; every folder holds ``controllers_only``. At each price of speech the learned team is
compared with each rival by utility and, at the learned team's cost, by accuracy: the rival's accuracy there is that of
the best mixture of its settings (their upper concave envelope) that costs no more.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.report.holm import holm
from benchmarks.suite.answers import read_answers
from benchmarks.suite.fitting import price_point
from benchmarks.suite.plan import Plan, make_plan, read_plan
from benchmarks.suite.point import cell_folder
from tracer_agents.cli import status_of
from tracer_agents.evaluation.metrics import interval95, values
from tracer_agents.evaluation.statistics import RESAMPLES, paired_t_p
from tracer_agents.rollout.records import DialogueRecord
from tracer_env.errors import DataError

LEARNED = "controllers_only"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One method in one folder: per price, float arrays of shape (questions of all seeds,)."""

    name: str
    right: Mapping[float, np.ndarray]
    cost: Mapping[float, np.ndarray]
    utility: Mapping[float, np.ndarray]

    def accuracy_at(self, cost: float) -> float:
        """Of the best mixture of the method's settings, doing nothing included, that costs no more than this."""
        points = sorted((float(self.cost[price].mean()), float(self.right[price].mean())) for price in self.cost)
        best = 0.0
        for low_cost, low in [(0.0, 0.0), *points]:
            for high_cost, high in points:
                if low_cost <= cost:
                    share = 1.0 if high_cost <= cost else (cost - low_cost) / (high_cost - low_cost)
                    best = max(best, low, low + share * (high - low))
        return best


def load(out: Path, method: str, plan: Plan) -> tuple[Arm, list[str]]:
    """A method's records under every seed, and the ids of their questions.

    Raises:
        DataError: a cell has not ended.
    """
    [label] = plan.tasks
    records: dict[float, list[DialogueRecord]] = {price: [] for price in plan.all_prices}
    for seed in plan.seeds:
        folder = cell_folder(out, method, label, seed)
        if not (folder / "cell.json").is_file():
            raise DataError(f"{folder}: has not ended; continue the benchmark")
        answers = read_answers(folder / "records.jsonl")
        for price, kept in records.items():
            kept += [record for record in answers if record.method == price_point(method, price).label]
    config = plan.base
    utilities = {price: plan.config(label, 0, {"dialogue.price_of_speech": price}).utility for price in plan.all_prices}
    arm = Arm(
        name=method,
        right={price: values(kept, "accuracy", config.utility) for price, kept in records.items()},
        cost={price: values(kept, "cost", config.utility) for price, kept in records.items()},
        utility={price: values(kept, "utility", utilities[price]) for price, kept in records.items()},
    )
    return arm, [record.question_id for record in records[plan.price]]


def compared(team: Arm, rival: Arm, prices: Sequence[float]) -> list[dict[str, float | str]]:
    """The learned team minus a rival at every price: utility with its interval and p, and accuracy at equal cost."""
    rows: list[dict[str, float | str]] = []
    for price in prices:
        difference = team.utility[price] - rival.utility[price]
        low, high = interval95(difference, resamples=RESAMPLES, seed=0)
        cost = float(team.cost[price].mean())
        rows.append(
            {
                "team": team.name,
                "rival": rival.name,
                "price": price,
                "utility_difference": float(difference.mean()),
                "low": low,
                "high": high,
                "p": paired_t_p(difference),
                "cost": cost,
                "accuracy": float(team.right[price].mean()),
                "rival_cost": float(rival.cost[price].mean()),
                "rival_accuracy": float(rival.right[price].mean()),
                "rival_accuracy_at_that_cost": rival.accuracy_at(cost),
            }
        )
    return rows


def report(folders: Sequence[Path]) -> tuple[str, list[dict[str, float | str]]]:
    """The page's tables as Markdown, and their rows.

    Raises:
        DataError: a cell has not ended, or the folders hold different questions.
    """
    plans = {out: make_plan(read_plan(out / "plan.yaml"), str(out / "plan.yaml")) for out in folders}
    rivals_at = folders[0]
    prices = plans[rivals_at].all_prices
    arms = {(out, name): load(out, name, plan) for out, plan in plans.items() for name in plan.methods}
    asked = {tuple(ids) for _, ids in arms.values()}
    if len(asked) > 1:
        raise DataError(f"{', '.join(map(str, folders))}: were asked different questions; give them one plan's seeds")
    rows: list[dict[str, float | str]] = []
    for out in folders:
        team = arms[out, LEARNED][0]
        rivals = [(out, "best_fixed"), *((rivals_at, name) for name in plans[rivals_at].methods)]
        for place in dict.fromkeys(rivals):
            if place[1] != LEARNED and place in arms and (place[1] != "best_fixed" or place[0] == out):
                rows += [{"folder": out.name, **row} for row in compared(team, arms[place][0], prices)]
    for row, p in zip(rows, holm([float(row["p"]) for row in rows]), strict=True):
        row["p_holm"] = float(p)
    return _tables(rows, arms, prices), rows


def _tables(
    rows: Sequence[Mapping[str, float | str]],
    arms: Mapping[tuple[Path, str], tuple[Arm, list[str]]],
    prices: Sequence[float],
) -> str:
    lines = [
        "| method | " + " | ".join(f"λ = {price:g}" for price in prices) + " |",
        "|---" * (1 + len(prices)) + "|",
    ]
    for (out, name), (arm, _) in arms.items():
        cells = [
            f"{arm.utility[price].mean():.3f} ({arm.right[price].mean():.3f} at {arm.cost[price].mean():.0f})"
            for price in prices
        ]
        lines.append(f"| {name}, {out.name} | " + " | ".join(cells) + " |")
    lines += ["", "| team | rival | λ | utility: team − rival [95%] | p (Holm) | accuracy at equal cost: team, rival |"]
    lines.append("|---|---|---|---|---|---|")
    lines += [
        f"| {row['folder']} | {row['rival']} | {row['price']:g} | {row['utility_difference']:+.3f} "
        f"[{row['low']:+.3f}, {row['high']:+.3f}] | {row['p_holm']:.3g} | {row['accuracy']:.3f}, "
        f"{row['rival_accuracy_at_that_cost']:.3f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Prints the tables, and writes their rows beside the first folder's plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="where benchmarks were run")
    parser.add_argument("--json", type=Path, help="also write the rows of the comparison here")
    arguments = parser.parse_args()
    page, rows = report(arguments.folders)
    print(page)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(status_of(main))
