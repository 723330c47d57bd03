"""The six update rules on hand-computed rows, then their bounds against hostile sequences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tracer_agents.controllers.regret import (
    MINIMISERS,
    DiscountedRegretMatching,
    Hedge,
    PredictiveRegretMatchingPlus,
    RegretMatching,
    RegretMatchingPlus,
    SmoothPredictiveRegretMatchingPlus,
    instant_regret,
    normalised,
)

ZERO = np.zeros((1, 2))


def row(*values: float) -> np.ndarray:
    return np.array([values])


def test_normalised():
    assert normalised(np.array([[3.0, 1.0], [0.0, 0.0], [0.0, 2.0]])).tolist() == [[0.75, 0.25], [0.5, 0.5], [0.0, 1.0]]


def test_instant_regret():
    # value ¼·4 + ¾·8 = 7
    assert instant_regret(row(4.0, 8.0), row(0.25, 0.75)).tolist() == [[-3.0, 1.0]]


def test_regret_matching_keeps_negative_regret():
    rule = RegretMatching()
    regret, memory = rule.observe(row(1.0, -5.0), ZERO, row(2.0, 4.0), 3)
    assert regret.tolist() == [[3.0, -1.0]]
    assert rule.strategy(regret, memory, 3).tolist() == [[1.0, 0.0]]
    assert rule.strategy(row(-1.0, -2.0), ZERO, 3).tolist() == [[0.5, 0.5]]


def test_regret_matching_plus_forgets_negative_regret():
    rule = RegretMatchingPlus()
    regret, memory = rule.observe(row(1.0, 0.0), ZERO, row(-3.0, 4.0), 3)
    assert regret.tolist() == [[0.0, 4.0]]
    regret, memory = rule.observe(regret, memory, row(12.0, 0.0), 4)
    assert rule.strategy(regret, memory, 4).tolist() == [[0.75, 0.25]]
    assert rule.average_weight(7) == 7


def test_predictive_adds_the_last_instant_regret_once():
    rule = PredictiveRegretMatchingPlus()
    regret, memory = rule.observe(row(1.0, 1.0), ZERO, row(2.0, -2.0), 1)
    assert regret.tolist() == [[3.0, 0.0]]
    assert rule.strategy(regret, memory, 1).tolist() == [[1.0, 0.0]]
    regret, memory = rule.observe(regret, memory, row(-2.0, 3.0), 2)
    assert regret.tolist() == [[1.0, 3.0]]
    assert rule.strategy(regret, memory, 2).tolist() == [[0.0, 1.0]]  # [1 − 2, 3 + 3]⁺


def test_smooth_predictive_stays_off_the_origin():
    rule = SmoothPredictiveRegretMatchingPlus(floor=1.0)
    regret, memory = rule.observe(row(0.5, 0.5), ZERO, row(-0.7, -0.1), 1)
    # (−0.2, 0.4): the nearest point of the simplex {x₁ + x₂ = 1} is (0.2, 0.8)
    assert regret == pytest.approx(row(0.2, 0.8))
    # (0.2, 0.8) + (−0.7, −0.1) = (−0.5, 0.7) → (0, 1) on the face
    assert rule.strategy(regret, memory, 1) == pytest.approx(row(0.0, 1.0))
    far, _ = rule.observe(row(2.0, 0.5), ZERO, row(1.0, -0.75), 1)
    assert far.tolist() == [[3.0, 0.0]]  # already outside: only the negative part goes


def test_discounted_fades_signs_apart():
    rule = DiscountedRegretMatching(alpha=1.0, beta=0.0, gamma=2.0)
    regret, _ = rule.observe(row(2.0, -3.0), ZERO, row(1.0, -1.0), 3)
    assert regret.tolist() == [[3.0 * 3 / 4, -4.0 / 2]]
    assert rule.average_weight(3) == 9


def test_hedge():
    rule = Hedge()
    assert rule.strategy(ZERO, ZERO, 0).tolist() == [[0.5, 0.5]]
    regret, memory = rule.observe(ZERO, ZERO, row(-1.0, 1.0), 1)
    speak = rule.strategy(regret, memory, 1)[0, 1]
    # range 2, rate √(8 ln 2 / 2) / 2, lead 2
    assert speak == pytest.approx(1 / (1 + np.exp(-np.sqrt(4 * np.log(2)))))
    assert rule.strategy(row(0.0, 1e9), memory, 1)[0].tolist() == [0.0, 1.0]


GAINS = arrays(np.float64, st.tuples(st.integers(1, 60), st.just(2)), elements=st.floats(-1, 1, width=32))


@pytest.mark.parametrize("name", MINIMISERS)
@given(gains=GAINS)
@settings(max_examples=60, deadline=None)
def test_strategies_are_distributions(name, gains):
    rule, regret, memory = MINIMISERS[name](), ZERO, ZERO
    for iteration, gain in enumerate(gains, start=1):
        strategy = rule.strategy(regret, memory, iteration - 1)
        assert np.all(strategy >= 0)
        assert strategy.sum() == pytest.approx(1.0, abs=1e-12)
        regret, memory = rule.observe(regret, memory, instant_regret(gain[None], strategy), iteration)


def _regret_of_run(rule, gains) -> tuple[float, float]:
    """(regret, range) of a run against a sequence in which the favoured action is punished half the time."""
    regret, memory, total = ZERO, ZERO, np.zeros(2)
    for iteration, gain in enumerate(gains, start=1):
        strategy = rule.strategy(regret, memory, iteration - 1)
        if gain[0] > 0:  # the adversary looks at the strategy
            gain = np.where(strategy[0] == strategy[0].max(), -np.abs(gain), np.abs(gain))
        instant = instant_regret(gain[None], strategy)
        total += instant[0]
        regret, memory = rule.observe(regret, memory, instant, iteration)
    return float(total.max()), 2.0


@pytest.mark.parametrize("name", ["RegretMatching", "RegretMatchingPlus"])
@given(gains=GAINS)
@settings(max_examples=200, deadline=None)
def test_regret_never_exceeds_the_stated_bound(name, gains):
    regret, spread = _regret_of_run(MINIMISERS[name](), gains)
    assert regret <= spread * np.sqrt(len(gains)) + 1e-9


@given(gains=GAINS)
@settings(max_examples=200, deadline=None)
def test_hedge_with_the_range_known_keeps_its_bound(gains):
    rule = Hedge()
    # A first round whose regrets cancel shows the whole range Δ = 2 and nothing else.
    opening = np.array([[1.0, -1.0], [-1.0, 1.0]])
    sequence = np.concatenate([opening, gains])
    regret, spread = _regret_of_run(rule, sequence)
    t = len(sequence)
    assert regret <= spread * (2 * np.sqrt(t / 2 * np.log(2)) + np.sqrt(np.log(2) / 8)) + 1e-9
