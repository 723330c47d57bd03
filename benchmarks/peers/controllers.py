"""Environment steps to 95% of the optimum, ours and other libraries': ``--json FILE``.

Every learner starts from nothing and stops at the goal, or after ``--steps`` controllers' decisions. A run replaces
the file's run of the same library and seed; the others stay, so that libraries can be measured one after the other.
The game is that of ``benchmarks/peers/controllers_game.py``.
"""

import argparse
import sys
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.peers.controllers_game import SHARE, Progress, goal, optimum, uniform
from tracer_agents.cli import status_of
from tracer_agents.runs.files import read_json, write_json

LIBRARIES = ("ours", "tianshou", "torchrl")
STEPS, SEEDS = 20_000, (0, 1, 2)


def main(words: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.controllers", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--library", nargs="+", default=LIBRARIES, choices=LIBRARIES)
    parser.add_argument("--steps", type=int, default=STEPS, help="decisions after which a learner gives up")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    arguments = parser.parse_args(words)
    runs = read_json(arguments.json)["runs"] if arguments.json.exists() else []
    game = {"uniform": uniform(), "optimum": optimum(), "share": SHARE, "goal": goal()}
    for library in arguments.library:
        for seed in arguments.seeds:
            latest = measured(library, arguments.steps, seed)
            runs = [run for run in runs if (run["library"], run["seed"]) != (library, seed)] + [latest]
            runs.sort(key=lambda run: (LIBRARIES.index(run["library"]), run["seed"]))
            write_json(arguments.json, {**game, "runs": runs})
            print({key: latest[key] for key in ("library", "seed", "reached", "steps", "value", "seconds")})


def measured(library: str, steps: int, seed: int) -> dict[str, Any]:
    """One run: its last check, and [steps, value] of all; seconds are CPU time, checks not counted."""
    peer = import_module(f"benchmarks.peers.{library}_controllers")
    progress: Progress = peer.train(steps, seed)
    last = progress.checks[-1]
    return {
        "library": library,
        "name": peer.NAME,
        "choices": peer.CHOICES,
        "seed": seed,
        "limit": steps,
        "reached": last.value >= goal(),
        **asdict(last),
        "checks": [[check.steps, round(check.value, 6)] for check in progress.checks],
    }


if __name__ == "__main__":
    sys.exit(status_of(main))
