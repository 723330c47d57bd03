"""The records and one-verb protocols that cross module boundaries in ``tracer_agents``."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracer_env.dialogue import Dialogue, Utterance
from tracer_env.tasks.base import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One dialogue to be: a question and the seed from which all its randomness is derived."""

    question: Question
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakRequest:
    """One utterance wanted from the active speaker of ``state`` (``state.speaking`` is True).

    Candidate 0 continues the dialogue; others are further samples of the same prompt.
    """

    episode: Episode
    state: Dialogue
    candidate: int = 0

    @property
    def noise_seed(self) -> int:
        """The seed of this utterance's sampling noise (``Dialogue.noise_seed``)."""
        return self.state.noise_seed(self.episode.seed, self.candidate)


class Speakers(Protocol):
    """Everybody's proposers and reviewers behind one verb."""

    def speak(self, requests: Sequence[SpeakRequest]) -> Sequence[Utterance]:
        """One parsed utterance per request, in order; batched across everything asked."""
        ...


class Controller(Protocol):
    """Decides, for one or all agents, when to speak."""

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, float64 of shape (len(states),); forced states are 1."""
        ...
