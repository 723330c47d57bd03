"""Every minimiser on every game with a known answer: gaps against iterations, and regret against its bound."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.regret.common import strategy_in, table
from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import Play
from tracer_agents.game.gaps import kkt_gap, nash_gap, team_optimum
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.values import Game, Weighting, expected_utility
from tracer_agents.worlds.games import climbing_game, kuhn_poker, penalty_game, staircase
from tracer_agents.worlds.tabular_games import TABULAR_EXAMPLES

CHECKPOINTS = np.unique(np.round(np.geomspace(1, 3000, 40)).astype(int))
COLUMNS = 4  # of pictures
FLOOR = 1e-9  # smaller gaps are drawn here: rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A game, how regrets are weighted, which strategy is measured and by which gap."""

    name: str
    game: Game
    weighting: Weighting
    play: Play = "current"
    gap: str = "KKT"
    bounded: bool = False  # the local bounds add up to external regret: perfect recall, counterfactual weighting


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One run."""

    gaps: np.ndarray  # (checkpoints,)
    regret: np.ndarray  # (checkpoints,) the largest average external regret as the updates saw it
    bound: np.ndarray  # (checkpoints,)
    team_gap: float  # of the strategy at the end


def cases() -> list[Case]:
    """Kuhn poker, the matrix games, every shipped dialogue with a known answer, and the coordination trap."""
    trap = next(example for example in TABULAR_EXAMPLES if example.speakers == "coordination_trap")
    return [
        Case(
            name="Kuhn poker (average)",
            game=kuhn_poker(),
            weighting="counterfactual",
            play="average",
            gap="Nash",
            bounded=True,
        ),
        Case(name="climbing game", game=climbing_game(), weighting="gradient"),
        Case(name="penalty game", game=penalty_game(), weighting="gradient"),
        Case(name="staircase of 6", game=staircase(6), weighting="gradient"),
        *(
            Case(name=f"{example.speakers}, consensus", game=example.game("consensus"), weighting="gradient")
            for example in TABULAR_EXAMPLES
        ),
        *(
            _in_recall(f"{example.speakers}, recall", example.game("recall"))
            for example in TABULAR_EXAMPLES
            if example is not trap
        ),
        _in_recall("coordination_trap, recall, parity", trap.game("recall", "parity")),
    ]


def _in_recall(name: str, game: Game) -> Case:
    return Case(name=name, game=game, weighting="counterfactual", gap="Nash", bounded=True)


def section(folder: Path) -> str:
    """The traces' figures and the iterations each needs."""
    traces = {case.name: {name: trace(case, name) for name in MINIMISERS} for case in cases()}
    (folder / "regret").mkdir(exist_ok=True)
    _draw_gaps(traces, folder / "regret" / "convergence.png")
    _draw_bounds(traces, folder / "regret" / "bounds.png")
    rows = []
    for case in cases():
        cells = []
        for name in MINIMISERS:
            run = traces[case.name][name]
            reached = CHECKPOINTS[np.argmax(run.gaps <= 1e-4)] if np.any(run.gaps <= 1e-4) else "–"
            cells.append(f"{reached} ({run.team_gap:.1e})" if case.name[:4] != "Kuhn" else f"{reached}")
        rows.append((case.name, case.gap, *cells))
    worst = max(
        float(np.max(run.regret / np.maximum(run.bound, 1e-300)))
        for case in cases()
        if case.bounded
        for name, run in traces[case.name].items()
        if name in ("RegretMatching", "RegretMatchingPlus")
    )
    return (
        "## Convergence of each minimiser on each game\n\n"
        "Alternating updates from ½, ½. In each cell: the first checked iteration (of 40, geometrically spaced up to "
        "3,000) whose gap is ≤ 1e-4, and in brackets the team gap at the end. – means not within 3,000.\n\n"
        + table(("game", "gap", *MINIMISERS), rows)
        + "\n\n![Gap against iterations](regret/convergence.png)\n\n"
        "Which theorem speaks where:\n\n"
        "- *Kuhn poker* (two players, zero sum, perfect recall): no-regret averages approach Nash equilibria; all six "
        "minimisers are covered, RM and RM+ at Δ/√T.\n"
        "- *Dialogues in `recall`* (identical interest, perfect recall): the same local bounds add up to each "
        "controller's external regret, so the run's profiles approach a coarse correlated equilibrium. That the last "
        "iterate is a Nash equilibrium is seen here, not promised; that it need not be the optimum is the "
        "coordination trap.\n"
        "- *Dialogues in the abstractions, matrix games and the staircase* with gradient weighting: alternating RM+ "
        "reaches KKT points in polynomially many iterations (arXiv 2510.17067). Nothing is promised for external "
        "regret under imperfect recall, nor for plain RM's speed: on the staircase RM needs a factor more for every "
        "step, RM+ a few rounds more (`tests/tracer_agents/game/test_examples.py`).\n\n"
        f"The largest ratio of average external regret to its bound Σ Δ_I/√T over all checked iterations of RM and RM+ "
        f"where it is a theorem: {worst:.2f}.\n\n"
        "![Average external regret beside its bound](regret/bounds.png)"
    )


