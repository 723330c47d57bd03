"""Reads a mathematical answer into what it denotes: numbers, tuples, sets, intervals, relations, words."""

import re
from collections.abc import Sequence

from benchmarks.graders import pointwise as pw
from benchmarks.graders.answers import Answer, Group, Interval, Numeral, Relation, Residue, Scalar, Words
from benchmarks.graders.formula import FormulaReader, UnreadableError
from benchmarks.graders.tokens import SEPARATORS, Token, clean, tokens

MAX_CHARACTERS = 2_000
MAX_ITEMS = 100  # of all lists, sets, tuples and rows of an answer
MAX_STRUCTURES = 4  # a tuple in a set in a …
_WORDS = re.compile(r"[^\W\d_][^\W\d_' .-]*(?:[ '.-]+[^\W\d_]+)*\.?")
_LONE_TEXT = re.compile(r"\\(?:text|mbox|textbf|textrm|mathrm|mathbf)\s{0,4}\{([^{}]*)\}")
_RELATIONS = {
    "=": "=", "<": "<", ">": ">", "le": "<=", "ge": ">=", "ne": "!=", "in": "in", "equiv": "equiv", ":": ":",
}  # fmt: skip
_MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_MATRICES = ("matrix", "pmatrix", "bmatrix", "array", "vmatrix", "Bmatrix", "smallmatrix")
_ABOVE = Scalar(values=pw.variable("infinity"))
_BELOW = Scalar(values=pw.pointwise(pw.negate, _ABOVE.values))


def read(text: str) -> Answer:
    r"""What ``text`` denotes; units and a variable's membership (``x \in``) are dropped.

    Raises:
        UnreadableError: it is too long, nested too deeply, or not understood to its end.
    """
    if len(text) > MAX_CHARACTERS:
        raise UnreadableError("too long")
    cleaned = clean(text)
    while lone := _LONE_TEXT.fullmatch(cleaned):
        cleaned = clean(lone[1])
    prose = _prose(cleaned)
    if prose is not None:
        return Words(text=prose)
    if not cleaned:
        raise UnreadableError("empty")
    reader = _AnswerReader(tokens(cleaned))
    answers = reader.items(end=None, signs=True)
    reader.expect_end()
    return answers[0] if len(answers) == 1 else Group(kind="set", items=tuple(answers))


def _prose(text: str) -> str | None:
    """Normal prose if ``text`` is nothing else, with a word of three letters that is no function."""
    if not _WORDS.fullmatch(text) or any(token.kind in ("command", "symbol") for token in tokens(text)):
        return None
    if not any(token.kind == "word" for token in tokens(text)):
        return None
    return _normal(text) or None


def _normal(prose: str) -> str:
    words = re.findall(r"[^\W_]+", prose.casefold())
    return " ".join(word for word in words if word not in ("the", "a", "an"))


