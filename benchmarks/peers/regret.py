"""Regret iterations a second beside OpenSpiel's, on the same expanded dialogues: ``--json FILE``.

Needs OpenSpiel in the same environment (``pip install open_spiel``). Both solvers run CFR+ with alternating
updates on 64 and 1,024 tabular questions (R = 5, N = 2, ``recall``), in turns, one process, medians of
repeats, in CPU time.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tracer_agents.controllers.regret import RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import strategy_of
from tracer_agents.game.efg import export_efg
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.tree import Tree, expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade

MAX_NEW_TOKENS, PRICE, AGREEMENT_ITERATIONS = 100, 0.1, 100


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.regret", description=__doc__)
    parser.add_argument("--json", type=Path, required=True, help="where the figures go")
    parser.add_argument("--infoset", default="recall", choices=("paper", "consensus", "recall"))
    arguments = parser.parse_args()
    figures = measure(arguments.infoset)
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


def measure(infoset: str) -> dict[str, Any]:
    """All figures; seconds are per iteration (both players updated)."""
    pyspiel, cfr = _openspiel()
    figures: dict[str, Any] = {"infoset": infoset}
    for questions in (64, 1024):
        trees = _trees(questions)
        infosets = Infosets(infoset, trees[0].states[""].rules)
        game = EmpiricalGame.from_trees(trees, infosets, token_budget=5 * MAX_NEW_TOKENS).at(PRICE)
        theirs = pyspiel.load_efg_game(export_efg(trees, infosets, _utility()).text)
        cpp = pyspiel.CFRPlusSolver(theirs)
        tables = RegretTables.empty()

        def ours(iterations: int, game=game) -> None:
            nonlocal tables
            tables = solve(game, tables, RegretMatchingPlus(), iterations=iterations, weighting="counterfactual")

        def openspiel_cpp(iterations: int, solver=cpp) -> None:
            for _ in range(iterations):
                solver.evaluate_and_update_policy()

        contenders: dict[str, tuple[Callable[[int], None], int]] = {"ours": (ours, 200), "cpp": (openspiel_cpp, 10)}
        if questions == 64:
            figures["max_policy_difference"] = _difference(game, theirs, pyspiel)
            python = cfr.CFRPlusSolver(theirs)

            def openspiel_python(iterations: int, solver=python) -> None:
                for _ in range(iterations):
                    solver.evaluate_and_update_policy()

            contenders["python"] = (openspiel_python, 2)
        seconds = _race(contenders)
        figures[f"seconds_{questions}"] = seconds
        figures[f"nodes_{questions}"] = {"merged": game.trie.n_nodes, "unmerged": 15 * questions}
    small, large = figures["seconds_64"], figures["seconds_1024"]
    figures["speedup_openspiel_python"] = small["python"] / small["ours"]
    figures["speedup_openspiel_cpp"] = small["cpp"] / small["ours"]
    figures["speedup_openspiel_cpp_1024"] = large["cpp"] / large["ours"]
    return figures


def _openspiel() -> tuple[Any, Any]:
    try:
        import pyspiel  # pyright: ignore[reportMissingImports]
        from open_spiel.python.algorithms import cfr  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SystemExit("OpenSpiel is not installed here: pip install open_spiel") from error
    return pyspiel, cfr


def _race(contenders: dict[str, tuple[Callable[[int], None], int]], repeats: int = 7) -> dict[str, float]:
    """Median seconds an iteration, contenders taking turns."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, (run, iterations) in contenders.items():
            start = time.process_time()
            run(iterations)
            seconds[name].append((time.process_time() - start) / iterations)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _difference(game: Any, theirs: Any, pyspiel: Any) -> float:
    """The largest difference of the average policies after ``AGREEMENT_ITERATIONS`` of CFR+."""
    solver = pyspiel.CFRPlusSolver(theirs)
    for _ in range(AGREEMENT_ITERATIONS):
        solver.evaluate_and_update_policy()
    tables = solve(
        game, RegretTables.empty(), RegretMatchingPlus(), iterations=AGREEMENT_ITERATIONS, weighting="counterfactual"
    )
    average = strategy_of(tables, "average")[tables.rows(game.trie.keys)]
    policy, largest, todo = solver.average_policy(), 0.0, [theirs.new_initial_state()]
    while todo:
        state = todo.pop()
        if state.is_terminal():
            continue
        if not state.is_chance_node():
            name = state.information_state_string()
            row = policy.action_probabilities(name)
            mine = average[game.trie.row[tuple(map(int, name.split("-", 3)[3].split()))]]
            largest = max(largest, float(np.abs(mine - [row[0], row[1]]).max()))
        todo.extend(state.child(action) for action in state.legal_actions())
    return largest


def _trees(questions: int) -> list[Tree]:
    def grade(answers: list[str | None], golds: list[str]) -> list[Grade]:
        return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]

    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(questions)]
    return expand(episodes, Rules(), TabularSpeaker.load(), grade)


def _utility() -> Utility:
    return Utility(price_of_speech=PRICE, rounds=5, max_new_tokens=MAX_NEW_TOKENS)


if __name__ == "__main__":
    main()
