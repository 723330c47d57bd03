"""Controllers fitted on recorded trees: seconds, and no model."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.plan import Plan
from benchmarks.suite.point import Point
from benchmarks.suite.recordings import Recording
from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.solve import Turns, solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import PLAYS, Play, TabularController
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.values import Game, Weighting, expected_utility
from tracer_agents.rollout.empirical import empirical_game
from tracer_env.infosets import Infosets
from tracer_env.rewards import Utility

ITERATIONS = 500  # a fit has converged long before


@dataclass(frozen=True, kw_only=True)
class Games:
    """The empirical games of training and of validation questions."""

    fit: EmpiricalGame
    validation: EmpiricalGame
    infosets: Infosets

    @classmethod
    def of(cls, training: Recording, validation: Recording, infosets: Infosets, utility: Utility) -> "Games":
        """Expands both recordings under the infosets' rules."""
        fit, check = (
            empirical_game(
                recording.trees(infosets.rules), infosets, token_budget=utility.budget, prices=utility.prices
            )
            for recording in (training, validation)
        )
        return cls(fit=fit, validation=check, infosets=infosets)


def fitted(
    games: Games,
    *,
    price: float,
    minimiser: str,
    weighting: Weighting,
    turns: Turns = "alternating",
    iterations: int = ITERATIONS,
    plays: tuple[Play, ...] = PLAYS,
) -> TabularController:
    """Regret matching on the training questions; of ``plays``, the strategy that is best on the validation ones."""
    tables = solve(
        games.fit.priced(price),
        RegretTables.empty(),
        MINIMISERS[minimiser](),
        iterations=iterations,
        weighting=weighting,
        turns=turns,
    )
    return best_play(tables, games.infosets, games.validation.priced(price), plays)


def best_play(
    tables: RegretTables, infosets: Infosets, check: Game, plays: tuple[Play, ...] = PLAYS
) -> TabularController:
    """Of ``plays``, the strategy of learned tables that is best in a game of validation questions."""
    candidates = [TabularController(infosets, tables, play) for play in plays]
    return max(candidates, key=lambda controller: expected_utility(check, controller.profile(check.trie.keys)))


def over_prices(bench: Bench, recipe: Recipe | None, *, name: str, minimiser: str) -> Mapping[Point, TabularController]:
    """Controllers fitted at every price of the plan, by their point."""
    config = bench.config
    games = Games.of(
        bench.recording("train", recipe),
        bench.recording("validation", recipe),
        bench.infosets(recipe),
        config.utility,
    )
    return {
        price_point(name, price): fitted(games, price=price, minimiser=minimiser, weighting=config.weighting)
        for price in bench.plan.all_prices
    }


def price_point(name: str, price: float) -> Point:
    """A method's point at a price of speech."""
    return Point(method=name, setting=f"price={price:g}")


def main_price(plan: Plan) -> str:
    """The setting of a method's point at the price of the main table."""
    return f"price={plan.price:g}"
