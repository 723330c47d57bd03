"""The child process that compares mathematical answers: one JSON line in, one out, until its input ends.

It runs as a script, imports nothing of this project and outlives neither its parent nor a deadline: the end of
its input stops it between items, and an alarm with the system's default action (kill) within one, even inside
a C call that holds the interpreter.

In: ``{"gold": latex, "answer": latex, "seconds": float}``. Out: ``{"grade": "right" | "wrong" | "ungradable"}``;
before the first item ``{"ready": true}`` or ``{"error": message}``.
"""

import contextlib
import json
import logging
import math
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import IO

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

    Raises:
        ImportError: math-verify is not installed.
    """
    from math_verify import LatexExtractionConfig, parse, verify

    extraction = [LatexExtractionConfig(boxed_match_priority=0)]

    def read(latex: str) -> list:
        return parse(f"\\boxed{{{latex}}}", extraction, parsing_timeout=0, raise_on_error=True)

    def compare(gold: str, answer: str) -> str:
        try:
            right = verify(
                read(gold), read(answer), timeout_seconds=None, raise_on_error=True, allow_set_relation_comp=True
            )
        except Exception:  # noqa: BLE001 - whatever sympy raises on hostile input, there is no verdict
            return "ungradable"
        return "right" if right else "wrong"

    return compare


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):  # not every system has or enforces it
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))


def _alarm(seconds: float) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(math.ceil(seconds))


if __name__ == "__main__":
    main()
