"""Kuhn poker through the same minimisers as the dialogues."""

from pathlib import Path

from benchmarks.regret.common import solved, strategy_in, table
from tracer_agents.controllers.regret import MINIMISERS, RegretMatching, RegretMatchingPlus
from tracer_agents.game.gaps import nash_conv
from tracer_agents.game.values import expected_utility
from tracer_agents.worlds.games import kuhn_poker


def section(folder: Path) -> str:
    """The average strategy's value beside −1/18."""
    game = kuhn_poker()
    runs = [("CFR (RegretMatching)", RegretMatching(), 300), ("CFR+ (RegretMatchingPlus)", RegretMatchingPlus(), 200)]
    runs += [(name, kind(), 200) for name, kind in MINIMISERS.items() if not name.startswith("RegretMatching")]
    rows = []
    for name, minimiser, iterations in runs:
        average = strategy_in(
            game, solved(game, "counterfactual", minimiser=minimiser, iterations=iterations), "average"
        )
        error = expected_utility(game, average) + 1 / 18
        rows.append((name, iterations, f"{error:+.1e}", f"{nash_conv(game, average):.1e}"))
    return (
        "## Kuhn poker\n\nAlternating updates, counterfactual weighting; the value in equilibrium is −1/18.\n\n"
        + table(("minimiser", "iterations", "average strategy's value + 1/18", "NashConv"), rows)
    )
