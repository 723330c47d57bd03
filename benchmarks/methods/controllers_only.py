"""Regret-matching controllers with the initial speakers, a method for each minimiser."""

from benchmarks.methods.played import learned
from tracer_agents.controllers.regret import MINIMISERS

_NAMES = {
    "RegretMatching": ("controllers_rm", "RM"),
    "RegretMatchingPlus": ("controllers_only", "RM+"),
    "PredictiveRegretMatchingPlus": ("controllers_prm_plus", "PRM+"),
    "SmoothPredictiveRegretMatchingPlus": ("controllers_sprm_plus", "SPRM+"),
    "DiscountedRegretMatching": ("controllers_dcfr", "DCFR"),
    "Hedge": ("controllers_hedge", "Hedge"),
}
METHODS = tuple(
    learned(
        _NAMES[minimiser][0],
        title=f"Controllers only, {_NAMES[minimiser][1]}",
        reference=f"{minimiser} on recorded trees of the initial speakers",
        minimiser=minimiser,
        recipe=None,
    )
    for minimiser in MINIMISERS
)