class _AnswerReader(FormulaReader):
    """Adds to formulas the answers that are no numbers."""

    def __init__(self, pieces: Sequence[Token]) -> None:
        super().__init__(pieces)
        self.structures = 0  # open ones
        self.read = 0  # items, those read twice counted twice

    def items(self, *, end: str | None, signs: bool) -> list[Answer]:
        r"""Answers between separators, up to ``end``; ``signs``: one with a ``\pm`` is two."""
        answers: list[Answer] = []
        while not (end and self.symbol(end)):
            self.read += 1
            if self.read > MAX_ITEMS:
                raise UnreadableError("too many answers")
            answers += self.both_signs() if signs and self.structures <= 1 else [self.union()]
            if not self.symbol(*SEPARATORS):
                break
            while self.skip(*SEPARATORS):  # ", and"
                pass
        return answers

    def both_signs(self) -> list[Answer]:
        start, sign, met = self.at, self.sign, self.both
        self.both, self.sign = False, 1
        answers = [self.union()]
        if self.both:
            self.at, self.sign = start, -1
            answers.append(self.union())
        self.sign, self.both = sign, met
        return answers

    def union(self) -> Answer:
        answers = [self.chain()]
        while self.skip("cup"):
            answers.append(self.chain())
        return answers[0] if len(answers) == 1 else Group(kind="set", items=tuple(answers))

    def chain(self) -> Answer:
        head = self.head()
        sides: list[Answer] = [head] if head else [self.side()]
        ops: list[str] = []
        while (token := self.peek()) and token.kind in ("symbol", "command") and token.text in _RELATIONS:
            ops.append(_RELATIONS[self.take().text])
            sides.append(self.side())
        answer = _related(sides, ops) if ops else sides[0]
        if self.skip("("):
            self.expect("pmod")
            answer = self.residue(answer)
            self.expect(")")
        elif self.skip("pmod"):
            answer = self.residue(answer)
        return answer

    def residue(self, answer: Answer) -> Answer:
        while isinstance(answer, Relation):
            answer = answer.right
        return Residue(value=_scalar(answer), modulus=_scalar(self.side()))

    def head(self) -> Scalar | None:
        """``f(x)`` before an equals sign: the name of a function with its argument."""
        texts = [token.text for token in self.tokens[self.at : self.at + 5]]
        if len(texts) == 5 and texts[1] == "(" and texts[3:] == [")", "="] and self.here("name"):
            self.at += 4
            return Scalar(values=pw.variable("".join(texts[:4])), name="f()")
        return None

    def side(self) -> Answer:
        """A sum with a unit or percent sign behind it, or one of the answers that are not numbers."""
        start = self.at
        answer = self.structure()
        if answer is not None:
            self.unit()
            if self.ended():
                return answer
        self.at = start
        values, name = self.sum()
        percent = self.skip("\\%", "%") or self.here("word", "percent")
        self.unit()
        return Scalar(values=values, name=name, percent=percent)

    def ended(self) -> bool:
        """Whether nothing here continues a formula."""
        token = self.peek()
        return (
            token is None
            or token.kind in ("row", "end")
            or token.text in SEPARATORS
            or token.text in (")", "]", "\\}", "}", "cup", "&", *_RELATIONS)
        )

    def unit(self) -> None:
        while self.here("word") or (self.symbol("/") and (after := self.peek(1)) is not None and after.kind == "word"):
            self.take()
            if self.skip("^"):
                self.argument()

    # Answers that are not numbers

    def structure(self) -> Answer | None:
        """A numeral in a base, a matrix, or brackets that are no parentheses of a product; None if none is here."""
        if self.here("begin"):
            return self.matrix()
        if self.here("command", "emptyset"):
            self.take()
            return Group(kind="set", items=())
        if self.here("word"):
            return self.words()
        base = self.numeral()
        if base is not None:
            return base
        if not self.symbol("(", "[", "\\{", "{") and not self.command("langle"):
            return None
        if self.structures == MAX_STRUCTURES:
            return None
        self.structures += 1
        opening = self.take().text
        closing = {"\\{": "\\}", "{": "}"}.get(opening)
        inside = tuple(self.items(end=closing, signs=closing is not None))
        closed = self.take().text if self.symbol("\\}", "}", ")", "]") or self.command("rangle") else ""
        self.structures -= 1
        if closing:
            whole = closed == closing and (opening == "\\{" or len(inside) > 1)
            return Group(kind="set", items=inside) if whole else None
        return _bracketed(opening, inside, closed)

    def words(self) -> Words:
        prose = ""
        while self.here("word"):
            prose += f" {self.take().text}"
        return Words(text=_normal(prose))

    def numeral(self) -> Numeral | None:
        here, under, sub = self.peek(), self.peek(1), self.peek(2)
        if here is None or under is None or here.kind != "number" or under.text != "_" or not here.text.isdecimal():
            return None
        self.at += 2
        braced = self.skip("{")
        sub = self.take()
        if braced:
            self.expect("}")
        if sub.kind != "number" or not sub.text.isdecimal():
            raise UnreadableError("a base is a number")
        return Numeral(digits=here.text.lstrip("0"), base=int(sub.text[:9]))

    def matrix(self) -> Group:
        self.structures += 1
        if self.structures > MAX_STRUCTURES:
            raise UnreadableError("nested too deeply")
        name = self.take().text
        if name not in _MATRICES:
            raise UnreadableError(name)
        rows: list[Answer] = []
        cells: list[Answer] = [self.side()]
        while not self.here("end"):
            if self.here("row"):
                self.take()
                rows.append(Group(kind="row", items=tuple(cells)))
                cells = [] if self.here("end") else [self.side()]
            else:
                self.expect("&")
                cells.append(self.side())
        self.take()
        self.structures -= 1
        if cells:
            rows.append(Group(kind="row", items=tuple(cells)))
        return Group(kind="matrix", items=tuple(rows))


