"""Speakers that never say the same thing twice: completions are kept as long as the weights stand still."""

from collections.abc import Sequence

from tracer_agents.types import Speakers, SpeakRequest
from tracer_env.dialogue import Utterance


class RememberingSpeakers:
    """Wraps speakers whose utterance is a function of the request, so that methods share what they have in common.

    An utterance is known by its ``noise_seed``, which is derived from the modes before it or from what its speaker sees
    (``Rules.sharing``): with the same weights it is a function of either. Make a new one after every change of weights.
    """

    def __init__(self, speakers: Speakers) -> None:
        self._speakers = speakers
        self._known: dict[int, Utterance] = {}

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """One utterance per request, generating only those not known yet, in one call."""
        fresh = {request.noise_seed: request for request in requests if request.noise_seed not in self._known}
        self._known.update(zip(fresh, self._speakers.speak(list(fresh.values())) if fresh else (), strict=True))
        return [self._known[request.noise_seed] for request in requests]
