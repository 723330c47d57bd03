"""One answer by one agent: sampled, and greedy."""

from benchmarks.methods.base import Cost
from benchmarks.methods.generated import dialogues
from tracer_agents.controllers.fixed import RandomSpeech

_ALONE = RandomSpeech(p=0.0)  # round 1 is forced
METHODS = (
    dialogues(
        "single",
        title="Single answer",
        reference="one sample",
        controller=_ALONE,
        cost=lambda plan: Cost(proposals=1),
    ),
    dialogues(
        "single_greedy",
        title="Single answer, greedy",
        reference="temperature 0",
        controller=_ALONE,
        cost=lambda plan: Cost(proposals=1),
        greedy=True,
    ),
)
