"""Kuhn poker solved by the minimiser that trains the controllers: the first player's value is −1/18."""

from tracer_agents.controllers.regret import RegretMatchingPlus, normalised
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.gaps import nash_gap
from tracer_agents.game.values import expected_utility
from tracer_agents.worlds.games import kuhn_poker


def solved(iterations: int) -> tuple[float, float]:
    """(the first player's value, how much anybody could gain by another strategy) after this many iterations."""
    game = kuhn_poker()
    tables = solve(game, RegretTables.empty(), RegretMatchingPlus(), iterations=iterations, weighting="counterfactual")
    average = normalised(tables.average[tables.rows(game.trie.keys)])
    return expected_utility(game, average), nash_gap(game, average)


if __name__ == "__main__":
    value, gap = solved(5000)
    print(f"value {value:+.5f}, in equilibrium {-1 / 18:+.5f}; nobody can gain more than {gap:.5f}")
