"""Who is paid what: pure functions from grades and tokens to rewards (DESIGN, section 2, "Utility")."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from tracer_env.dialogue import Dialogue, Rules, Verdict
from tracer_env.errors import ConfigError


class Usage(Protocol):
    """What an agent has used in a round."""

    @property
    def agent(self) -> int:
        """Who spoke."""
        ...

    @property
    def prompt_tokens(self) -> int:
        """Tokens it was shown."""
        ...

    @property
    def generated_tokens(self) -> int:
        """Tokens it generated, the end token included."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What tokens cost, by the agent that reads or generates them (DESIGN, section 11).

    Args:
        generated: per generated token, > 0, one for each agent; empty: 1 for everybody.
        prompt: per prompt token, ≥ 0, one for each agent; empty: 0 for everybody.

    Raises:
        ConfigError: a price outside these bounds.
    """

    generated: tuple[float, ...] = ()
    prompt: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not all(0 < price < float("inf") for price in self.generated):
            raise ConfigError(f"prices must be > 0, got {[*self.generated]}")
        if not all(0 <= price < float("inf") for price in self.prompt):
            raise ConfigError(f"prompt prices must be ≥ 0, got {[*self.prompt]}")

    @property
    def reads(self) -> bool:
        """Whether prompt tokens cost anything."""
        return any(self.prompt)

    def of_agent(self, agent: int) -> float:
        """The price of a token that the agent generates."""
        return self.generated[agent] if self.generated else 1

    def cost(self, rounds: Iterable[Usage]) -> float:
        """What the tokens of some rounds cost together."""
        return sum(
            self.of_agent(usage.agent) * usage.generated_tokens
            + (self.prompt[usage.agent] * usage.prompt_tokens if self.prompt else 0)
            for usage in rounds
        )

    def dialogue(self, state: Dialogue) -> float:
        """What a dialogue has cost so far; its generated tokens where every price is the default."""
        return self.cost(state.usage())


UNIT_PRICES = Prices()  # a generated token costs 1, whoever generates it, and reading is free


@dataclass(frozen=True, slots=True, kw_only=True)
class Utility:
    """The team's utility u(z) = R(z) − λ·C(z), shared by all controllers.

    Args:
        price_of_speech: λ ≥ 0.
        rounds: R of the dialogue.
        max_new_tokens: the most tokens one utterance may have.
        prices: what tokens cost, by agent.
        most: the unit of C: the most that generation can cost in a dialogue; None: rounds · max_new_tokens.
    """

    price_of_speech: float = 0.1
    rounds: int = 5
    max_new_tokens: int = 256
    prices: Prices = UNIT_PRICES
    most: float | None = None

    def __post_init__(self) -> None:
        if not self.price_of_speech >= 0:
            raise ConfigError(f"price_of_speech must be ≥ 0, got {self.price_of_speech!r}")
        if self.max_new_tokens < 1:
            raise ConfigError(f"max_new_tokens must be ≥ 1, got {self.max_new_tokens!r}")

    @classmethod
    def of_team(cls, rules: Rules, *, price_of_speech: float, limits: Sequence[int], prices: Prices) -> Self:
        """The utility of a team whose agents differ in price or in their longest utterance.

        Equal prices count as 1, whatever they are: what matters is what an agent costs beside the others.

        Args:
            rules: who is active in which round.
            price_of_speech: λ ≥ 0.
            limits: the most tokens of an utterance, for each agent.
            prices: by agent.
        """
        if prices.generated:
            least = min(prices.generated)
            prices = Prices(
                generated=tuple(price / least for price in prices.generated),
                prompt=tuple(price / least for price in prices.prompt),
            )
        most = sum(prices.of_agent(agent) * limits[agent] for agent, _ in rules.seats)
        most = int(most) if float(most).is_integer() else most
        if set(prices.generated) <= {1} and not prices.reads:
            prices = UNIT_PRICES
        return cls(
            price_of_speech=price_of_speech, rounds=rules.rounds, max_new_tokens=max(limits), prices=prices, most=most
        )

    @property
    def budget(self) -> float:
        """The unit of C(z)."""
        return self.rounds * self.max_new_tokens if self.most is None else self.most

    def __call__(self, right: bool | np.ndarray, cost: float | np.ndarray) -> float | np.ndarray:
        """Utility of final correctness and of what the dialogue cost (``prices``); elementwise on arrays."""
        return 2.0 * right - 1.0 - self.price_of_speech * self.cost(cost)

    def cost(self, cost: float | np.ndarray) -> float | np.ndarray:
        """C(z): the priced tokens over ``budget``; in [0, 1] but where prompt tokens cost something."""
        share = cost / self.budget
        return share if self.prices.reads else np.minimum(share, 1.0)


def proposer_reward(right: bool) -> float:
    """+1 for a right solution, −1 for a wrong or unparseable one."""
    return 1.0 if right else -1.0


def reviewer_reward(verdict: Verdict | None, right: bool) -> float:
    """+1 if the verdict matches the truth about the pending solution, −1 if not, 0 if there is none."""
    if verdict is None:
        return 0.0
    return 1.0 if (verdict is Verdict.RIGHT) == right else -1.0
