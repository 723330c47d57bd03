"""Values at points: exact where rational, bounded, and undefined instead of wrong."""

import math
from fractions import Fraction

import pytest

from benchmarks.graders import pointwise as pw


def number(value: float | complex) -> pw.Values:
    """A constant given as a Python number."""
    return pw.constant(Fraction(value) if isinstance(value, int | Fraction) else complex(value))


def test_a_variable_has_the_same_values_every_time_and_others_have_others():
    assert pw.variable("x") == pw.variable("x")
    assert all(a != b for a, b in zip(pw.variable("x"), pw.variable("y"), strict=True))


def test_variables_are_positive_at_the_first_points_and_negative_at_one():
    for name in ("x", "y", "n", "alpha"):
        values = pw.variable(name)
        assert min(values[:3]) > 0 > values[3]


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (pw.add, (2, Fraction(1, 3)), Fraction(7, 3)),
        (pw.subtract, (2, 5), -3),
        (pw.multiply, (Fraction(2, 3), 6), 4),
        (pw.divide, (1, 3), Fraction(1, 3)),
        (pw.power, (Fraction(2, 3), -2), Fraction(9, 4)),
        (pw.factorial, (5,), 120),
        (pw.choose, (10, 3), 120),
        (pw.magnitude, (-7,), 7),
        (pw.floor, (Fraction(-1, 2),), -1),
        (pw.ceiling, (Fraction(-1, 2),), 0),
    ],
)
def test_rational_arithmetic_is_exact(function, arguments, result):
    assert pw.pointwise(function, *map(number, arguments)) == pw.constant(Fraction(result))


@pytest.mark.parametrize(
    ("function", "arguments", "result"),
    [
        (pw.root, (-8, 3), -2),
        (pw.root, (2, 2), math.sqrt(2)),
        (pw.power, (4, Fraction(1, 2)), 2),
        (pw.logarithm, (8, 2), 3),
        (pw.degrees, (180,), math.pi),
        (pw.FUNCTIONS["sin"], (0,), 0),
        (pw.FUNCTIONS["cot"], (math.pi / 4,), 1),
        (pw.FUNCTIONS["log"], (1000,), 3),
        (pw.FUNCTIONS["ln"], (math.e,), 1),
        (pw.factorial, (0.5,), math.sqrt(math.pi) / 2),
    ],
)
def test_other_values_agree_with_known_ones(function, arguments, result):
    assert pw.same(pw.pointwise(function, *map(number, arguments)), number(result))


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (pw.divide, (1, 0)),
        (pw.power, (0, -1)),
        (pw.power, (9, 10**9)),
        (pw.FUNCTIONS["ln"], (0,)),
        (pw.FUNCTIONS["exp"], (10**5,)),
        (pw.factorial, (-1,)),
        (pw.factorial, (10**6,)),
        (pw.floor, (1j,)),
    ],
)
def test_what_has_no_value_or_too_large_a_one_is_undefined(function, arguments):
    assert pw.pointwise(function, *map(number, arguments)) == (None,) * pw.POINTS


def test_undefined_spreads():
    nothing = pw.pointwise(pw.divide, number(1), number(0))
    assert pw.pointwise(pw.add, nothing, number(1)) == nothing
    assert not pw.same(nothing, nothing)


def test_a_number_too_long_to_keep_exact_goes_on_as_a_float():
    large = number(Fraction(3, 2) ** 800)
    square = pw.pointwise(pw.multiply, large, large)
    assert isinstance(square[0], complex)
    assert pw.same(square, number(1.5**1600))
    assert not pw.same(square, number(1.5**1601))


def test_exact_numbers_are_compared_exactly_and_floats_closely():
    assert not pw.same(number(Fraction(1, 3)), number(Fraction(333_333_333_333, 10**12)))
    assert pw.same(number(math.sqrt(2) ** 2), number(2))
    assert not pw.same(number(math.pi), number(Fraction(314159265, 10**8)))
    assert not pw.same(number(10**2000), number(1.5))


def test_points_where_both_are_real_decide():
    x = pw.variable("x")
    root_of_square = pw.pointwise(pw.root, pw.pointwise(pw.multiply, x, x), number(2))
    assert not pw.same(root_of_square, x)
    assert pw.same(root_of_square, pw.pointwise(pw.magnitude, x))


def test_a_common_factor_is_found_and_its_absence_noticed():
    x, y = pw.variable("x"), pw.variable("y")
    twice = pw.pointwise(pw.multiply, x, number(-2))
    assert pw.proportional(twice, x) == -2
    assert pw.proportional(x, y) is None
    assert pw.proportional(pw.constant(Fraction(0)), x) is None
    assert pw.proportional(x, pw.constant(Fraction(0))) is None


@pytest.mark.parametrize(
    ("value", "positive"), [(Fraction(1), True), (Fraction(0), False), (-1 + 0j, False), (1 + 1j, False)]
)
def test_only_real_numbers_above_zero_are_positive(value, positive):
    assert pw.is_positive(value) is positive
