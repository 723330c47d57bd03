"""What a mathematical answer denotes, and when two answers denote the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from benchmarks.graders import pointwise as pw
from benchmarks.graders.pointwise import Values


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """A number or a function of variables; ``name`` if it is one variable alone, ``f()`` a function's head."""

    values: Values
    name: str | None = None
    percent: bool = False

    @property
    def constant(self) -> bool:
        """Whether all values are one."""
        return pw.same(self.values, (self.values[0],) * pw.POINTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Prose, in small letters without punctuation."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Numeral:
    """Digits in a stated base."""

    digits: str
    base: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Several answers: a ``tuple``, ``ratio``, ``matrix`` or ``row`` of one; a ``set`` has no order.

    Lists and unions are sets; a column is a matrix; an open interval is a tuple, as they are written alike.
    """

    kind: str
    items: "tuple[Answer, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An interval with at least one of its ends; ``ends`` is ``[]``, ``[)`` or ``(]``."""

    ends: str
    low: "Answer"
    high: "Answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """``left op right``, with ``op`` one of ``= != < <=``."""

    op: str
    left: Scalar
    right: "Answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Residue:
    """A number modulo another."""

    value: Scalar
    modulus: Scalar


Answer = Scalar | Words | Numeral | Group | Interval | Relation | Residue


def same_answer(gold: Answer, answer: Answer) -> bool:
    r"""Whether two answers denote the same; symmetric.

    Forgiven: the variable before ``=`` if the other has none (``x=5`` and ``5``), braces around a list, order and
    repetition in it, a per cent sign (``50\%`` is 50 and 0.5, but ``0.5\%`` is not 0.5), a non-zero factor of an
    equation or ratio, a column for a tuple. Not forgiven: a base left out, a decimal that is not exact, brackets left
    out.
    """
    match gold, answer:
        case Relation(), Relation():
            return _same_relation(gold, answer)
        case (Relation(op="=") as relation, other) | (other, Relation(op="=") as relation):
            return relation.left.name is not None and same_answer(relation.right, other)
        case (Group(kind="set"), _) | (_, Group(kind="set")):
            return _covers(_items(gold), _items(answer)) and _covers(_items(answer), _items(gold))
        case Scalar(), Scalar():
            return _same_scalar(gold, answer)
        case Group(), Group():
            return _same_group(gold, answer)
        case (Group(kind="ratio", items=(Scalar() as a, Scalar() as b)), Scalar() as c) | (
            Scalar() as c,
            Group(kind="ratio", items=(Scalar() as a, Scalar() as b)),
        ):
            return pw.same(pw.pointwise(pw.divide, a.values, b.values), c.values)
        case Interval(), Interval():
            ends = gold.ends == answer.ends
            return ends and same_answer(gold.low, answer.low) and same_answer(gold.high, answer.high)
        case Residue(), Residue():
            return _same_residue(gold, answer)
        case (Words(), Words()) | (Numeral(), Numeral()):
            return gold == answer
    return False


def _items(answer: Answer) -> "tuple[Answer, ...]":
    return answer.items if isinstance(answer, Group) and answer.kind == "set" else (answer,)


def _covers(some: Sequence[Answer], others: Sequence[Answer]) -> bool:
    return all(any(same_answer(each, other) for other in others) for each in some)


def _same_scalar(a: Scalar, b: Scalar) -> bool:
    if a.percent == b.percent:
        return pw.same(a.values, b.values)
    percent, number = (a, b) if a.percent else (b, a)
    below_one = pw.same(percent.values, pw.constant(Fraction(0))) or any(
        value is not None and abs(value) < 1 for value in percent.values
    )
    if not below_one and pw.same(percent.values, number.values):
        return True
    return pw.same(pw.pointwise(pw.divide, percent.values, pw.constant(Fraction(100))), number.values)


def _same_group(a: Group, b: Group) -> bool:
    if {a.kind, b.kind} == {"tuple", "matrix"}:
        a, b = _column(a), _column(b)
    if a.kind != b.kind or len(a.items) != len(b.items):
        return False
    if a.kind == "ratio":
        ours, theirs = _values(a), _values(b)
        return len(ours) == len(theirs) == len(a.items) and all(
            pw.same(pw.pointwise(pw.multiply, x, theirs[0]), pw.pointwise(pw.multiply, y, ours[0]))
            for x, y in zip(ours, theirs, strict=True)
        )
    return all(same_answer(x, y) for x, y in zip(a.items, b.items, strict=True))


def _values(group: Group) -> list[Values]:
    return [item.values for item in group.items if isinstance(item, Scalar)]


def _column(group: Group) -> Group:
    rows = [item for item in group.items if isinstance(item, Group) and item.kind == "row"]
    if group.kind == "matrix" and all(len(row.items) == 1 for row in rows):
        return Group(kind="tuple", items=tuple(row.items[0] for row in rows))
    return group


def _same_relation(a: Relation, b: Relation) -> bool:
    if a.op != b.op:
        return False
    if a.op == "=" and a.left.name and b.left.name:
        heads = a.left.name == b.left.name or "f()" in (a.left.name, b.left.name)
        if heads and same_answer(a.right, b.right):
            return True
    if not (isinstance(a.right, Scalar) and isinstance(b.right, Scalar)):
        return False
    factor = pw.proportional(_difference(a), _difference(b))
    if factor is None:
        return False
    return a.op in ("=", "!=") or pw.is_positive(factor)


def _difference(relation: Relation) -> Values:
    assert isinstance(relation.right, Scalar)
    return pw.pointwise(pw.subtract, relation.left.values, relation.right.values)


def _same_residue(a: Residue, b: Residue) -> bool:
    if not pw.same(a.modulus.values, b.modulus.values):
        return False
    quotient = pw.pointwise(pw.divide, pw.pointwise(pw.subtract, a.value.values, b.value.values), a.modulus.values)
    return all(isinstance(number, Fraction) and number.denominator == 1 for number in quotient)
