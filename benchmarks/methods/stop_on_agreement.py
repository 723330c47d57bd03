"""Speaks until the pending answer is seconded."""

from benchmarks.methods.played import fixed
from tracer_agents.controllers.fixed import StopOnAgreement

METHODS = (
    fixed(
        "stop_on_agreement",
        title="Stop on agreement",
        reference="until two proposals agree, or more reviews say RIGHT than WRONG",
        controller=lambda bench: StopOnAgreement(),
    ),
)
