"""Speakers trained in, and playing, dialogues in which everybody always speaks."""

from benchmarks.methods.base import Cost
from benchmarks.methods.generated import dialogues
from benchmarks.suite.recipes import SPEAKERS_ONLY
from tracer_agents.controllers.fixed import AlwaysSpeak

METHODS = (
    dialogues(
        "speakers_only",
        title="Speakers only",
        reference="role-wise GSPO under the fixed protocol",
        controller=AlwaysSpeak(),
        cost=lambda plan: Cost(
            proposals=1,
            reviews=(plan.base.dialogue.rounds - 1) / 2,
            revisions=(plan.base.dialogue.rounds - 1) / 2,
        ),
        recipe=SPEAKERS_ONLY,
    ),
)
