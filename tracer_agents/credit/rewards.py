"""What an utterance is paid: the reward of its role, less format and truncation penalties (DESIGN, section 4)."""

from dataclasses import dataclass

from tracer_env.dialogue import FinishReason, Utterance
from tracer_env.rewards import proposer_reward, reviewer_reward


@dataclass(frozen=True, slots=True, kw_only=True)
class Penalties:
    """Prices of bad form, subtracted from the role's reward.

    ``format`` is for a review without a readable verdict, ``truncation`` for an utterance cut by the limit.
    """

    format: float = 0.5
    truncation: float = 0.5


def credit_proposal(utterance: Utterance, right: bool, penalties: Penalties) -> float:
    """+1 for a right solution, −1 for a wrong or unparseable one, less the truncation penalty."""
    return proposer_reward(right) - _truncation(utterance, penalties)


def credit_review(utterance: Utterance, pending_right: bool, penalties: Penalties, uplift: float = 0.0) -> float:
    """±1 by whether the verdict is true, 0 less the format penalty without one; plus ``uplift``.

    ``uplift`` is the value (±1) of a proposal refreshed after this review minus the value of the pending one:
    it pays a review for helping.
    """
    form = penalties.format if utterance.verdict is None else 0.0
    return reviewer_reward(utterance.verdict, pending_right) + uplift - form - _truncation(utterance, penalties)


def _truncation(utterance: Utterance, penalties: Penalties) -> float:
    return penalties.truncation if utterance.finish_reason is FinishReason.LENGTH else 0.0
