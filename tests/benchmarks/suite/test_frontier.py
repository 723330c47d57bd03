"""Frontiers: the envelope, accuracy at exactly a cost, and paired differences."""

import numpy as np
import pytest

from benchmarks.suite.frontier import Curve, accuracy_at, difference, envelope, orders_of
from tracer_agents.evaluation.statistics import resampled_counts


def test_the_envelope_holds_what_is_best_at_some_price():
    points = {
        "a": (1.0, 0.5),
        "below": (1.5, 0.52),
        "b": (2.0, 0.7),
        "worse": (2.5, 0.6),
        "c": (4.0, 0.8),
        "a2": (1.0, 0.5),
    }
    assert envelope(points) == ["a", "b", "c"]
    rng = np.random.default_rng(0)
    cloud = {key: (float(x), float(y)) for key, (x, y) in enumerate(rng.random((200, 2)))}
    best = {
        max(cloud, key=lambda key: cloud[key][1] - price * cloud[key][0]) for price in np.geomspace(1e-3, 1e3, 4000)
    }
    kept = envelope(cloud)
    assert best <= set(kept)
    slopes = np.diff([cloud[key][1] for key in kept]) / np.diff([cloud[key][0] for key in kept])
    assert (slopes > 0).all()
    assert (np.diff(slopes) < 0).all()


CURVE = Curve(
    right=np.array([[0.0, 1.0, 0.0, 1.0], [1.0, 1.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]),
    cost=np.array([[10.0, 10.0, 10.0, 10.0], [20.0, 20.0, 20.0, 20.0], [60.0, 20.0, 40.0, 40.0]]),
)
UNIT = np.full(4, 10.0)


@pytest.mark.parametrize(
    ("ratio", "accuracy"), [(1.0, 0.5), (1.5, 0.625), (2.0, 0.75), (3.0, 0.875), (4.0, 1.0), (9.0, 1.0), (0.5, 0.5)]
)
def test_accuracy_at_a_cost_mixes_the_settings_on_either_side(ratio, accuracy):
    assert accuracy_at(CURVE, UNIT, ratio) == pytest.approx([accuracy])


def test_a_mixture_costs_what_is_asked_in_every_resample():
    rng = np.random.default_rng(1)
    cost = np.array([rng.integers(8, 12, 50), rng.integers(20, 60, 50)]).astype(float)
    curve = Curve(right=cost, cost=cost)  # what is right is then what it costs
    unit = rng.integers(8, 12, 50).astype(float)
    counts = resampled_counts(50, resamples=30, rng=rng)
    assert accuracy_at(curve, unit, 2.0, counts) == pytest.approx(2.0 * (counts @ unit) / counts.sum(axis=1))


def test_a_difference_is_paired_and_its_interval_covers():
    """The same rule twice differs by nothing; of independent rules, 95% of intervals hold the truth."""
    rng, covered = np.random.default_rng(2), 0
    for _ in range(200):
        cells = []
        for _ in range(2):
            right = (rng.random((2, 150)) < np.array([[0.6], [0.5]])).astype(float)
            counts = resampled_counts(150, resamples=300, rng=rng)
            curves = [Curve(right=each[None], cost=np.ones((1, 150))) for each in right]
            unit = np.ones(150)
            cells.append([(accuracy_at(c, unit, 1.0), accuracy_at(c, unit, 1.0, counts)) for c in curves])
        a, b = zip(*cells, strict=True)
        result = difference(a, b)
        covered += result.low <= 0.1 <= result.high
        assert result.low <= result.estimate <= result.high
    assert covered / 200 == pytest.approx(0.95, abs=0.04)
    nothing = difference(a, a)
    assert (nothing.estimate, nothing.low, nothing.high, nothing.p) == (0.0, 0.0, 0.0, 1.0)


def test_orders_are_permutations_and_the_first_is_as_drawn():
    orders = orders_of(5, 8, 4, np.random.default_rng(0))
    assert orders.shape == (4, 5, 8)
    assert orders[0].tolist() == [list(range(8))] * 5
    assert (np.sort(orders, axis=2) == np.arange(8)).all()
    assert len({tuple(row) for row in orders[1:].reshape(-1, 8)}) > 10
