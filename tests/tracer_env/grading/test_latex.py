"""Equal mathematical answers mostly become equal strings."""

import pytest

from tracer_env.grading.latex import MAX_ANSWER_CHARACTERS, canonical_latex, is_words

SAME = [
    (r"\left( 3, \frac{\pi}{2} \right)", r"(3,\frac{\pi}{2})"),
    (r"$\dfrac{3}{4}$", r"\frac{3}{4}"),
    (r"\frac34", r"\frac{3}{4}"),
    (r"\frac 34", r"\frac{3}{4}"),
    (r"\frac{270}7\text{ degrees}", r"\frac{270}{7}"),
    ("3/4", r"\frac{3}{4}"),
    ("-3/4", r"-\frac{3}{4}"),
    (r"\frac{-3}{4}", r"-\frac{3}{4}"),
    (r"90^\circ", "90"),
    (r"90^{\circ}", "90"),
    ("90°", "90"),
    (r"10,\!080", "10080"),
    ("58,500", "58500"),
    (r"\$18.90", "18.9"),
    (".35625", "0.35625"),
    (r"15\mbox{ cm}^2", "15"),
    (r"5.4 \text{ cents}", "5.4"),
    ("x=5", "5"),
    (r"x \in [-2,7]", "[-2,7]"),
    ("y = 2x + 3", "2x+3"),
    (r"5x - 7y + 11z + 4 = 0", "5x-7y+11z+4=0"),
    (r"11\sqrt2", r"11\sqrt{2}"),
    (r"2 \pi", r"2\pi"),
    ("2π", r"2\pi"),
    (r"\cot x", r"\cot x"),
    (r"\text{(C)}", "C"),
    (r"\text{Evelyn}", "evelyn"),
    ("Evelyn.", "evelyn"),
    (r"4210_{5}", "4210_5"),
    (r"x^{2}", "x^2"),
    (r"50\%", r"50\%"),
    ("50%", r"50\%"),
    (r"\begin{pmatrix} 1 \\ 2 \end{pmatrix}", r"\begin{pmatrix}1\\2\end{pmatrix}"),
    (r"\begin{pmatrix} -1 & 0 \\[1ex] 0 & -1 \end{pmatrix}", r"\begin{pmatrix}-1&0\\0&-1\end{pmatrix}"),
    ("x ≤ 3", r"x\le3"),
    (r"x \leq 3", r"x\le3"),
    ("1, -2", "1,-2"),
    (r"\sin 90^\circ", r"\sin\frac{90\pi}{180}"),
    ("cos 3°", r"\cos\frac{3\pi}{180}"),
    ("2 pi", r"2\pi"),
    (r"\varnothing", r"\emptyset"),
    (r"2^{3} 5", "2^{3}5"),
    (r"\text{an ellipse}", "ellipse"),
    (r"\text{Yes.}", "yes"),
]


@pytest.mark.parametrize(("written", "canonical"), SAME)
def test_canonical_form(written, canonical):
    assert canonical_latex(written) == canonical
    assert canonical_latex(canonical) == canonical


@pytest.mark.parametrize("text", ["", "  ", "$ $", r"\left.\right.", "."])
def test_nothing_left_is_no_answer(text):
    assert canonical_latex(text) is None


def test_different_answers_stay_different():
    written = ["1,2", "(1,2)", "[1,2]", "12", "-12", r"\frac{1}{2}", "1.2", "2,1", r"\sqrt{12}", "1_2", "x^{12}", "x^1"]
    assert len({canonical_latex(text) for text in written}) == len(written)


def test_text_beyond_the_bound_is_left_alone():
    text = r"\dfrac" * MAX_ANSWER_CHARACTERS
    assert canonical_latex(text) == text


@pytest.mark.parametrize(("text", "words"), [("evelyn", True), ("even number", True), ("xy", False), ("AB", False)])
def test_words_are_told_from_mathematics(text, words):
    assert is_words(text) is words