def trace(case: Case, minimiser: str) -> Trace:
    """Runs one minimiser on one game, measuring at the checkpoints."""
    game, rule = case.game, MINIMISERS[minimiser]()
    tables, watched = RegretTables.empty(), RunRegret(game.n_players)
    on_update = watched.watch(game) if case.bounded else None
    gaps, regret, bound = [], [], []
    for checkpoint in CHECKPOINTS:
        tables = solve(
            game,
            tables,
            rule,
            iterations=int(checkpoint) - tables.iterations,
            weighting=case.weighting,
            on_update=on_update,
        )
        strategy = strategy_in(game, tables, case.play)
        gaps.append((kkt_gap if case.gap == "KKT" else nash_gap)(game, strategy))
        players = watched.players()
        regret.append(max((player.as_seen for player in players), default=0.0))
        bound.append(max((player.bound for player in players), default=0.0))
    final = strategy_in(game, tables, case.play)
    return Trace(
        gaps=np.array(gaps),
        regret=np.array(regret),
        bound=np.array(bound),
        team_gap=team_optimum(game).value - expected_utility(game, final),
    )


def _draw_gaps(traces: dict[str, dict[str, Trace]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    height = -(-(len(traces) + 1) // COLUMNS)  # one place is the legend's
    figure, axes = pyplot.subplots(
        height, COLUMNS, figsize=(15, 3.2 * height), sharex=True, sharey=True, layout="constrained"
    )
    for axis, (game, runs) in zip(axes.flat, traces.items(), strict=False):
        for name, run in runs.items():
            axis.loglog(CHECKPOINTS, np.maximum(run.gaps, FLOOR), label=name, linewidth=1.4)
        axis.set_title(game, fontsize=10)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(traces) :]:
        axis.axis("off")
    axes.flat[-1].legend(*axes.flat[0].get_legend_handles_labels(), loc="center", frameon=False)
    figure.supxlabel("iterations")
    figure.supylabel(f"gap (≥ {FLOOR:g})")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)


def _draw_bounds(traces: dict[str, dict[str, Trace]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bounded = [case.name for case in cases() if case.bounded]
    height = -(-len(bounded) // COLUMNS)
    figure, axes = pyplot.subplots(
        height, COLUMNS, figsize=(15, 3.4 * height), sharex=True, sharey=True, layout="constrained"
    )
    for axis in axes.flat[len(bounded) :]:
        axis.axis("off")
    for axis, game in zip(axes.flat, bounded, strict=False):
        for name in ("RegretMatching", "RegretMatchingPlus"):
            run = traces[game][name]
            (line,) = axis.loglog(CHECKPOINTS, np.maximum(run.regret, 1e-7), label=name)
            axis.loglog(CHECKPOINTS, run.bound, "--", color=line.get_color(), label=f"{name}: bound")
        axis.set_title(game, fontsize=10)
        axis.grid(alpha=0.3)
    axes.flat[0].legend(fontsize=8)
    figure.supylabel("average external regret")
    figure.supxlabel("iterations")
    figure.savefig(path, dpi=90)
    pyplot.close(figure)
