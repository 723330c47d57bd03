"""Values of formulas at a few fixed points: exact where they are rational, and never large.

Two formulas that agree at points drawn without knowledge of them are equal but for a coincidence (the lemma of
Schwartz and Zippel); constants have the same value at every point.
"""

import cmath
import math
from collections.abc import Callable
from fractions import Fraction
from hashlib import blake2b

POINTS = 5
MAX_BITS = 4_096  # a longer exact number goes on as a float
RELATIVE, ABSOLUTE = 1e-9, 1e-12  # how far floats may lie apart

Number = Fraction | complex
Values = tuple[Number | None, ...]  # (POINTS,); None: undefined there

_NEGATIVE = 3  # at this point every variable is negative; before it positive, after it either
_RADIANS = math.pi / 180


def constant(number: Number) -> Values:
    """The same number at every point."""
    return (number,) * POINTS


def variable(name: str) -> Values:
    """Rational numbers that depend on nothing but the name."""
    return tuple(_drawn(name, point) for point in range(POINTS))


def _drawn(name: str, point: int) -> Fraction:
    high, low, sign, _ = blake2b(f"{point} {name}".encode("utf-8", "surrogatepass"), digest_size=4).digest()
    value = Fraction(97 + high, 64 + low % 61)
    return -value if point == _NEGATIVE or (point > _NEGATIVE and sign % 2) else value


def pointwise(function: Callable[..., Number], *arguments: Values) -> Values:
    """``function`` of the arguments at each point; undefined where an argument is, or the function raises."""
    return tuple(_bounded(function, numbers) for numbers in zip(*arguments, strict=True))


def _bounded(function: Callable[..., Number], numbers: tuple[Number | None, ...]) -> Number | None:
    if None in numbers:
        return None
    try:
        value = function(*numbers)
        if isinstance(value, Fraction):
            return (
                value if value.numerator.bit_length() + value.denominator.bit_length() <= MAX_BITS else complex(value)
            )
        return value if cmath.isfinite(value) else None
    except (ArithmeticError, ValueError):
        return None


def add(a: Number, b: Number) -> Number:
    """a + b."""
    return a + b if isinstance(a, Fraction) and isinstance(b, Fraction) else complex(a) + complex(b)


def negate(number: Number) -> Number:
    """−number."""
    return -number


def subtract(a: Number, b: Number) -> Number:
    """a − b."""
    return add(a, -b)


def multiply(a: Number, b: Number) -> Number:
    """a · b."""
    return a * b if isinstance(a, Fraction) and isinstance(b, Fraction) else complex(a) * complex(b)


def divide(a: Number, b: Number) -> Number:
    """a / b."""
    return a / b if isinstance(a, Fraction) and isinstance(b, Fraction) else complex(a) / complex(b)


def power(base: Number, exponent: Number) -> Number:
    """base^exponent; principal value where there are several."""
    if isinstance(exponent, Fraction) and exponent.denominator == 1 and isinstance(base, Fraction):
        bits = base.numerator.bit_length() + base.denominator.bit_length()
        if abs(exponent) * bits <= MAX_BITS:
            return base ** int(exponent)
    return complex(base) ** complex(exponent)


def root(radicand: Number, index: Number) -> Number:
    """The index-th root: the real one of a negative number where the index is odd, else the principal one."""
    if isinstance(index, Fraction) and index.denominator == 1 and index % 2 and is_real(radicand):
        real = complex(radicand).real
        return complex(math.copysign(abs(real) ** float(1 / index), real))
    return complex(radicand) ** complex(1 / index)


def factorial(number: Number) -> Number:
    """number!, by the gamma function between integers."""
    if isinstance(number, Fraction) and number.denominator == 1 and 0 <= number <= 300:
        return Fraction(math.factorial(int(number)))
    return complex(math.gamma(_real(number) + 1))


def choose(n: Number, k: Number) -> Number:
    """The binomial coefficient."""
    whole = [int(x) for x in (n, k) if isinstance(x, Fraction) and x.denominator == 1 and 0 <= x <= 300]
    if len(whole) == 2:
        return Fraction(math.comb(*whole))
    return divide(factorial(n), multiply(factorial(k), factorial(subtract(n, k))))


def magnitude(number: Number) -> Number:
    """Absolute value."""
    return abs(number) if isinstance(number, Fraction) else complex(abs(number))


def floor(number: Number) -> Number:
    """The largest integer below or at a real number."""
    return Fraction(math.floor(number if isinstance(number, Fraction) else _real(number)))


def ceiling(number: Number) -> Number:
    """The smallest integer above or at a real number."""
    return -floor(-number)


def degrees(number: Number) -> Number:
    """Degrees as radians."""
    return complex(number) * _RADIANS


def logarithm(number: Number, base: Number) -> Number:
    """The principal logarithm to a base."""
    return cmath.log(complex(number)) / cmath.log(complex(base))


def _of_complex(function: Callable[[complex], complex]) -> Callable[[Number], Number]:
    return lambda number: function(complex(number))


FUNCTIONS: dict[str, Callable[[Number], Number]] = {
    **{name: _of_complex(getattr(cmath, name)) for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp")},
    "cot": _of_complex(lambda z: cmath.cos(z) / cmath.sin(z)),
    "sec": _of_complex(lambda z: 1 / cmath.cos(z)),
    "csc": _of_complex(lambda z: 1 / cmath.sin(z)),
    **{f"arc{name}": _of_complex(getattr(cmath, f"a{name}")) for name in ("sin", "cos", "tan")},
    "ln": _of_complex(cmath.log),
    "log": _of_complex(cmath.log10),
    "lg": _of_complex(cmath.log10),
}


def same(a: Values, b: Values) -> bool:
    """Whether two formulas agree.

    Points where both are real decide; only where there is none, complex values do. So identities of positive
    numbers (``log xy = log x + log y``) hold, but ``sqrt(x^2)`` is ``|x|``, not ``x``.
    """
    both = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    real = [(x, y) for x, y in both if is_real(x) and is_real(y)]
    return bool(both) and all(_close(x, y) for x, y in real or both)


def proportional(a: Values, b: Values) -> Number | None:
    """The factor a/b if it is the same, and not zero, at every point where b is not zero; else None."""
    ratios = [ratio for ratio in pointwise(divide, a, b) if ratio is not None]  # 0/0 and the undefined drop out
    if not ratios or _close(ratios[0], Fraction(0)):
        return None
    return ratios[0] if all(_close(ratio, ratios[0]) for ratio in ratios) else None


def is_positive(number: Number) -> bool:
    """Whether the number is real and above zero."""
    return number > 0 if isinstance(number, Fraction) else is_real(number) and number.real > 0


def is_real(number: Number) -> bool:
    """Whether the imaginary part is nothing but rounding."""
    return isinstance(number, Fraction) or abs(number.imag) <= RELATIVE * abs(number.real) + ABSOLUTE


def _real(number: Number) -> float:
    if not is_real(number):
        raise ValueError("a function of real numbers")
    return complex(number).real


def _close(a: Number, b: Number) -> bool:
    if isinstance(a, Fraction) and isinstance(b, Fraction):
        return a == b
    try:
        return cmath.isclose(complex(a), complex(b), rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    except OverflowError:  # an exact number beyond all floats
        return False
