"""Regret minimisers over tables of binary choices: pure functions of (regret, memory, iteration).

Every table has a row per infoset and two columns, SKIP and SPEAK. An *instant* regret is the value of each action
minus the value of the row's strategy; values are reach-weighted (``game.values.action_values``), so a row's
range Δ_I already holds the chance that the infoset matters. "Regret bound" below is the local bound of one row,
max_a Σ_t instant_t(a) ≤ …; rows add up to a player's external regret only under perfect recall with
counterfactual weighting (Zinkevich et al. 2007, Theorem 3).
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Minimiser(Protocol):
    """One rule for all rows at once; implementations are immutable."""

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """The rows' strategies for the next round, (n, 2); ``iteration`` counts the rounds observed so far."""
        ...

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The accumulated (regret, memory) after round ``iteration`` ≥ 1 brought ``instant`` regrets, all (n, 2)."""
        ...

    def average_weight(self, iteration: int) -> float:
        """The weight of round ``iteration``'s strategy in the average."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretMatching:
    """Play in proportion to positive cumulative regret (Hart & Mas-Colell 2000; CFR's rule).

    Regret bound: Δ_I·√T for two actions, against any sequence (so time averages approach a coarse correlated
    equilibrium of any game, a Nash equilibrium of two-player zero-sum games with perfect recall). No
    last-iterate promise; in identical-interest games it can need exponentially many iterations (arXiv 2510.17067).
    """

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """[regret]⁺ / Σ[regret]⁺; ½, ½ where nothing is positive."""
        return normalised(np.maximum(regret, 0.0))

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums instant regrets."""
        return regret + instant, memory

    def average_weight(self, iteration: int) -> float:
        """Uniform."""
        return 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegretMatchingPlus:
    """Regret matching on regrets that never fall below zero (Tammelin et al. 2015, "Solving Heads-up Limit …").

    Regret bound: Δ_I·√T for two actions, against any sequence, for uniform and for linear averages. With
    alternating updates fed the gradient it reaches an ε-KKT point of an identical-interest game in polynomially
    many iterations (arXiv 2510.17067). Averages linearly, as CFR+.
    """

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """regret / Σ regret; ½, ½ where all is zero."""
        return normalised(np.maximum(regret, 0.0))

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """[regret + instant]⁺."""
        return np.maximum(regret + instant, 0.0), memory

    def average_weight(self, iteration: int) -> float:
        """Linear."""
        return float(iteration)


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictiveRegretMatchingPlus:
    """RM+ that expects the last instant regret to come again (Farina, Kroer & Sandholm 2021, Algorithm 4).

    Regret bound: √2·(Σ_t ‖instant_t − instant_{t−1}‖²)^½ up to the choice of norm: never much worse than RM+,
    small when play is stable. Averages quadratically, as in that paper. ``memory`` is the last instant regret.
    """

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """[regret + memory]⁺, normalised."""
        return normalised(np.maximum(regret + memory, 0.0))

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """[regret + instant]⁺, and the instant regret as the next prediction."""
        return np.maximum(regret + instant, 0.0), instant

    def average_weight(self, iteration: int) -> float:
        """Quadratic."""
        return float(iteration) ** 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SmoothPredictiveRegretMatchingPlus:
    """Predictive RM+ whose regrets stay in {x ≥ 0, x₁ + x₂ ≥ floor} (Farina et al. 2023, arXiv 2305.14709).

    Keeping away from the origin makes the strategy Lipschitz in the regrets: individual regret is O(T^¼) when
    all players of a normal-form game use it, and the sum of regrets is O(1). Differs from the paper in fixing
    the step to 1 and scaling the floor instead (the same iterates).

    Args:
        floor: > 0, in units of (reach-weighted) utility.
    """

    floor: float = 0.1

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """The projection of regret + memory, normalised."""
        return normalised(self._project(regret + memory))

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The projection of regret + instant, and the instant regret as the next prediction."""
        return self._project(regret + instant), instant

    def average_weight(self, iteration: int) -> float:
        """Uniform."""
        return 1.0

    def _project(self, point: np.ndarray) -> np.ndarray:
        """The nearest point, row by row, with non-negative entries that sum to at least ``floor``."""
        positive = np.maximum(point, 0.0)
        first = np.clip((self.floor + point[:, 0] - point[:, 1]) / 2, 0.0, self.floor)
        on_face = np.stack([first, self.floor - first], axis=1)
        return np.where(positive.sum(axis=1, keepdims=True) >= self.floor, positive, on_face)


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscountedRegretMatching:
    """Regret matching whose past fades: DCFR(α, β, γ) of Brown & Sandholm (2019).

    After round t positive regrets are multiplied by t^α/(t^α+1), negative ones by t^β/(t^β+1); round t weighs
    t^γ in the average. Regret bound: O(Δ_I·√T) for the weighted regret (their Theorem 3), against any sequence.
    Fading makes it quicker to follow speakers that keep changing.
    """

    alpha: float = 1.5
    beta: float = 0.0
    gamma: float = 2.0

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """[regret]⁺, normalised."""
        return normalised(np.maximum(regret, 0.0))

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """The discounted sum of instant regrets."""
        total = regret + instant
        up: float = float(iteration) ** self.alpha
        down: float = float(iteration) ** self.beta
        kept: np.ndarray = np.where(total > 0, total * (up / (up + 1)), total * (down / (down + 1)))
        return kept, memory

    def average_weight(self, iteration: int) -> float:
        """t^γ."""
        return float(iteration) ** self.gamma


