"""Controllers that never learn: the baselines, and the choice of the best of them on training trees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from tracer_agents.rollout.tree import Tree, play
from tracer_agents.types import Controller
from tracer_env.dialogue import Dialogue, Role, is_forced
from tracer_env.errors import ConfigError
from tracer_env.rewards import Utility


class _Rule(Protocol):
    def wants(self, state: Dialogue) -> float: ...


def _probabilities(rule: _Rule, states: Sequence[Dialogue]) -> np.ndarray:
    return np.array([1.0 if is_forced(state) else rule.wants(state) for state in states])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlwaysSpeak:
    """Every proposer proposes and every reviewer reviews in every round."""

    def wants(self, state: Dialogue) -> float:
        """P(SPEAK) where speaking is free."""
        return 1.0

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return _probabilities(self, states)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverReview:
    """One proposal is the team's answer: nobody reviews, and a new proposal is made only over an unreadable one."""

    def wants(self, state: Dialogue) -> float:
        """P(SPEAK) where speaking is free."""
        return float(state.role is Role.PROPOSER and state.answer is None)

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return _probabilities(self, states)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomSpeech:
    """Speaks with probability ``p`` wherever it may choose."""

    p: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ConfigError(f"p of RandomSpeech must lie in [0, 1], got {self.p!r}")

    def wants(self, state: Dialogue) -> float:
        """P(SPEAK) where speaking is free."""
        return self.p

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return _probabilities(self, states)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopOnAgreement:
    """Speaks until the pending answer is seconded: by an earlier proposal that gave it, or by more RIGHT than WRONG."""

    def wants(self, state: Dialogue) -> float:
        """P(SPEAK) where speaking is free."""
        if state.answer is None:
            return 1.0
        proposals = [turn.utterance for turn in state.turns if turn.role is Role.PROPOSER and turn.utterance]
        agreeing = sum(proposal.answer == state.answer for proposal in proposals)
        return float(agreeing < 2 and state.votes <= 0)

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return _probabilities(self, states)


@dataclass(frozen=True, slots=True, kw_only=True)
class Oracle:
    """Sees whether the pending answer is right, not future text: speaks exactly while it is wrong.

    Args:
        is_right: whether a state's pending answer is right; it may look at gold.
    """

    is_right: Callable[[Dialogue], bool]

    def wants(self, state: Dialogue) -> float:
        """P(SPEAK) where speaking is free."""
        return float(not self.is_right(state))

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return _probabilities(self, states)


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
    tokens = np.array([state.generated_tokens for state in played])
    return float(np.mean(utility(right, tokens)))
