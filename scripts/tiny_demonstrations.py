"""Demonstrations for the embedded model: dialogues of solving, reviewing and revising, as texts with a loss flag.

Every text that carries loss is correct. Wrong solutions and mistaken reviews appear only as what others said.
Solvers have two habits, ``worked`` (a line for each calculation) and ``direct`` (the answer alone); reviewers have two,
``checked`` (recompute each line, stop at the first difference) and ``snap`` (the verdict alone).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from tracer_env.dialogue import Role, Verdict
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic, Problem, Step

TASK = Arithmetic()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What the dialogues of one training phase look like.

    ``levels`` maps a level to its weight; the others are probabilities: a solution is direct, a review is snap,
    a first solution is wrong, a shown review is mistaken, a dialogue ends after the solution or after the review.
    """

    levels: dict[int, float]
    direct: float
    snap: float
    wrong: float = 0.45
    mistaken: float = 0.12
    solve_only: float = 0.35
    no_revision: float = 0.3


@dataclass(frozen=True, slots=True)
class Turn:
    """One assistant turn of a demonstration; ``learn`` says that it carries loss."""

    text: str
    learn: bool


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A problem and the assistant turns on it, in order: solution, review, revision."""

    problem: Problem
    turns: tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Played:
    """A solution and a review that the model itself wrote, shown without loss."""

    problem: Problem
    solution: str
    review: str


def problems(mix: Mix, *, seed: int, chunk: int = 2048) -> Iterator[Problem]:
    """An endless stream of training problems with the mix's levels."""
    rng = Random(seed)
    levels, weights = list(mix.levels), list(mix.levels.values())
    start = 0
    while True:
        drawn = {level: iter(Arithmetic(level).problems("train", start, chunk, seed=seed)) for level in levels}
        start += chunk
        for level in rng.choices(levels, weights, k=chunk):
            yield next(drawn[level])


def demonstrations(mix: Mix, *, seed: int, played: Sequence[Played] = ()) -> Iterator[Demonstration]:
    """An endless stream; half of the dialogues quote the model's own turns when ``played`` is given."""
    rng = Random(seed + 1)
    for problem in problems(mix, seed=seed):
        if played and rng.random() < 0.5:
            yield _from_played(rng.choice(played), mix, rng)
        else:
            yield _invented(problem, mix, rng)


def _invented(problem: Problem, mix: Mix, rng: Random) -> Demonstration:
    direct = rng.random() < mix.direct
    if rng.random() < mix.wrong:
        solution = Turn(corrupted_direct(problem, rng) if direct else corrupted(problem, rng), False)
    else:
        solution = Turn(f"#### {problem.answer}" if direct else problem.solution(), True)
        if rng.random() < mix.solve_only:
            return Demonstration(problem, (solution,))
    if rng.random() < mix.mistaken:
        return _revised(problem, solution, Turn(mistaken_review(problem, solution.text, mix, rng), False))
    review = _review(problem, solution.text, mix, rng)
    if rng.random() < mix.no_revision:
        return Demonstration(problem, (solution, review))
    return _revised(problem, solution, review)


def _from_played(quoted: Played, mix: Mix, rng: Random) -> Demonstration:
    solution = Turn(quoted.solution, False)
    if rng.random() < 0.5:
        return _revised(quoted.problem, solution, Turn(quoted.review, False))
    review = _review(quoted.problem, quoted.solution, mix, rng)
    if rng.random() < mix.no_revision:
        return Demonstration(quoted.problem, (solution, review))
    return _revised(quoted.problem, solution, review)


def _review(problem: Problem, solution: str, mix: Mix, rng: Random) -> Turn:
    if rng.random() < mix.snap:
        return Turn(f"Verdict: {truth(problem, solution)}", True)
    return Turn(checked_review(problem, solution), True)


def _revised(problem: Problem, solution: Turn, review: Turn) -> Demonstration:
    return Demonstration(problem, (solution, review, Turn(problem.solution(), True)))


def truth(problem: Problem, solution: str) -> Verdict:
    """The verdict a perfect reviewer gives."""
    return Verdict.RIGHT if TASK.parse(solution) == problem.answer else Verdict.WRONG


