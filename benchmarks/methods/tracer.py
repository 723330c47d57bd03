"""TRACER: speakers trained on the lines of learning controllers, then controllers fitted to the trained speakers."""

from benchmarks.methods.played import learned
from benchmarks.suite.recipes import TRACER

METHODS = (
    learned(
        "tracer",
        title="TRACER",
        reference="arXiv 2605.28699: both layers",
        minimiser=lambda plan: plan.base.controllers.minimiser,
        recipe=TRACER,
    ),
)
