"""Answers are read into what they denote, or not at all."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.graders import pointwise as pw
from benchmarks.graders.answers import Group, Interval, Numeral, Relation, Residue, Scalar, Words
from benchmarks.graders.formula import MAX_DEPTH, UnreadableError
from benchmarks.graders.reading import MAX_CHARACTERS, MAX_ITEMS, read

NUMBERS = [
    ("18", 18),
    ("1,234", 1234),
    (r"10,\!080", 10080),
    (r"1{,}000", 1000),
    (r"\$32,\!348", 32348),
    ("18.", 18),
    (".5", Fraction(1, 2)),
    ("-3", -3),
    ("−3", -3),
    ("--3", 3),
    ("1e3", 1000),
    (r"6.72 \times 10^{-5}", Fraction(672, 10**7)),
    (r"\frac43", Fraction(4, 3)),
    (r"\frac{4}3", Fraction(4, 3)),
    (r"\dfrac 4{3}", Fraction(4, 3)),
    ("4/3", Fraction(4, 3)),
    (r"1\frac{4}{5}", Fraction(9, 5)),
    ("1 4/5", Fraction(9, 5)),
    ("2½", Fraction(5, 2)),
    (r"2\cdot\frac{1}{2}", 1),
    (r"0.1\overline{6}", Fraction(1, 6)),
    ("2(9)", 18),
    ("(2)(9)", 18),
    ("2^3^2", 64),  # TeX refuses it; read from the left
    ("2^{10}", 1024),
    ("2^10", 1024),
    ("3!", 6),
    (r"\binom{5}{2}", 10),
    ("|-3|", 3),
    (r"\lfloor -2.5 \rfloor", -3),
    (r"\lceil 2.1 \rceil", 3),
    ("9 * 2 = 18", 18),
    (r"15\mbox{ cm}^2", 15),
    ("5 m", 5),
    ("12 m^2", 12),
    ("18 eggs per day", 18),
    (r"60 \text{ miles}/\text{hour}", 60),
    (r"90^\circ", 90),
    ("90°", 90),
    (r"\text{12}", 12),
    ("[5]", 5),
    ("((5))", 5),
    (r"\left(\frac{1}{2}\right)^2", Fraction(1, 4)),
]


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_a_number_is_read(text, value):
    answer = read(text)
    assert isinstance(answer, Scalar)
    assert answer.values == pw.constant(Fraction(value))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"\sqrt2", 2**0.5),
        ("√(2)", 2**0.5),
        (r"\sqrt[3]{-8}", -2),
        (r"\frac{\pi}{2}", 1.5707963267948966),
        ("2pi", 6.283185307179586),
        (r"\sin 30^\circ", 0.5),
        (r"\sin^2 1 + \cos^2 1", 1),
        (r"\tan^{-1} 1", 0.7853981633974483),
        (r"2\sin 0 + 1", 1),
        (r"\log_2 8", 3),
        (r"\ln e^2", 2),
        ("i^2", -1),
    ],
)
def test_an_irrational_or_complex_number_is_read(text, value):
    answer = read(text)
    assert isinstance(answer, Scalar)
    assert pw.same(answer.values, pw.constant(complex(value)))


def scalar(value: int | Fraction) -> Scalar:
    """A constant."""
    return Scalar(values=pw.constant(Fraction(value)))


STRUCTURES = [
    ("(1,2)", Group(kind="tuple", items=(scalar(1), scalar(2)))),
    (r"\langle 1,2\rangle", Group(kind="tuple", items=(scalar(1), scalar(2)))),
    ("1,2", Group(kind="set", items=(scalar(1), scalar(2)))),
    ("1 and 2", Group(kind="set", items=(scalar(1), scalar(2)))),
    (r"\{1,2\}", Group(kind="set", items=(scalar(1), scalar(2)))),
    (r"3\pm 1", Group(kind="set", items=(scalar(4), scalar(2)))),
    (r"3\mp 1", Group(kind="set", items=(scalar(2), scalar(4)))),
    (r"\{3\pm 1, 7\}", Group(kind="set", items=(scalar(4), scalar(2), scalar(7)))),
    (r"\emptyset", Group(kind="set", items=())),
    ("[1,2)", Interval(ends="[)", low=scalar(1), high=scalar(2))),
    (r"1 \le x < 2", Interval(ends="[)", low=scalar(1), high=scalar(2))),
    (r"2 > x \ge 1", Interval(ends="[)", low=scalar(1), high=scalar(2))),
    ("1 < x < 2", Group(kind="tuple", items=(scalar(1), scalar(2)))),
    (r"x \in [1,2)", Interval(ends="[)", low=scalar(1), high=scalar(2))),
    ("3:2", Group(kind="ratio", items=(scalar(3), scalar(2)))),
    (r"\begin{pmatrix} 1 & 2 \\[1ex] 3 & 4 \end{pmatrix}", Group(kind="matrix", items=(
        Group(kind="row", items=(scalar(1), scalar(2))), Group(kind="row", items=(scalar(3), scalar(4)))))),
    ("52_8", Numeral(digits="52", base=8)),
    ("52_{8}", Numeral(digits="52", base=8)),
    (r"3 \pmod{7}", Residue(value=scalar(3), modulus=scalar(7))),
    (r"x \equiv 3 (\bmod 7)", Residue(value=scalar(3), modulus=scalar(7))),
    ("50%", Scalar(values=pw.constant(Fraction(50)), percent=True)),
    (r"50\%", Scalar(values=pw.constant(Fraction(50)), percent=True)),
    ("Evelyn", Words(text="evelyn")),
    (r"\text{an even number}", Words(text="even number")),
    (r"\text{(C)}", Scalar(values=pw.variable("C"), name="C")),
    ("x=5", Relation(op="=", left=Scalar(values=pw.variable("x"), name="x"), right=scalar(5))),
    ("5=x", Relation(op="=", left=Scalar(values=pw.variable("x"), name="x"), right=scalar(5))),
]  # fmt: skip


@pytest.mark.parametrize(("text", "answer"), STRUCTURES)
def test_a_structure_is_read(text, answer):
    assert read(text) == answer


UNREADABLE = [
    *("", " ", "$", "}{", "(", "(1,2", "1 2", "1 2 3", r"\frac{1}", r"\sqrt{", r"\int_0^5 dx", r"\def\x{\x}\x", "="),
    *("5 apples 6", "__import__('os')", r"\begin{pmatrix} 1", r"\begin{verbatim} 1 \end{verbatim}", "1 +", "x < y < z"),
    *("a = b = c + 1 < 2", r"52_x", "^2", "1 ₂/3", "1+" * MAX_CHARACTERS + "1", ",".join(["1"] * (MAX_ITEMS + 1))),
    "(" * (MAX_DEPTH + 1) + "1" + ")" * (MAX_DEPTH + 1),
]


@pytest.mark.parametrize("text", UNREADABLE)
def test_what_is_no_answer_is_refused(text):
    with pytest.raises(UnreadableError):
        read(text)


def formulas() -> st.SearchStrategy[tuple[str, Fraction | None]]:
    """LaTeX with the value Python gives it at the first point of x; None where undefined."""
    x = pw.variable("x")[0]
    leaves = st.one_of(
        st.integers(0, 30).map(lambda n: (str(n), Fraction(n))),
        st.tuples(st.integers(1, 9), st.integers(1, 9)).map(lambda p: (rf"\frac{{{p[0]}}}{{{p[1]}}}", Fraction(*p))),
        st.just(("x", x)),
    )

    def joined(children: st.SearchStrategy) -> st.SearchStrategy:
        def quotient(a, b):
            return a / b if b else None

        pairs = st.tuples(children, children)
        return st.one_of(
            pairs.map(lambda p: (rf"({p[0][0]}+{p[1][0]})", _both(p, lambda a, b: a + b))),
            pairs.map(lambda p: (rf"\left({p[0][0]} - {p[1][0]}\right)", _both(p, lambda a, b: a - b))),
            pairs.map(lambda p: (rf"{p[0][0]} \cdot {p[1][0]}", _both(p, lambda a, b: a * b))),
            pairs.map(lambda p: (rf"\dfrac{{{p[0][0]}}}{{{p[1][0]}}}", _both(p, quotient))),
            children.map(lambda c: (rf"({c[0]})^2", None if c[1] is None else c[1] ** 2)),
            children.map(lambda c: (rf"-({c[0]})", None if c[1] is None else -c[1])),
        )

    return st.recursive(leaves, joined, max_leaves=6)


def _both(pair, operation):
    (_, a), (_, b) = pair
    return None if a is None or b is None else operation(a, b)


@settings(deadline=None, max_examples=200)
@given(formulas())
def test_a_formula_has_the_value_that_python_gives_it(formula):
    text, value = formula
    answer = read(text)
    assert isinstance(answer, Scalar)
    if answer.values[0] is None or value is None:
        assert answer.values[0] is value
    else:
        assert pw.same((answer.values[0],), (value,))
