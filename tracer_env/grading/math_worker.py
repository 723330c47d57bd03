"""The child process that compares mathematical answers: one JSON line in, one out, until its input ends.

It runs as a script, imports nothing of this project and outlives neither its parent nor a deadline: the end of
its input stops it between items, and an alarm with the system's default action (kill) within one, even inside
a C call that holds the interpreter.

In: ``{"gold": latex, "answer": latex, "seconds": float}``. Out: ``{"grade": "right" | "wrong" | "ungradable"}``;
before the first item ``{"ready": true}`` or ``{"error": message}``.
"""

# Sympy and math-verify have no annotations:
# pyright: basic

import contextlib
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any

MEMORY_BYTES = 4 << 30  # address space; a number with a billion digits ends in MemoryError, not in swap


def main() -> None:
    """Serves comparisons from standard input to standard output."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # a library's prints are no replies
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.disable()
    _limit_memory()
    serve(sys.stdin, replies, comparison)


def serve(items: Iterable[str], replies: IO[str], load: Callable[[], Callable[[str, str], str]]) -> None:
    """Answers every line of ``items`` with one on ``replies``, using the comparison that ``load`` returns."""

    def reply(message: dict[str, object]) -> None:
        replies.write(json.dumps(message) + "\n")
        replies.flush()

    try:
        compare = load()
    except ImportError as error:
        reply({"error": str(error)})
        return
    reply({"ready": True})
    for line in items:
        item = json.loads(line)
        _alarm(item["seconds"] + 1)
        grade = compare(item["gold"], item["answer"])
        _alarm(0)
        reply({"grade": grade})


def comparison() -> Callable[[str, str], str]:
    """The function (gold, answer) -> grade, over math-verify.

    math-verify compares numbers to six places, so that ``1.6e-19`` would equal ``9.1e-31``; here decimals are the
    fractions that they denote and numbers are compared by ``same_number``. ``i`` is the imaginary unit, a column is
    the tuple of its entries, and formulas that are equal wherever both are real are equal.

    Raises:
        ImportError: math-verify is not installed.
    """
    from math_verify import LatexExtractionConfig, grader, parse, verify

    extraction = [LatexExtractionConfig(boxed_match_priority=0)]
    grader.sympy_numeric_eq = lambda gold, answer, *_: same_number(gold, answer)

    def read(latex: str) -> list:
        return [
            exact(value) for value in parse(f"\\boxed{{{latex}}}", extraction, parsing_timeout=0, raise_on_error=True)
        ]

    def compare(gold: str, answer: str) -> str:
        try:
            golds, answers = as_tuples(read(gold), read(answer))
            if not (golds and answers):
                return "wrong"
            right = verify(
                golds, answers, timeout_seconds=None, raise_on_error=True, allow_set_relation_comp=True
            ) or same_where_real(golds[0], answers[0])
        except Exception:  # noqa: BLE001 - whatever sympy raises on hostile input, there is no verdict
            return "ungradable"
        return "right" if right else "wrong"

    return compare


def exact(value: Any) -> Any:
    """A parsed answer with decimals as fractions and the symbol ``i`` as the imaginary unit; text as it is."""
    import sympy

    if not isinstance(value, sympy.Basic | sympy.MatrixBase):
        return value
    atoms = {number: sympy.Rational(str(number)) for number in value.atoms(sympy.Float)}
    atoms |= {symbol: sympy.I for symbol in value.atoms(sympy.Symbol) if str(symbol) == "i"}
    return value.xreplace(atoms) if atoms else value


def same_number(gold: Any, answer: Any) -> bool:
    """Whether two expressions without variables are equal: fractions exactly, others to 50 digits of the larger.

    A per cent sign is forgiven from 1% on (``9%`` is 9 and 0.09). Matrices are compared entry by entry.
    """
    import sympy

    percent = sympy.UnevaluatedExpr(sympy.Rational(1, 100))
    bare = [value.subs(percent, 1) if value.has(percent) else value for value in (gold, answer)]
    if bare != [gold, answer] and all(value.is_number and abs(value) >= 1 for value in bare) and same_number(*bare):
        return True
    gold, answer = gold.doit(), answer.doit()
    if isinstance(gold, sympy.MatrixBase) and isinstance(answer, sympy.MatrixBase):
        return gold.shape == answer.shape and all(map(same_number, gold.flat(), answer.flat()))
    if isinstance(gold, sympy.MatrixBase) or isinstance(answer, sympy.MatrixBase):
        return False
    if gold.free_symbols or answer.free_symbols:
        return False
    if gold.is_Rational and answer.is_Rational:
        return bool(gold == answer)
    if not (gold.is_finite and answer.is_finite):
        return bool(gold == answer)
    difference, size = abs(sympy.N(gold - answer, 60)), max(abs(sympy.N(gold, 60)), abs(sympy.N(answer, 60)))
    return bool(difference <= size * sympy.Rational(1, 10**50))


def same_where_real(gold: Any, answer: Any) -> bool:
    """Whether two formulas agree at fixed points, wherever both are real, and are so at two points at least."""
    import sympy

    if not (isinstance(gold, sympy.Expr) and isinstance(answer, sympy.Expr)):
        return False
    names = sorted(map(str, gold.free_symbols))
    if not names or names != sorted(map(str, answer.free_symbols)):
        return False
    agreeing = 0
    for start in (2, 3, 5, 7, -2, -3):
        place = {name: sympy.Rational(start * 7 + 2 * index, 11 + index) for index, name in enumerate(names)}
        left, right = (
            sympy.N(value.subs({symbol: place[str(symbol)] for symbol in value.free_symbols}).doit(), 30)
            for value in (gold, answer)
        )
        if left.is_real and right.is_real:
            if abs(left - right) > abs(left) * sympy.Rational(1, 10**20):
                return False
            agreeing += 1
    return agreeing >= 2


def as_tuples(golds: list, answers: list) -> tuple[list, list]:
    """Both with a column as the tuple of its entries where the other is a tuple, which an open interval may be."""
    import sympy

    def is_tuple(values: list) -> bool:
        first = values[0] if values else None
        return isinstance(first, sympy.Tuple) or (
            isinstance(first, sympy.Interval) and first.left_open is sympy.true and first.right_open is sympy.true
        )

    def is_vector(values: list) -> bool:
        return bool(values) and isinstance(values[0], sympy.MatrixBase) and 1 in values[0].shape

    def entries(values: list) -> list:
        first = values[0]
        if isinstance(first, sympy.MatrixBase):
            return [sympy.Tuple(*first.flat())]
        return [sympy.Tuple(first.start, first.end)] if isinstance(first, sympy.Interval) else [first]

    if (is_tuple(golds) and is_vector(answers)) or (is_vector(golds) and is_tuple(answers)):
        return entries(golds), entries(answers)
    return golds, answers


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has or enforces it
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _alarm(seconds: float) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds))


if __name__ == "__main__":
    main()
