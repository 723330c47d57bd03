"""Group-relative advantages by hand."""

import numpy as np
import pytest

from tracer_agents.credit.advantages import group_advantages, group_ids


def test_equal_keys_share_a_number_in_order_of_appearance():
    assert group_ids([("q2", 0), ("q1", 0), ("q2", 0), ("q2", 1)]).tolist() == [0, 1, 0, 2]
    assert group_ids([]).tolist() == []


def test_advantages_by_hand():
    reward = np.array([1.0, -1.0, 5.0, 1.0, -1.0, 2.0])
    group = np.array([0, 0, 1, 0, 0, 1])
    advantage, signal = group_advantages(reward, group)
    assert advantage == pytest.approx([1, -1, 1, 1, -1, -1])  # deviations from 0 and 3.5, divided by 1 and 1.5
    assert signal.all()


def test_without_the_standard_deviation():
    advantage, _ = group_advantages(np.array([1.0, -1.0, -1.0, -1.0]), np.zeros(4, int), normalise_std=False)
    assert advantage == pytest.approx([1.5, -0.5, -0.5, -0.5])


@pytest.mark.parametrize("normalise_std", [True, False])
def test_groups_of_equal_rewards_carry_no_signal(normalise_std):
    """0.1 three times: a mean taken in floating point is not exactly 0.1."""
    reward = np.array([0.1, 0.1, 0.1, 1.0, 0.0])
    advantage, signal = group_advantages(reward, np.array([0, 0, 0, 1, 1]), normalise_std=normalise_std)
    assert signal.tolist() == [False, False, False, True, True]
    assert (advantage[:3] == 0).all()
    assert (advantage[3:] != 0).all()


@pytest.mark.parametrize("normalise_std", [True, False])
@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e3])
def test_rewards_that_differ_by_rounding_alone_carry_no_signal(normalise_std, scale):
    """0.1 + 0.2 is not 0.3; divided by their own tiny deviation such rewards would look as good and bad as any."""
    reward = scale * np.array([0.1 + 0.2, 0.3, 0.3, -0.7 + 1.0, 1.0, 0.0])
    group = np.array([0, 0, 0, 0, 1, 1])
    advantage, signal = group_advantages(reward, group, normalise_std=normalise_std)
    assert signal.tolist() == [False] * 4 + [True] * 2
    assert (advantage[:4] == 0).all()


def test_advantages_have_mean_zero_and_unit_variance_in_each_group():
    rng = np.random.default_rng(0)
    group = np.concatenate([np.arange(9), rng.integers(0, 9, 91)])
    advantage, signal = group_advantages(rng.normal(size=100), group)
    for one in range(9):
        mine = advantage[group == one]
        assert mine.mean() == pytest.approx(0, abs=1e-12)
        if signal[group == one].any():
            assert mine.std() == pytest.approx(1)


def test_no_samples():
    advantage, signal = group_advantages(np.empty(0), np.empty(0, dtype=np.intp))
    assert (advantage.shape, signal.shape) == ((0,), (0,))
