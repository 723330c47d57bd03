"""Self-consistency of TRACER's trained proposers: what the controllers add is what it lacks."""

from benchmarks.methods.generated import votes
from benchmarks.suite.recipes import TRACER

METHODS = (
    votes(
        "tracer_votes",
        title="TRACER's speakers + votes",
        reference="self-consistency with the speakers that TRACER trained",
        recipe=TRACER,
    ),
)
