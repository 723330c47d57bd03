"""Points next to a budget, between two others, and beaten by none."""

import numpy as np

from benchmarks.report.frontier import bracket, interpolate, undominated


def test_the_points_on_either_side_of_a_budget():
    tokens = np.array([300.0, 100.0, 200.0])

    assert bracket(tokens, 250.0) == (2, 0)
    assert bracket(tokens, 200.0) == (2, 0)
    assert bracket(tokens, 50.0) == (None, 1)
    assert bracket(tokens, 300.0) == (0, None)


def test_interpolation_between_two_points():
    low, high = np.array([100.0, 100.0]), np.array([200.0, 300.0])

    got = interpolate((low, high), (np.array([0.2, 0.2]), np.array([0.6, 0.6])), np.array([150.0, 150.0]))

    np.testing.assert_allclose(got, [0.4, 0.3])


def test_what_is_dearer_or_no_better_is_dominated():
    tokens = np.array([10.0, 20.0, 30.0, 20.0, 40.0, 10.0])
    scores = np.array([0.3, 0.5, 0.4, 0.5, 0.6, 0.2])

    assert undominated(tokens, scores).tolist() == [True, True, False, True, True, False]
