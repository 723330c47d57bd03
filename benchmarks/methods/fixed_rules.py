"""Rules that learn nothing, with the initial speakers."""

from benchmarks.methods.played import fixed
from tracer_agents.controllers.fixed import AlwaysSpeak, NeverReview, RandomSpeech, StopOnAgreement

METHODS = (
    fixed(
        "always_speak",
        title="Always speak",
        reference="the fixed proposer–reviewer protocol",
        controller=lambda bench: AlwaysSpeak(),
    ),
    fixed(
        "never_review",
        title="Never review",
        reference="one proposal, and another only over one that cannot be read",
        controller=lambda bench: NeverReview(),
    ),
    fixed(
        "random_speech",
        title="Random speech",
        reference="speaks with probability ½ wherever it may choose",
        controller=lambda bench: RandomSpeech(p=0.5),
    ),
    fixed(
        "stop_on_agreement",
        title="Stop on agreement",
        reference="until two proposals agree, or more reviews say RIGHT than WRONG",
        controller=lambda bench: StopOnAgreement(),
    ),
)
