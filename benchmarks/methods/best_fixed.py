"""The best fixed controller, chosen on training questions."""

from benchmarks.methods.base import Method, Prepared
from benchmarks.methods.played import played
from benchmarks.suite.bench import Bench
from benchmarks.suite.fitting import main_price, price_point
from tracer_agents.controllers.fixed import best_fixed

NAME = "best_fixed"


def _prepare(bench: Bench) -> Prepared:
    trees = bench.recording("train").trees(bench.rules())
    chosen = {}
    for price in bench.plan.all_prices:
        utility = bench.plan.config(bench.label, bench.seed, {"dialogue.price_of_speech": price}).utility
        chosen[price_point(NAME, price)] = best_fixed(trees, utility)[1]
    return played(bench, None, chosen, fitted_on=("train", "validation"))


METHODS = (
    Method(
        name=NAME,
        title="Best fixed rule",
        reference="of always, never, random and stop on agreement, by utility on training questions",
        prepare=_prepare,
        recordings=(("train", None), ("validation", None), ("test", None)),
        setting=main_price,
    ),
)
