"""Regret iterations per second beside OpenSpiel's, on the same expanded dialogues: ``--json FILE``.

Both solvers run CFR+ with alternating updates on 64 and 1,024 tabular questions (R = 5, N = 2, ``recall``), in
turns, one process, medians of repeats, in CPU time.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.peers.openspiel import iterated, openspiel, twins
from tracer_agents.cli import status_of
from tracer_agents.controllers.regret import RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.runs.files import write_json
from tracer_env.infosets import INFOSETS, InfosetName

AGREEMENT_ITERATIONS = 100
SIZES = (64, 1024)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.regret", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--infoset", default="recall", choices=INFOSETS)
    arguments = parser.parse_args()
    figures = measure(arguments.infoset)
    write_json(arguments.json, figures)
    print(json.dumps(figures, indent=2))


def measure(infoset: InfosetName, sizes: tuple[int, int] = SIZES, repeats: int = 7) -> dict[str, Any]:
    """All figures; seconds are per iteration (both players updated)."""
    small, large = sizes
    figures: dict[str, Any] = {"infoset": infoset}
    for questions in sizes:
        pair = twins(questions, infoset)
        tables = RegretTables.empty()

        def ours(iterations: int, game=pair.game) -> None:
            nonlocal tables
            tables = solve(game, tables, RegretMatchingPlus(), iterations=iterations, weighting="counterfactual")

        contenders = {"ours": (ours, 200), "cpp": (_updates(openspiel().CFRPlusSolver(pair.theirs)), 10)}
        if questions == small:
            figures["max_policy_difference"] = iterated(pair, "CFRPlus", [AGREEMENT_ITERATIONS])[0].difference
            contenders["python"] = (_updates(_python_solver(pair.theirs)), 2)
        figures[f"seconds_{questions}"] = _race(contenders, repeats)
        figures[f"nodes_{questions}"] = {"merged": pair.game.trie.n_nodes, "unmerged": 15 * questions}
    first, second = figures[f"seconds_{small}"], figures[f"seconds_{large}"]
    figures["speedup_openspiel_python"] = first["python"] / first["ours"]
    figures["speedup_openspiel_cpp"] = first["cpp"] / first["ours"]
    figures[f"speedup_openspiel_cpp_{large}"] = second["cpp"] / second["ours"]
    return figures


def _updates(solver: Any) -> Callable[[int], None]:
    def run(iterations: int) -> None:
        for _ in range(iterations):
            solver.evaluate_and_update_policy()

    return run


def _python_solver(game: Any) -> Any:
    from open_spiel.python.algorithms import cfr  # pyright: ignore[reportMissingImports]

    return cfr.CFRPlusSolver(game)


def _race(contenders: dict[str, tuple[Callable[[int], None], int]], repeats: int) -> dict[str, float]:
    """Median seconds per iteration, contenders taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, (run, iterations) in contenders.items():
            start = time.process_time()
            run(iterations)
            seconds[name].append((time.process_time() - start) / iterations)
    return {name: statistics.median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    sys.exit(status_of(main))
