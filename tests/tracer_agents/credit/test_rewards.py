"""What each role is paid."""

import pytest

from tracer_agents.credit.rewards import Penalties, credit_proposal, credit_review
from tracer_env.dialogue import FinishReason, Utterance, Verdict

PRICES = Penalties(format=0.25, truncation=0.125)


@pytest.mark.parametrize(
    ("answer", "right", "finish", "paid"),
    [
        ("3", True, "stop", 1.0),
        ("4", False, "stop", -1.0),
        (None, False, "stop", -1.0),
        (None, False, "length", -1.125),
    ],
)
def test_proposals(answer, right, finish, paid):
    assert credit_proposal(Utterance(text="", answer=answer, finish_reason=FinishReason(finish)), right, PRICES) == paid


@pytest.mark.parametrize(
    ("verdict", "pending_right", "finish", "uplift", "paid"),
    [
        (Verdict.RIGHT, True, "stop", 0.0, 1.0),
        (Verdict.WRONG, True, "stop", 0.0, -1.0),
        (Verdict.WRONG, False, "stop", 0.0, 1.0),
        (Verdict.RIGHT, False, "stop", 0.0, -1.0),
        (None, True, "stop", 0.0, -0.25),
        (None, False, "length", 0.0, -0.375),
        (Verdict.WRONG, False, "stop", 2.0, 3.0),
        (Verdict.WRONG, False, "length", -2.0, -1.125),
        (None, False, "stop", 2.0, 1.75),
    ],
)
def test_reviews(verdict, pending_right, finish, uplift, paid):
    said = Utterance(text="", verdict=verdict, finish_reason=FinishReason(finish))
    assert credit_review(said, pending_right, PRICES, uplift) == paid
