"""OpenSpiel beside us: the same policies after the same iterations, and NashConv beside brute force."""

from pathlib import Path

from benchmarks.peers.openspiel import (
    MAX_NEW_TOKENS,
    PRICE,
    SOLVERS,
    Iterated,
    Twins,
    brute_force_nash_conv,
    iterated,
    twins,
)
from benchmarks.regret.common import table
from tracer_agents.game.gaps import nash_conv
from tracer_env.infosets import InfosetName

QUESTIONS, ITERATIONS = 64, (1, 10, 100)
COUNTABLE = 20  # infosets of a player whose pure strategies are all tried
NAMES: tuple[InfosetName, ...] = ("paper", "consensus", "recall")


def section(folder: Path) -> str:
    """Differences of average policies, and three ways to NashConv."""
    rows = []
    for name in NAMES:
        pair = twins(QUESTIONS, name)
        rows += [_row(name, solver, pair, run) for solver in SOLVERS for run in iterated(pair, solver, ITERATIONS)]
    return (
        f"## OpenSpiel agrees\n\n{QUESTIONS} questions of the shipped tabular speakers (R = 5, N = 2, `rotate`, "
        f"λ = {PRICE}, token budget {5 * MAX_NEW_TOKENS}, token counts drawn and therefore untied), exported as EFG "
        "and loaded by `pyspiel.load_efg_game`; alternating updates, counterfactual weighting. *Difference*: the "
        "largest of any probability between both average policies. *NashConv*: of our average policy by "
        "`game.gaps.nash_conv`; by every pure strategy of each player tried in turn, where they can be counted; and "
        "of OpenSpiel's policy by OpenSpiel's best response, which presumes perfect recall: in the abstractions it "
        "misses deviations, or answers with less than the policy itself and OpenSpiel refuses (–).\n\n"
        + table(
            ("infoset", "algorithm", "iterations", "difference", "NashConv, ours", "brute force", "OpenSpiel"), rows
        )
    )


def _row(name: InfosetName, solver: str, pair: Twins, run: Iterated) -> tuple[object, ...]:
    most = max(len(pair.game.trie.infosets_of(player)) for player in range(pair.game.n_players))
    brute = f"{brute_force_nash_conv(pair.game, run.ours):.10f}" if most <= COUNTABLE else f"2^{most} strategies"
    theirs = "–" if run.openspiel_nash_conv is None else f"{run.openspiel_nash_conv:.10f}"
    ours = f"{nash_conv(pair.game, run.ours):.10f}"
    return name, solver, run.iterations, f"{run.difference:.1e}", ours, brute, theirs
