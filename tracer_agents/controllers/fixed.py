"""Controllers that never learn: the baselines, and the choice of the best of them on training trees."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tracer_agents.rollout.tree import Tree, play
from tracer_agents.types import Controller
from tracer_env.dialogue import Dialogue, Role, is_forced
from tracer_env.errors import ConfigError
from tracer_env.rewards import Utility


class _Rule(ABC):
    """A rule for where speaking is free; where it is forced, everybody speaks."""

    @abstractmethod
    def wants(self, state: Dialogue) -> float:
        """P(SPEAK) where speaking is free."""

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, float64 of shape (len(states),); forced states are 1."""
        return np.array([1.0 if is_forced(state) else self.wants(state) for state in states])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysSpeak(_Rule):
    """Every proposer proposes and every reviewer reviews in every round."""

    def wants(self, state: Dialogue) -> float:
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverReview(_Rule):
    """One proposal is the team's answer: nobody reviews, and a new proposal is made only over an unreadable one."""

    def wants(self, state: Dialogue) -> float:
        return float(state.role is Role.PROPOSER and state.answer is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSpeech(_Rule):
    """Speaks with probability ``p`` wherever it may choose."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ConfigError(f"p of RandomSpeech must lie in [0, 1], got {self.p!r}")

    def wants(self, state: Dialogue) -> float:
        return self.p


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOnAgreement(_Rule):
    """Speaks until the pending answer is seconded: by an earlier proposal that gave it, or by more RIGHT than WRONG."""

    def wants(self, state: Dialogue) -> float:
        if state.answer is None:
            return 1.0
        proposals = [turn.utterance for turn in state.turns if turn.role is Role.PROPOSER and turn.utterance]
        agreeing = sum(proposal.answer == state.answer for proposal in proposals)
        return float(agreeing < 2 and state.votes <= 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle(_Rule):
    """Sees whether the pending answer is right, not future text: speaks exactly while it is wrong.

    Args:
        is_right: whether a state's pending answer is right; it may look at gold.
    """

    is_right: Callable[[Dialogue], bool]

    def wants(self, state: Dialogue) -> float:
        return float(not self.is_right(state))


def fixed_controllers() -> dict[str, Controller]:
    """The fixed controllers that need no gold, by the names that tables use."""
    return {
        "always_speak": AlwaysSpeak(),
        "never_review": NeverReview(),
        "random_speak": RandomSpeech(p=0.5),
        "stop_on_agreement": StopOnAgreement(),
    }


def best_fixed(trees: Sequence[Tree], utility: Utility) -> tuple[str, Controller]:
    """The fixed controller with the highest mean utility on these (training) trees, and its name."""
    candidates = fixed_controllers()
    name = max(candidates, key=lambda name: mean_utility(trees, candidates[name], utility))
    return name, candidates[name]


def mean_utility(trees: Sequence[Tree], controller: Controller, utility: Utility) -> float:
    """The mean utility of the dialogues that a controller plays in these trees."""
    played = play(trees, controller)
    right = np.array([tree.right(state) for tree, state in zip(trees, played, strict=True)])
    cost = np.array([utility.prices.dialogue(state) for state in played])
    return float(np.mean(utility(right, cost)))
