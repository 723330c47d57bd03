"""Controllers fitted to trained speakers: TRACER, which trains both together, and one layer after the other."""

from benchmarks.methods.played import learned
from benchmarks.suite.recipes import SINGLE_GRPO, TRACER

METHODS = (
    learned("tracer", title="TRACER", reference="arXiv 2605.28699: both layers", recipe=TRACER),
    learned(
        "staged",
        title="Staged: GRPO alone, then controllers",
        reference="single-agent GRPO speakers, whose reviews nobody trained, and TRACER's controllers",
        recipe=SINGLE_GRPO,
    ),
)
