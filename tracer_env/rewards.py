"""Who is paid what: pure functions from grades and tokens to rewards (DESIGN, section 2, "Utility")."""

from dataclasses import dataclass

import numpy as np

from tracer_env.dialogue import Verdict
from tracer_env.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """The team's utility u(z) = R(z) − λ·C(z), shared by all controllers.

    Args:
        price_of_speech: λ ≥ 0.
        rounds: R of the dialogue.
        max_new_tokens: the most tokens one utterance may have.
    """

    price_of_speech: float = 0.1
    rounds: int = 5
    max_new_tokens: int = 256

    def __post_init__(self) -> None:
        if not self.price_of_speech >= 0:
            raise ConfigError(f"price_of_speech must be ≥ 0, got {self.price_of_speech!r}")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be ≥ 1, got {self.max_new_tokens!r}")

    def __call__(self, right: bool | np.ndarray, generated_tokens: int | np.ndarray) -> float | np.ndarray:
        """Utility of final correctness and generated tokens; elementwise on arrays."""
        return 2.0 * right - 1.0 - self.price_of_speech * self.cost(generated_tokens)

    def cost(self, generated_tokens: int | np.ndarray) -> float | np.ndarray:
        """C(z) in [0, 1]: generated tokens over R · max_new_tokens."""
        return np.minimum(generated_tokens / (self.rounds * self.max_new_tokens), 1.0)


def proposer_reward(right: bool) -> float:
    """+1 for a right solution, −1 for a wrong or unparseable one."""
    return 1.0 if right else -1.0


def reviewer_reward(verdict: Verdict | None, right: bool) -> float:
    """+1 if the verdict matches the truth about the pending solution, −1 if not, 0 if there is none."""
    if verdict is None:
        return 0.0
    return 1.0 if (verdict is Verdict.RIGHT) == right else -1.0
