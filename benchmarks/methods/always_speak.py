"""Fixed proposer–reviewer: everybody speaks in every round."""

from benchmarks.methods.played import fixed
from tracer_agents.controllers.fixed import AlwaysSpeak

METHODS = (
    fixed(
        "always_speak",
        title="Always speak",
        reference="the fixed proposer–reviewer protocol",
        controller=lambda bench: AlwaysSpeak(),
    ),
)