def checked_review(problem: Problem, solution: str) -> str:
    """Each calculation again beside the claimed result, up to the first difference, then the verdict.

    A solution without the expected number of lines is compared by its answer alone.
    """
    verdict = truth(problem, solution)
    claimed = [line.rpartition("=")[2] for line in solution.splitlines() if "=" in line]
    results = [str(step.result) for step in problem.steps]
    lines = [str(step) for step in problem.steps]
    first_wrong = next(
        (i for i, pair in enumerate(zip(results, claimed, strict=False)) if pair[0] != pair[1]), len(results)
    )
    comparable = len(claimed) == len(results) and (verdict is Verdict.WRONG) == (first_wrong < len(results))
    if comparable:
        lines = [f"{line} ok" for line in lines[:first_wrong]]
        if first_wrong < len(results):
            lines.append(f"{problem.steps[first_wrong]} not {claimed[first_wrong]}")
    else:
        lines[-1] += " ok" if verdict is Verdict.RIGHT else f" not {TASK.parse(solution) or '?'}"
    return "\n".join([*lines, f"Verdict: {verdict}"])


def mistaken_review(problem: Problem, solution: str, mix: Mix, rng: Random) -> str:
    """A review of the usual form whose verdict is false."""
    verdict = truth(problem, solution)
    if rng.random() < mix.snap:
        return f"Verdict: {Verdict.WRONG if verdict is Verdict.RIGHT else Verdict.RIGHT}"
    if verdict is Verdict.WRONG:  # nods everything through
        lines = [line for line in solution.splitlines() if "=" in line] or [f"{problem.steps[-1]}"]
        return "\n".join([*(f"{line} ok" for line in lines), f"Verdict: {Verdict.RIGHT}"])
    believed = Problem(text=problem.text, steps=tuple(_corrupted_steps(problem.steps, rng)))
    review = checked_review(believed, solution)
    return review if parse_verdict(review) is Verdict.WRONG else f"Verdict: {Verdict.WRONG}"


def corrupted(problem: Problem, rng: Random) -> str:
    """A worked solution with one error whose consequences are carried on."""
    steps = _corrupted_steps(problem.steps, rng)
    return Problem(text=problem.text, steps=tuple(steps)).solution()


def corrupted_direct(problem: Problem, rng: Random) -> str:
    """A wrong answer alone, near the right one or missing a calculation."""
    if rng.random() < 0.4:
        return f"#### {_corrupted_steps(problem.steps, rng)[-1].result}"
    return f"#### {_slip(int(problem.answer), rng)}"


def _slip(value: int, rng: Random) -> int:
    while True:
        slipped = value + rng.choice((-20, -10, -10, -9, -3, -2, -1, -1, 1, 1, 2, 3, 9, 10, 10, 20, 100))
        if slipped >= 0:
            return slipped


_OPERATIONS = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__, "/": int.__floordiv__}


def _corrupted_steps(steps: Sequence[Step], rng: Random) -> list[Step]:
    """The steps with one error whose consequences are carried on; the last result always differs."""
    while True:
        where, kind = rng.randrange(len(steps)), rng.random()
        made: list[Step] = []
        changed: dict[int, int] = {}  # a right result -> what stands in its place
        for i, step in enumerate(steps):
            left, op = changed.get(step.left, step.left) if i else step.left, step.op
            right = changed.get(step.right, step.right) if i and steps[i - 1].result == step.right else step.right
            if i == where and kind < 0.3:
                op = {"+": "-", "-": "+", "*": "+", "/": "-"}[op]
            elif i == where and kind < 0.5:
                right = max(1, _slip(right, rng))
            result = max(0, _OPERATIONS[op](left, max(1, right) if op == "/" else right))
            if i == where and kind >= 0.5:
                result = _slip(result, rng)
            made.append(Step(left, op, right, result))
            changed[step.result] = result
        if where < len(steps) - 1 and kind > 0.93:
            del made[where]
        if made[-1].result != steps[-1].result:
            return made


def role_of(turn: int) -> Role:
    """Who says turn 0 (solution), 1 (review) or 2 (revision)."""
    return Role.REVIEWER if turn == 1 else Role.PROPOSER
