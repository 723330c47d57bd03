"""Speakers trained alone first, then controllers fitted to them: the two layers one after the other."""

from benchmarks.methods.played import learned
from benchmarks.suite.recipes import SINGLE_GRPO

METHODS = (
    learned(
        "staged",
        title="Staged: GRPO alone, then controllers",
        reference="single-agent GRPO speakers, whose reviews nobody trained, and TRACER's controllers",
        minimiser=lambda plan: plan.base.controllers.minimiser,
        recipe=SINGLE_GRPO,
    ),
)
