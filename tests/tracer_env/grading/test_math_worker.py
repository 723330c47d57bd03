"""What the comparing child does, tried without a process around it."""

import io
import json

import pytest

from tracer_env.grading.math_worker import comparison, serve


def lines(*items: tuple[str, str]) -> list[str]:
    return [json.dumps({"gold": gold, "answer": answer, "seconds": 60}) for gold, answer in items]


def replies(out: io.StringIO) -> list[dict]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_it_says_that_it_is_ready_and_answers_line_for_line():
    out = io.StringIO()
    serve(lines(("1", "1"), ("1", "2")), out, lambda: lambda gold, answer: "right" if gold == answer else "wrong")
    assert replies(out) == [{"ready": True}, {"grade": "right"}, {"grade": "wrong"}]


def test_it_says_what_cannot_be_imported():
    def load():
        raise ImportError("No module named 'math_verify'")

    out = io.StringIO()
    serve(lines(("1", "1")), out, load)
    assert replies(out) == [{"error": "No module named 'math_verify'"}]


@pytest.mark.parametrize(
    ("gold", "answer", "grade"),
    [("x+1", "1+x", "right"), ("x+1", "x", "wrong"), (r"\frac{1}{2}", "0.5", "right"), ("2", "", "wrong")],
)
def test_it_compares_mathematics(gold, answer, grade):
    assert comparison()(gold, answer) == grade


def test_an_error_of_the_library_is_no_verdict(monkeypatch):
    import math_verify

    def fail(*arguments, **options):
        raise RecursionError

    monkeypatch.setattr(math_verify, "verify", fail)
    assert comparison()("x", "y") == "ungradable"
