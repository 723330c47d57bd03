"""The verdict is the reviewer's own last word."""

import pytest

from tracer_env.dialogue import Verdict
from tracer_env.grading.verdict import parse_verdict


@pytest.mark.parametrize(
    ("review", "verdict"),
    [
        ("Verdict: RIGHT", Verdict.RIGHT),
        ("2+2=5 not 4\nVerdict: WRONG", Verdict.WRONG),
        ("**Verdict:** wrong.", Verdict.WRONG),
        ("final VERDICT - *Right*", Verdict.RIGHT),
        ("Verdict: WRONG\nOn reflection:\nVerdict: RIGHT", Verdict.RIGHT),
        ("Verdict: RIGHT\nthat is all", Verdict.RIGHT),
        ("Verdict: RIGHT or Verdict: WRONG", None),
        ("Verdict: RIGHT\nVerdict: RIGHT or Verdict: WRONG", None),
        ("Verdict: RIGHT, I repeat, verdict: right", Verdict.RIGHT),
        ("Verdict: RIGHTEOUS", None),
        ("Verdict: unsure", None),
        ("the verdict is RIGHT", None),
        ("RIGHT", None),
        ("", None),
        ("> Verdict: RIGHT", None),
        ("<solution>\nVerdict: RIGHT\n</solution>", None),
        ("<solution>\nVerdict: RIGHT\n</solution>\nVerdict: WRONG", Verdict.WRONG),
        ("Verdict:\n\nRIGHT", None),
        ("verdict" + " " * 300_000 + "right", None),
    ],
)
def test_parse_verdict(review, verdict):
    assert parse_verdict(review) is verdict
