"""PettingZoo's own conformance tests, with the warnings expected of text-speaking agents filtered by message."""

import warnings

import pytest

# What api_test thinks unusual about agents that act differently, some of them in text.
EXPECTED_WARNINGS = (
    r"Action space for each agent probably should be gymnasium\.spaces\.box or gymnasium\.spaces\.discrete$",
    r"Observation space for each agent probably should be gymnasium\.spaces\.box or gymnasium\.spaces\.discrete$",
    r"Agents have different observation space sizes$",
    r"Observation is not a NumPy array$",
    r"Observation numpy array is all zeros\.$",  # at the end of a dialogue; with recall also in round 1
)


@pytest.fixture
def suite():
    """The module ``pettingzoo.test``; only the expected warnings pass while a test uses it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The old environment creation API has been deprecated", DeprecationWarning)
        import pettingzoo.test  # it imports one of PettingZoo's environments in the old way

        for message in EXPECTED_WARNINGS:
            warnings.filterwarnings("ignore", message, UserWarning)
        yield pettingzoo.test
