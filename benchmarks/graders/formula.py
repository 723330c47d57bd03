"""Reads formulas, LaTeX or typed by hand, into their values at the points of ``pointwise``.

A recursive descent that evaluates while it reads: no sympy, no tree, and a bounded amount of work a token.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from benchmarks.graders import pointwise as pw
from benchmarks.graders.pointwise import Values
from benchmarks.graders.tokens import Token

MAX_DEPTH = 40
ONE = pw.constant(Fraction(1))


class UnreadableError(ValueError):
    """The text is no formula this reader knows. Never leaves the package: a grader turns it into a grade."""


class FormulaReader:
    """Tokens with a position; every method reads one construct and leaves the position behind it."""

    def __init__(self, pieces: Sequence[Token]) -> None:
        self.tokens = list(pieces)
        self.at = 0
        self.depth = 0
        self.bars = 0  # open |
        self.sign = 1  # what the next \pm stands for
        self.both = False  # whether a \pm has been met
        self.radians = False  # inside a function's argument a degree sign converts

    # What stands here

    def peek(self, ahead: int = 0) -> Token | None:
        return self.tokens[self.at + ahead] if self.at + ahead < len(self.tokens) else None

    def here(self, kind: str, *texts: str) -> bool:
        token = self.peek()
        return token is not None and token.kind == kind and (not texts or token.text in texts)

    def symbol(self, *texts: str) -> bool:
        return self.here("symbol", *texts)

    def command(self, *texts: str) -> bool:
        return self.here("command", *texts)

    def take(self) -> Token:
        token = self.peek()
        if token is None:
            raise UnreadableError("ends too early")
        self.at += 1
        return token

    def skip(self, *texts: str) -> bool:
        """Takes a symbol or command of one of these texts, if it is here."""
        if self.symbol(*texts) or self.command(*texts):
            self.at += 1
            return True
        return False

    def expect(self, *texts: str) -> None:
        if not self.skip(*texts):
            raise UnreadableError(f"wanted {texts}")

    def expect_end(self) -> None:
        if self.peek() is not None:
            raise UnreadableError("more than a formula")

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise UnreadableError("nested too deeply")

    def sum(self) -> tuple[Values, str | None]:
        """A sum's values; the name if it is one variable."""
        self.deeper()
        negative, signed = self.signs()
        values, name = self.term()
        if signed:
            name = None
        values = pw.pointwise(pw.negate, values) if negative else values
        while self.symbol("+", "-") or self.command("pm", "mp"):
            negative, _ = self.signs()
            term, name = self.term()[0], None
            values = pw.pointwise(pw.subtract if negative else pw.add, values, term)
        self.depth -= 1
        return values, name

    def signs(self) -> tuple[bool, bool]:
        """(whether the signs here make it negative, whether there are any)."""
        negative = signed = False
        while self.symbol("+", "-") or self.command("pm", "mp"):
            mark = self.take().text
            signed = True
            self.both |= mark in ("pm", "mp")
            negative ^= mark == "-" or (mark == "pm" and self.sign < 0) or (mark == "mp" and self.sign > 0)
        return negative, signed

    def term(self) -> tuple[Values, str | None]:
        mixed = self.mixed()
        values, name = (mixed, None) if mixed else self.factor()
        while True:
            if self.skip("*", "times", "cdot"):
                values, name = pw.pointwise(pw.multiply, values, self.factor()[0]), None
            elif self.symbol("/") and (after := self.peek(1)) is not None and after.kind == "word":
                break  # a unit
            elif self.skip("/", "div"):
                values, name = pw.pointwise(pw.divide, values, self.factor()[0]), None
            elif self.starts_factor():
                if self.here("number") and (self.at == 0 or self.tokens[self.at - 1].kind == "number"):
                    raise UnreadableError("two numbers side by side")
                values, name = pw.pointwise(pw.multiply, values, self.factor()[0]), None
            else:
                return values, name
        return values, name

    def mixed(self) -> Values | None:
        r"""``1\frac{4}{5}`` or ``1 4/5``, if one is here."""
        texts = [token.text for token in self.tokens[self.at : self.at + 8]]
        whole = texts[0] if texts else ""
        if not (self.here("number") and whole.isdecimal()):
            return None
        if len(texts) > 3 and texts[2] == "/" and self.tokens[self.at + 1].spaced:
            over, under, length = texts[1], texts[3], 4
        elif len(texts) > 7 and texts[1:3] == ["frac", "{"] and texts[4:6] == ["}", "{"] and texts[7] == "}":
            over, under, length = texts[3], texts[6], 8
        else:
            return None
        if not (over.isdecimal() and under.isdecimal() and int(under)):
            return None
        self.at += length
        return pw.constant(Fraction(int(whole)) + Fraction(int(over), int(under)))

    def starts_factor(self) -> bool:
        token = self.peek()
        if token is None:
            return False
        if token.kind in ("number", "repeating", "name"):
            return True
        if token.kind == "command":
            return token.text in pw.FUNCTIONS or token.text in _ATOMS or token.text in _GREEK
        if token.text == "(" and (after := self.peek(1)) is not None and after.text == "pmod":
            return False
        return token.text in ("(", "[", "{") or (token.text == "|" and not self.bars)

    def factor(self) -> tuple[Values, str | None]:
        """An atom with its powers, factorials and degree signs."""
        self.deeper()
        negative, _ = self.signs()  # as in 2 \cdot -3
        values, name = self.atom()
        while True:
            if self.skip("^"):
                values, name = pw.pointwise(pw.power, values, self.argument()), None
            elif self.skip("!"):
                values, name = pw.pointwise(pw.factorial, values), None
            elif self.skip("degree", "circ"):
                values = pw.pointwise(pw.degrees, values) if self.radians else values
            else:
                break
        self.depth -= 1
        return (pw.pointwise(pw.negate, values), None) if negative else (values, name)

    def atom(self) -> tuple[Values, str | None]:
        token = self.take()
        if token.kind == "number":
            return pw.constant(Fraction(token.text)), None
        if token.kind == "repeating":
            return pw.constant(_repeating(token.text)), None
        if token.kind == "name":
            return self.name(token.text)
        if token.kind == "command":
            return self.applied(token.text)
        closing = {"(": ")", "[": "]", "{": "}", "|": "|"}.get(token.text)
        if closing is None or token.kind != "symbol":
            raise UnreadableError(f"no formula starts with {token.text!r:.20}")
        bars, self.bars = self.bars, int(closing == "|")
        values, name = self.sum()
        self.bars = bars
        self.expect(closing)
        return (pw.pointwise(pw.magnitude, values), None) if closing == "|" else (values, name)

    def name(self, name: str) -> tuple[Values, str | None]:
        if name == "i":
            return pw.constant(1j), None
        if name == "e":
            return pw.constant(complex(2.718281828459045)), None
        if self.skip("_"):
            name += "_" + self.subscript()
        while self.skip("'"):
            name += "'"
        return pw.variable(name), name

    def subscript(self) -> str:
        if not self.skip("{"):
            return self.take().text
        inside = ""
        while not self.symbol("}"):
            inside += self.take().text
        self.take()
        return inside

    def applied(self, command: str) -> tuple[Values, str | None]:
        """What a command and its arguments denote."""
        if command in pw.FUNCTIONS:
            return self.function(command), None
        if command in _GREEK:
            return self.name(command)
        if command not in _ATOMS:
            raise UnreadableError(f"unknown command {command!r:.20}")
        return _ATOMS[command](self), None

    def function(self, name: str) -> Values:
        function, base, exponent = pw.FUNCTIONS[name], None, ONE
        if self.skip("_"):
            base = self.argument()
        if self.skip("^"):
            exponent = self.argument()
            if pw.same(exponent, pw.constant(Fraction(-1))):
                function, exponent = pw.FUNCTIONS.get("arc" + name, function), ONE
        radians, self.radians = self.radians, name in ("sin", "cos", "tan", "cot", "sec", "csc")
        bracketed = self.symbol("(", "{", "[")
        argument = self.factor()[0]
        while not bracketed and self.starts_factor() and not self.command(*pw.FUNCTIONS):
            argument = pw.pointwise(pw.multiply, argument, self.factor()[0])
        self.radians = radians
        result = pw.pointwise(pw.logarithm, argument, base) if base else pw.pointwise(function, argument)
        return result if exponent is ONE else pw.pointwise(pw.power, result, exponent)

    def argument(self) -> Values:
        """An argument of a command or an exponent: a group in braces, or a number, letter or command."""
        self.deeper()
        negative, _ = self.signs()
        values = self.atom()[0]
        self.depth -= 1
        return pw.pointwise(pw.negate, values) if negative else values


