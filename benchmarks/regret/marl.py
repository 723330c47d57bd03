"""Environment steps to 95% of the optimum beside other libraries' learners, from their recorded runs."""

import json
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.peers.controllers import LIBRARIES
from benchmarks.regret.common import table

RECORDED = "controllers.json"


def section(folder: Path) -> str:
    """The table, and what was chosen for each learner.

    Raises:
        FileNotFoundError: nothing is recorded; ``python -m benchmarks.peers.controllers`` records.
    """
    figures = json.loads((folder / RECORDED).read_text("utf-8"))
    missing = [library for library in LIBRARIES if all(run["library"] != library for run in figures["runs"])]
    learners = [list(runs) for _, runs in groupby(figures["runs"], key=lambda run: run["library"])]
    choices = "\n".join(f"- *{runs[0]['name']}*: {runs[0]['choices']}." for runs in learners)
    return (
        "## Environment steps to 95% of the optimum\n\n"
        "The shipped tabular speakers behind `controller_env` (R = 5, N = 2, `rotate`, `consensus`, λ = 0.1), fresh "
        "questions throughout; learners of other libraries take it through those libraries' own PettingZoo support "
        f"([how](../howto/marl.md)). A profile's value is exact, on the enumerated game: {figures['uniform']:.4f} for "
        f"random play, {figures['optimum']:.4f} for the optimum. The goal is {figures['goal']:.4f}, "
        f"{figures['share']:.0%} of the way between them, and counts when a check first finds it. *Steps* are "
        "controllers' decisions, forced ones included: five per dialogue, 16 per fully expanded question; > means "
        "that the goal was not reached within so many. *Utterances* are what a language model would have had to "
        "generate. A cell has a figure for each seed; seconds are CPU time of one process.\n\n"
        + table(
            ("learner", "seeds", "steps to the goal", "utterances", "value at the end", "CPU seconds"),
            [_row(runs) for runs in learners],
        )
        + (f"\n\nNot measured: {', '.join(missing)}." if missing else "")
        + f"\n\nChosen for each:\n\n{choices}\n\n"
        "Recorded by `python -m benchmarks.peers.controllers --json docs/results/controllers.json`."
    )


def _row(runs: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    def each(field: str, digits: str) -> str:
        return " / ".join(format(run[field], digits) for run in runs)

    steps = " / ".join(("" if run["reached"] else "> ") + f"{run['steps']:,}" for run in runs)
    spoken = " / ".join(("" if run["reached"] else "> ") + f"{run['utterances']:,}" for run in runs)
    return runs[0]["name"], each("seed", "d"), steps, spoken, each("value", ".4f"), each("seconds", ".1f")
