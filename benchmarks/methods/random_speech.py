"""Every free choice is a fair coin's."""

from benchmarks.methods.played import fixed
from tracer_agents.controllers.fixed import RandomSpeech

METHODS = (
    fixed(
        "random_speech",
        title="Random speech",
        reference="speaks with probability ½ wherever it may choose",
        controller=lambda bench: RandomSpeech(p=0.5),
    ),
)
