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


@pytest.mark.parametrize(
    ("gold", "answer", "grade"),
    [
        (r"1.6\times10^{-19}", r"9.1\times10^{-31}", "wrong"),
        (r"(0.0000001,2)", "(0.0000002,2)", "wrong"),
        (r"\begin{pmatrix}10^{-9}\\1\end{pmatrix}", r"\begin{pmatrix}10^{-8}\\1\end{pmatrix}", "wrong"),
        (r"\frac{1}{3}", "0.333333333", "wrong"),
        (r"11\sqrt{2}", r"2\sqrt{60.5}", "right"),
        ("14-i", "14.0-1.0i", "right"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)", "right"),
        (r"\frac{1}{\sqrt{n}}", r"\sqrt{1/n}", "right"),
        ("|x|", "x", "wrong"),
        ("5", r"\infty", "wrong"),
        (r"50\%", "50", "right"),
        (r"50\%", "0.5", "right"),
        (r"\frac{33}{100}", r"0.33\%", "wrong"),
    ],
)
def test_numbers_are_compared_exactly(gold, answer, grade):
    assert comparison()(gold, answer) == grade