def _repeating(text: str) -> Fraction:
    """The value of ``0.1\\overline{6}``."""
    whole, after = text.split(".")
    once, repeated = after.split("\\overline")
    period = repeated.strip(" {}")
    start = Fraction(int(whole + once or "0"), 10 ** len(once))
    return start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(once))


def _fraction(reader: FormulaReader) -> Values:
    over = reader.argument()
    return pw.pointwise(pw.divide, over, reader.argument())


def _binomial(reader: FormulaReader) -> Values:
    n = reader.argument()
    return pw.pointwise(pw.choose, n, reader.argument())


def _root(reader: FormulaReader) -> Values:
    index = pw.constant(Fraction(2))
    if reader.skip("["):
        index = reader.sum()[0]
        reader.expect("]")
    reader.deeper()
    radicand = reader.atom()[0]
    reader.depth -= 1
    return pw.pointwise(pw.root, radicand, index)


def _rounding(function: Callable[[pw.Number], pw.Number], closing: str) -> "Callable[[FormulaReader], Values]":
    def rounded(reader: FormulaReader) -> Values:
        inside = reader.sum()[0]
        reader.expect(closing)
        return pw.pointwise(function, inside)

    return rounded


_ATOMS: dict[str, Callable[[FormulaReader], Values]] = {
    "frac": _fraction,
    "binom": _binomial,
    "sqrt": _root,
    "lfloor": _rounding(pw.floor, "rfloor"),
    "lceil": _rounding(pw.ceiling, "rceil"),
    "pi": lambda reader: pw.constant(complex(3.141592653589793)),
    "infty": lambda reader: pw.variable("infinity"),
}
_GREEK_NAMES = "alpha beta gamma delta epsilon theta lambda mu phi varphi rho sigma tau omega psi ell"
_GREEK = frozenset(_GREEK_NAMES.split())