def _bracketed(opening: str, inside: tuple[Answer, ...], closing: str) -> Answer | None:
    """What the brackets around ``inside`` make of it; None if they do not match."""
    ends = opening + closing
    if ends in ("()", "[]") and len(inside) == 1:
        return inside[0]
    if ends in ("()", "langlerangle") or (ends == "[]" and len(inside) > 2):
        return Group(kind="tuple", items=inside)
    if ends in ("[]", "[)", "(]") and len(inside) == 2:
        return Interval(ends=ends, low=inside[0], high=inside[1])
    return None


def _related(sides: Sequence[Answer], ops: Sequence[str]) -> Answer:
    """What a chain of relations says.

    Raises:
        UnreadableError: nothing this reader knows.
    """
    if set(ops) == {":"}:
        return Group(kind="ratio", items=tuple(sides))
    if ops == ["in"] and isinstance(sides[0], Scalar):
        return sides[1]
    if set(ops) <= {"=", "equiv"}:
        return _equation(sides)
    return _inequality([_scalar(side) for side in sides], list(ops))


def _equation(sides: Sequence[Answer]) -> Answer:
    first, last = sides[0], sides[-1]
    if isinstance(last, Scalar) and all(isinstance(side, Scalar) and side.constant for side in sides):
        return last  # a calculation: 9 * 2 = 18
    if isinstance(first, Scalar) and first.name:
        return Relation(op="=", left=first, right=last)
    if len(sides) == 2 and isinstance(last, Scalar) and last.name:
        return Relation(op="=", left=last, right=first)
    if len(sides) == 2:
        return Relation(op="=", left=_scalar(first), right=last)
    raise UnreadableError("a chain of equations")


def _inequality(sides: list[Scalar], ops: list[str]) -> Answer:
    if ops[0] in (">", ">="):
        sides, ops = sides[::-1], [_MIRRORED.get(op, op) for op in ops[::-1]]
    if any(op not in ("<", "<=") for op in ops) and ops != ["!="]:
        raise UnreadableError("a chain of relations")
    place = next((index for index, side in enumerate(sides) if side.name), None)
    others = [side for index, side in enumerate(sides) if index != place]
    if place is None or ops == ["!="] or not all(side.constant for side in others):
        if len(sides) == 2:
            return Relation(op=ops[0], left=sides[0], right=sides[1])
        raise UnreadableError("a chain of inequalities")
    if len(sides) == 2:
        low, high = (_BELOW, sides[1]) if place == 0 else (sides[0], _ABOVE)
        ends = ("(" if place == 0 or ops[0] == "<" else "[") + (")" if place == 1 or ops[0] == "<" else "]")
    elif len(sides) == 3 and place == 1:
        low, high = sides[0], sides[2]
        ends = ("(" if ops[0] == "<" else "[") + (")" if ops[1] == "<" else "]")
    else:
        raise UnreadableError("a chain of inequalities")
    return Group(kind="tuple", items=(low, high)) if ends == "()" else Interval(ends=ends, low=low, high=high)


def _scalar(answer: Answer) -> Scalar:
    if not isinstance(answer, Scalar):
        raise UnreadableError("wanted a number")
    return answer
