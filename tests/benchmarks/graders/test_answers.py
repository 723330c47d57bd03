"""Answers that denote the same are the same, and no others."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.graders.answers import same_answer
from benchmarks.graders.formula import UnreadableError
from benchmarks.graders.reading import read

SAME = [
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    ("(a+5)(b+2)", "ab+2a+5b+10"),
    (r"\frac{x^2-1}{x-1}", "x+1"),
    (r"\cot x", r"\frac{1}{\tan x}"),
    ("n!", "n(n-1)!"),
    ("1,-2", "-2,1"),
    (r"\{1,2\}", "2,1"),
    (r"\{5\}", "5"),
    (r"1\pm\sqrt{19}", r"1-\sqrt{19},1+\sqrt{19}"),
    (r"(-\infty,0]", r"x\le0"),
    (r"(2,\infty)", "x>2"),
    (r"(-\infty,2)\cup(3,\infty)", "x<2 or x>3"),
    ("x=5", "5"),
    ("x=1, x=2", "2, 1"),
    ("y=2x+3", "2x-y+3=0"),
    ("y=2x+3", "f(x)=2x+3"),
    ("2x<4y", "x-2y<0"),
    ("a>b", "b<a"),
    (r"x \ne y", r"2x \ne 2y"),
    ("3:2", "6:4"),
    ("3:2", "1.5"),
    ("1:2:3", "2:4:6"),
    ("50%", "50"),
    ("50%", "0.5"),
    (r"3 \pmod 7", r"10 \pmod 7"),
    ("052_8", "52_8"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    (r"\begin{pmatrix}1/5&2\end{pmatrix}", r"\begin{bmatrix}0.2&2\end{bmatrix}"),
    (r"\text{Even.}", "even"),
    ("(heads, tails)", "(Heads, Tails)"),
]
DIFFERENT = [
    ("1/3", "0.333333333333"),
    (r"\pi", "3.14159265"),
    ("x", "y"),
    ("3r^2", "3R^2"),
    ("5", r"\pm 5"),
    ("5", "-5"),
    ("(1,-2)", "(-2,1)"),
    ("(1,2)", "1,2"),
    ("(1,2)", "[1,2]"),
    ("(1,2]", "[1,2)"),
    ("(0,9)\\cup(9,36)", "(0,36)"),
    ("1,2,3", "1,2"),
    (r"\emptyset", r"\{0\}"),
    ("x=5", "x=-5"),
    ("x=5", "y=5"),
    ("x+1=5", "5"),
    ("a>b", "a<b"),
    ("a>b", r"a\ge b"),
    ("3:2", "2:3"),
    ("1:2:3", "1:2:4"),
    ("0.33%", "0.33"),
    ("50%", "5"),
    (r"3 \pmod 7", r"3 \pmod 8"),
    (r"3 \pmod 7", r"4 \pmod 7"),
    ("52_8", "52_9"),
    ("52_8", "52"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    ("even", "odd"),
    ("even", "5"),
    ("1/0", "1/0 + 1"),
    (r"\infty", r"-\infty"),
]
PIECES = st.sampled_from(
    [*"12x,()[]=<+-/", r"\{", r"\}", r"\pm ", r"\sqrt", r"\frac12", "^2", " or ", r"\cup ", "%", "_8"]
)


@pytest.mark.parametrize(("gold", "answer"), SAME)
def test_the_same_in_another_form(gold, answer):
    assert same_answer(read(gold), read(answer))
    assert same_answer(read(answer), read(gold))


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_something_else(gold, answer):
    assert not same_answer(read(gold), read(answer))
    assert not same_answer(read(answer), read(gold))


def _read(text):
    try:
        return read(text)
    except UnreadableError:
        return None


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES, max_size=12).map("".join), st.lists(PIECES, max_size=12).map("".join))
def test_sameness_is_symmetric(answer, other):
    a, b = _read(answer), _read(other)
    if a is not None and b is not None:
        assert same_answer(a, b) == same_answer(b, a)
