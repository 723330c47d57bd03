"""What a belief is made of: how well it ranks answers with each set of signals, and what controllers make of that.

    python -m benchmarks.studies.belief_parts FOLDER --json parts.json [--play]

``FOLDER`` holds pools as in ``benchmarks.studies.beliefs``. Beliefs are fitted to the training questions and judged on
the validation questions, in all states of dialogues of five rounds. ``--play`` also fits controllers of nine rounds
with each part and takes them to the test questions; differences from all parts together are paired by question and
resampled within seeds.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.studies.beliefs import RATIOS, load
from benchmarks.suite.draws import Table
from benchmarks.suite.frontier import accuracy_at, difference
from benchmarks.suite.learned import expanded, learned_curve
from tracer_agents.cli import status_of
from tracer_agents.controllers.calibration import BINS, auroc_within, diagnose, fit_belief, judge
from tracer_agents.evaluation.statistics import RESAMPLES, resampled_counts
from tracer_agents.rollout.pools import Pool
from tracer_env.beliefs import SIGNALS
from tracer_env.dialogue import Rules
from tracer_env.seeding import bootstrap_stream

ALL = tuple(SIGNALS)
PARTS: dict[str, dict[str, Any]] = {
    "everything": {},
    "agreement alone": {"signals": ("agreement",)},
    "agreement, log-probability": {"signals": ("agreement", "logp")},
    "agreement, verdict": {"signals": ("agreement", "verdict")},
    "without verdicts": {"signals": tuple(name for name in ALL if name != "verdict")},
    "4 bins": {"bins": 4},
    "64 bins": {"bins": 64},
    "100 training questions": {"questions": 100},
}
ROUNDS = 9
_JUDGED = 5  # rounds of the trees on which beliefs are judged


def verdicts(pool: Pool) -> dict[str, float | None]:
    """How well P(RIGHT), and the log-probability, rank single proposals."""
    table = Table.of(pool.questions)
    readable, right, question = table.graded()
    weight = np.ones(len(right))
    results: dict[str, float | None] = {}
    for name, values in (("P(RIGHT)", table.p_right), ("log-probability", table.logp)):
        scores = values[readable]
        ranks = (np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 0.5) / len(scores)
        results[f"{name}, AUROC"] = judge(ranks, right, question, weight).auroc
        results[f"{name}, within questions"] = auroc_within(scores, right, question)
    return results


def judged(pools: Mapping[str, Pool], part: Mapping[str, Any]) -> dict[str, float | None]:
    """The diagnostics of a belief with one part, on validation questions."""
    rules = Rules(rounds=_JUDGED, revisions=False, answer_rule="belief")
    questions = pools["train"].questions[: part.get("questions")]
    belief = fit_belief(expanded(questions, rules), bins=1, signals=part.get("signals", ALL))
    results = diagnose(belief, expanded(pools["validation"].questions, rules))
    return {
        "AUROC": results.auroc,
        "within questions": results.auroc_within_questions,
        "calibration error": results.calibration_error,
    }


def played(
    pools: Mapping[str, Pool], part: Mapping[str, Any], *, orders: int, seed: int
) -> dict[float, tuple[np.ndarray, np.ndarray]]:
    """The accuracy on test questions by ratio: the estimate, and its values in resamples of questions."""
    limited = {**pools, "train": replace(pools["train"], questions=pools["train"].questions[: part.get("questions")])}
    curve, _ = learned_curve(
        limited,
        rounds=ROUNDS,
        answer_rule="belief",
        orders=orders,
        seed=seed,
        ratios=RATIOS,
        bins=part.get("bins", BINS),
        signals=part.get("signals", ALL),
    )
    table = Table.of(pools["test"].questions)
    unit = table.cost[:, -1] / table.k
    counts = resampled_counts(len(unit), resamples=RESAMPLES, rng=bootstrap_stream(seed))
    return {ratio: (accuracy_at(curve, unit, ratio), accuracy_at(curve, unit, ratio, counts)) for ratio in RATIOS}


def main() -> None:
    """Prints a row for each part, and writes everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the pools are")
    parser.add_argument("--play", action="store_true", help="also fit controllers with each part")
    parser.add_argument("--orders", type=int, default=2, help="of each test question's draws")
    parser.add_argument("--json", type=Path, required=True, help="where everything is written")
    options = parser.parse_args()
    cells = load(options.folder)
    results: dict[str, Any] = {"signals": [], "beliefs": [], "play": []}
    for (speakers, task, seed), pools in cells.items():
        cell = {"speakers": speakers, "task": task, "seed": seed}
        results["signals"].append({**cell, **verdicts(pools["validation"])})
        for name, part in PARTS.items():
            if "bins" not in part:
                results["beliefs"].append({**cell, "part": name, **judged(pools, part)})
                print(results["beliefs"][-1], flush=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    whole: list[dict[float, tuple[np.ndarray, np.ndarray]]] = []
    for name, part in PARTS.items() if options.play else ():
        each = [played(pools, part, orders=options.orders, seed=seed) for (*_, seed), pools in cells.items()]
        whole = whole or each
        for ratio in RATIOS:
            accuracy = float(np.mean([of_cell[ratio][0] for of_cell in each]))
            against = difference([cell[ratio] for cell in each], [cell[ratio] for cell in whole])
            results["play"].append({"part": name, "ratio": ratio, "accuracy": accuracy, **asdict(against)})
            print(results["play"][-1], flush=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(status_of(main))
