"""Who is paid what."""

import numpy as np
import pytest

from tracer_env.dialogue import Verdict
from tracer_env.errors import ConfigError
from tracer_env.rewards import Utility, proposer_reward, reviewer_reward


@pytest.mark.parametrize(
    ("right", "tokens", "expected"),
    [(True, 0, 1.0), (False, 0, -1.0), (True, 50, 0.75), (False, 100, -1.5), (True, 1000, 0.5)],
)
def test_utility_is_correctness_less_the_price_of_speech(right, tokens, expected):
    utility = Utility(price_of_speech=0.5, rounds=5, max_new_tokens=20)
    assert utility(right, tokens) == pytest.approx(expected)


def test_utility_of_arrays_is_elementwise():
    utility = Utility(price_of_speech=0.5, rounds=5, max_new_tokens=20)
    rights, tokens = np.array([True, False, True]), np.array([0, 100, 50])
    np.testing.assert_allclose(utility(rights, tokens), [1.0, -1.5, 0.75])
    np.testing.assert_allclose(utility.cost(np.array([0, 50, 10_000])), [0.0, 0.5, 1.0])


@pytest.mark.parametrize(
    ("verdict", "right", "reward"),
    [
        (Verdict.RIGHT, True, 1.0), (Verdict.RIGHT, False, -1.0), (Verdict.WRONG, True, -1.0),
        (Verdict.WRONG, False, 1.0), (None, True, 0.0), (None, False, 0.0),
    ],
)  # fmt: skip
def test_reviewer_is_paid_for_the_truth(verdict, right, reward):
    assert reviewer_reward(verdict, right) == reward


def test_proposer_is_paid_for_right_solutions():
    assert (proposer_reward(True), proposer_reward(False)) == (1.0, -1.0)


@pytest.mark.parametrize(
    ("field", "value"), [("price_of_speech", -0.1), ("price_of_speech", float("nan")), ("max_new_tokens", 0)]
)
def test_wrong_setting_is_named(field, value):
    with pytest.raises(ConfigError, match=field):
        Utility(**{field: value})