@dataclass(frozen=True, slots=True, kw_only=True)
class Hedge:
    """Exponential weights with a decreasing rate (Freund & Schapire 1997; anytime form of Cesa-Bianchi & Lugosi 2006).

    The rate after t rounds is √(8·ln 2 / (t + 1)) / Δ_I, with Δ_I the largest |instant(1) − instant(0)| seen so far.
    Regret bound when the row's range Δ_I is known from the start: Δ_I·(2·√(T/2·ln 2) + √(ln 2 / 8)), against any
    sequence (their Theorem 2.3); the running range, which needs no tuning, is where we differ.
    ``memory[:, 0]`` is that range.
    """

    def strategy(self, regret: np.ndarray, memory: np.ndarray, iteration: int) -> np.ndarray:
        """softmax(rate · regret)."""
        spread = np.where(memory[:, 0] > 0, memory[:, 0], 1.0)
        rate = np.sqrt(8 * np.log(2) / (iteration + 1)) / spread
        lead = np.clip(rate * (regret[:, 1] - regret[:, 0]), -700.0, 700.0)
        speak = 1.0 / (1.0 + np.exp(-lead))
        return np.stack([1.0 - speak, speak], axis=1)

    def observe(
        self, regret: np.ndarray, memory: np.ndarray, instant: np.ndarray, iteration: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums instant regrets, widens the range."""
        spread = np.maximum(memory[:, 0], np.abs(instant[:, 1] - instant[:, 0]))
        return regret + instant, np.stack([spread, np.zeros_like(spread)], axis=1)

    def average_weight(self, iteration: int) -> float:
        """Uniform."""
        return 1.0


MINIMISERS: dict[str, type[Minimiser]] = {
    "RegretMatching": RegretMatching,
    "RegretMatchingPlus": RegretMatchingPlus,
    "PredictiveRegretMatchingPlus": PredictiveRegretMatchingPlus,
    "SmoothPredictiveRegretMatchingPlus": SmoothPredictiveRegretMatchingPlus,
    "DiscountedRegretMatching": DiscountedRegretMatching,
    "Hedge": Hedge,
}


def normalised(weights: np.ndarray) -> np.ndarray:
    """Rows of non-negative weights divided by their sums; ½, ½ where a sum is zero. Shape (n, 2)."""
    total = weights[:, :1] + weights[:, 1:]
    return np.divide(weights, total, out=np.full(weights.shape, 0.5), where=total > 0)


def instant_regret(values: np.ndarray, strategy: np.ndarray) -> np.ndarray:
    """values(a) − Σ_b strategy(b)·values(b), row by row: (n, 2)."""
    weighted = values * strategy
    return values - (weighted[:, :1] + weighted[:, 1:])
