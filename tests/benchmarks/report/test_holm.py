"""Holm's adjustment by hand, and what must hold of any."""

from itertools import pairwise

import numpy as np

from benchmarks.report.holm import holm
from tracer_env.seeding import stream


def test_holm_by_hand_in_the_order_given():
    # sorted: .01·4, .02·3, .03·2, .5·1, then no value below an earlier one
    np.testing.assert_allclose(holm([0.03, 0.01, 0.5, 0.02]), [0.06, 0.04, 0.5, 0.06])
    assert holm([]).shape == (0,)


def test_holm_keeps_the_order_of_evidence_and_never_lowers_a_p():
    p = stream(12).random(30) ** 3

    adjusted = holm(p)

    assert (adjusted >= p).all()
    assert all(one <= next_ for one, next_ in pairwise(adjusted[np.argsort(p)]))
