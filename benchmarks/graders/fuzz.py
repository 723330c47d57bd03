"""Fuzzed completions: whatever is written, every grader comes back with a grade within its deadline."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from benchmarks.graders.by_value import ByValue
from tracer_env.grading.base import Grader
from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric
from tracer_env.grading.symbolic import Symbolic

GRADERS: dict[str, Callable[[], Grader]] = {
    "numeric": Numeric,
    "choice": Choice,
    "value": ByValue,
    "symbolic": Symbolic,
}
GOLDS = ("18", r"\frac{3}{4}", r"3\sqrt{13}", "(3,4]", "x^2+1", r"\{1,2\}", "C", r"\text{even}")
_PIECES = (
    *r"\{}()[]|$^_&%#.,:;=/*<>+-!'0123456789xyzniec ",
    *("\n", "\\\\", "\x00", "\ud800", "½", "٣", "१", "⑨", "十", "π", "∞", "≤", "−", "é", "\u202e", "𝟗"),
    *(r"\frac", r"\sqrt", r"\sqrt[3]", r"\text{", r"\left(", r"\right)", r"\pm", r"\cup", r"\infty", r"\pi", r"\sin"),
    *(r"\log_", r"\binom", r"\cdot", r"\times", r"\le", r"\in", r"\pmod", r"\int_0^", r"\sum_{k=1}^", r"\lim", r"\%"),
    *(r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\overline{", r"^\circ", r"^{", r"_{", "!", "9^", "(1,2)", "1,000"),
    *("answer", " is ", "The answer is ", "#### ", "A: ", "Answer: ", r"\boxed{", "}", "<solution>", "</solution>"),
    *("<review>", "</review>", "> ", "**", " or ", " and ", "cm", "dollars", "1e9", "10^{10^{10}}", r"\def\x{\x}\x"),
)
_BRACKETS = (
    *(("{", "}"), ("(", ")"), ("[", "]"), (r"\{", r"\}"), ("|", "|"), (r"\left(", r"\right)"), (r"\text{", "}")),
    *(
        (r"\frac{1}{", "}"),
        (r"\sqrt{", "}"),
        ("2^{", "}"),
        ("x_{", "}"),
        ("(1,", ")"),
        ("1+(", ")"),
        ("-", ""),
        ("9^", ""),
    ),
)
_FRAMES = (r"\boxed{%s}", "The answer is $%s$.", "#### %s", "The answer is %s.", "%s", r"so \boxed{%s", "> %s\n#### 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fuzzed:
    """What one grader did with the texts."""

    grader: str
    texts: int
    read: int  # in which an answer was found
    grades: dict[str, int]
    slowest_seconds: float  # wall time of reading and grading one text
    slowest_cpu_seconds: float  # the same in CPU time of this process, a child's not counted
    total_seconds: float  # of all
    slowest_text: str

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "grader": self.grader,
            "texts": self.texts,
            "read": self.read,
            "grades": self.grades,
            "slowest_seconds": self.slowest_seconds,
            "slowest_cpu_seconds": self.slowest_cpu_seconds,
            "total_seconds": self.total_seconds,
            "slowest_text": self.slowest_text[:200],
        }


def texts(count: int, seed: int) -> Iterator[str]:
    """Completions from pieces of answers: random, mutated, nested or repeated; a function of the arguments."""
    for index in range(count):
        random = Random(f"{seed}-{index}")
        kind: Callable[[Random], str] = random.choices((_pieces, _mutated, _nested, _long), (60, 30, 9, 1))[0]
        inside = kind(random)
        yield random.choice(_FRAMES).replace("%s", inside)


def _pieces(random: Random) -> str:
    return "".join(random.choices(_PIECES, k=random.randint(0, 40)))


def _mutated(random: Random) -> str:
    text = list(random.choice(GOLDS) + random.choice(("", "+1", " ", "=x", ", ")) + random.choice(GOLDS))
    for _ in range(random.randint(1, 4)):
        place = random.randrange(len(text))
        text[place : place + random.randint(0, 2)] = random.choice(_PIECES)
    return "".join(text)


def _nested(random: Random) -> str:
    depth = random.choice((5, 30, 39, 41, 100, 600))
    opening, closing = random.choice(_BRACKETS)
    return opening * depth + "".join(random.choices(_PIECES, k=3)) + closing * random.choice((depth, depth - 1, 0))


def _long(random: Random) -> str:
    return random.choice(_PIECES) * random.choice((1_000, 1_999, 2_001, 20_000, 200_000))


def fuzz(grader: Grader, completions: Iterable[str], ready: Callable[[], None] = lambda: None) -> Fuzzed:
    """Reads and grades every completion, timing each after a call of ``ready``; a grader that raises ends it all."""
    grades: Counter[str] = Counter()
    read = 0
    slowest, slowest_text, slowest_cpu, total = 0.0, "", 0.0, 0.0
    for index, text in enumerate(completions):
        ready()
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = grader.parse(text)
        gold = grader.gold(GOLDS[index % len(GOLDS)]) or GOLDS[0]
        grades[grader.grade([answer], [gold])[0].value] += 1
        read += answer is not None
        seconds = time.perf_counter() - began
        slowest_cpu = max(slowest_cpu, time.process_time() - began_cpu)
        total += seconds
        if seconds > slowest:
            slowest, slowest_text = seconds, text
    return Fuzzed(
        grader=type(grader).__name__,
        texts=sum(grades.values()),
        read=read,
        grades=dict(sorted(grades.items())),
        slowest_seconds=slowest,
        slowest_cpu_seconds=slowest_cpu,
        total_seconds=total,
        slowest_text=slowest_text,
    )


def fuzz_all(names: Sequence[str], count: int, seed: int, deadline_seconds: float) -> list[Fuzzed]:
    """The graders of those names, of ``GRADERS``, on the same texts."""
    return [
        _fuzz_symbolic(texts(count, seed), deadline_seconds)
        if name == "symbolic"
        else fuzz(GRADERS[name](), texts(count, seed))
        for name in names
    ]


def _fuzz_symbolic(completions: Iterable[str], deadline_seconds: float) -> Fuzzed:
    with Symbolic(deadline_seconds=deadline_seconds) as symbolic:

        def child() -> None:
            if symbolic.worker.pid is None:  # the start of a new one belongs to no text
                symbolic.worker.compare("1", "1")

        return fuzz(symbolic, completions, child)
