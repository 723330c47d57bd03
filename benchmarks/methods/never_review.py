"""One proposal, repeated only while it cannot be read."""

from benchmarks.methods.played import fixed
from tracer_agents.controllers.fixed import NeverReview

METHODS = (
    fixed(
        "never_review",
        title="Never review",
        reference="one proposal, and another only over one that cannot be read",
        controller=lambda bench: NeverReview(),
    ),
)
