"""Every method's figures on one task or on the mean of several, with the resamples that their intervals come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmarks.report.load import Results
from benchmarks.suite.point import Point
from tracer_agents.evaluation.statistics import draw_resamples, interval95, ratio
from tracer_env.errors import DataError
from tracer_env.seeding import stream

FIGURES = {  # name -> what it is, in words
    "accuracy": "share of questions whose final answer is right; no readable answer is wrong",
    "tokens": "generated tokens per question, of all speakers",
    "prompt_tokens": "prompt tokens per question, shared prefixes counted each time",
    "utility": "+1 right or −1 wrong, minus the price of speech times the share of the token budget",
    "correction": "share of questions answered right in the end, of those whose first proposal was wrong",
    "preservation": "share of questions answered right in the end, of those whose first proposal was right",
    "speak_rate": "share of the rounds with a choice in which the controller spoke",
    "no_answer": "share of questions without a readable final answer",
    "ungradable": "share of questions whose grader gave no verdict within its deadline; counted as wrong",
    "failed": "share of questions for which an engine did not deliver; counted as wrong",
}
_SUMMED = ("right", "tokens", "prompt_tokens", "cost", "no_answer", "ungradable", "failed", "free", "spoken", "first")


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """One figure of all points: ``value`` (points,), ``draws`` (resamples, points), ``interval`` (2, points)."""

    value: np.ndarray
    draws: np.ndarray
    interval: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """All points on the same questions.

    Args:
        label: the task's, or ``"mean"``.
        points: columns of every array below.
        headlines: those of them that stand in the main table, one per method.
        bounds: those that see the gold answer.
        seeds: those that all points have.
        figures: name in ``FIGURES`` -> estimate.
        right: task -> whether each row's answer is right, bool of shape (rows, points).
        runs: task -> accuracy of every seed, (seeds, points).
    """

    label: str
    points: tuple[Point, ...]
    headlines: frozenset[Point]
    bounds: frozenset[Point]
    seeds: tuple[int, ...]
    figures: Mapping[str, Estimate]
    right: Mapping[str, np.ndarray]
    runs: Mapping[str, np.ndarray]

    @property
    def n(self) -> int:
        """Answers of every point."""
        return sum(len(right) for right in self.right.values())

    def headline(self, method: str) -> int | None:
        """The column of a method's headline, None if it is not here."""
        return next((column for column in self.of(method) if self.points[column] in self.headlines), None)

    def of(self, method: str) -> list[int]:
        """The columns of a method's points."""
        return [column for column, point in enumerate(self.points) if point.method == method]


def score_all(results: Results, *, reference: str, resamples: int) -> list[Scores]:
    """The figures on every task of which a cell has ended; before them, where there are several, those of the mean."""
    scored = (score_task(results, task, reference=reference, resamples=resamples) for task in results.plan.tasks)
    scores = [of_task for of_task in scored if of_task is not None]
    if len(scores) > 1 and (mean := score_mean(scores)).points:
        scores.insert(0, mean)
    return scores


def score_task(results: Results, task: str, *, reference: str, resamples: int) -> Scores | None:
    """The figures on one task of every method that has the seeds that count; None if no cell of the task ended.

    The seeds that count are those the reference has finished; without the reference, those of the method that has
    finished the most. A method that lacks one of them is left out: it would be measured on other questions.

    Raises:
        DataError: a method has a point under one seed and not under another, or its headline is not among them.
    """
    answers = results.answers[results.answers["task"] == task]
    if answers.empty:
        return None
    finished = {str(method): set(rows["seed"]) for method, rows in answers.groupby("method", sort=False)}
    seeds = finished.get(reference) or max(finished.values(), key=len)
    methods = [method for method in results.methods if seeds <= finished.get(method, set())]
    answers = answers[answers["seed"].isin(seeds) & answers["method"].isin(methods)]
    points = tuple(map(Point.of, answers["point"].drop_duplicates()))
    headlines = _headlines(results, points)
    index = [[point.method for point in points], [point.label for point in points]]
    wide = answers.pivot(index=["seed", "question_id"], columns=["method", "point"], values=list(_SUMMED[:-1]))
    first = answers.pivot(index=["seed", "question_id"], columns=["method", "point"], values="first_right")
    if wide.isna().any(axis=None):
        lacking = wide.columns[wide.isna().any()][0]
        raise DataError(f"{task}: point {lacking[2]!r} is there under some seeds only; run {lacking[1]} again")
    order = pd.MultiIndex.from_arrays(index)
    columns = {name: wide[name][order].to_numpy(np.float64) for name in _SUMMED[:-1]}
    columns["first"] = first[order].to_numpy(np.float64)
    columns["preserved"] = columns["right"] * columns["first"]
    row_seeds = wide.index.get_level_values("seed").to_numpy()
    question_ids = wide.index.get_level_values("question_id").to_numpy()
    drawn = draw_resamples(row_seeds, question_ids, resamples=resamples, rng=stream("benchmark", task))
    sums = np.split(drawn.sums(np.hstack(list(columns.values()))), len(columns), axis=1)
    price = results.plan.price
    value = _figures({name: column.sum(axis=0) for name, column in columns.items()}, len(wide), price)
    draws = _figures(dict(zip(columns, sums, strict=True)), len(wide), price)
    right = columns["right"] == 1.0
    return Scores(
        label=task,
        points=points,
        headlines=headlines,
        bounds=frozenset(point for point in points if results.methods[point.method].bound),
        seeds=tuple(sorted(int(seed) for seed in seeds)),
        figures={
            name: Estimate(value=value[name], draws=draws[name], interval=interval95(draws[name])) for name in FIGURES
        },
        right={task: right},
        runs={task: np.array([right[row_seeds == seed].mean(axis=0) for seed in sorted(seeds)])},
    )


def _headlines(results: Results, points: Sequence[Point]) -> frozenset[Point]:
    """The headline of every method that has points."""
    headlines = {method: results.methods[method].headline(results.plan) for method in {p.method for p in points}}
    for method, headline in headlines.items():
        if headline not in points:
            raise DataError(f"{method}: its headline {headline.label!r} is not among its recorded points; run it again")
    return frozenset(headlines.values())


def _figures(sums: Mapping[str, np.ndarray], rows: int, price: float) -> dict[str, np.ndarray]:
    """Sums over rows, each (…, points) -> figures; the number of rows is the same in every resample."""
    wrong_first = rows - sums["first"]
    return {
        "accuracy": sums["right"] / rows,
        "tokens": sums["tokens"] / rows,
        "prompt_tokens": sums["prompt_tokens"] / rows,
        "utility": (2 * sums["right"] - price * sums["cost"]) / rows - 1,
        "correction": ratio(sums["right"] - sums["preserved"], wrong_first),
        "preservation": ratio(sums["preserved"], sums["first"]),
        "speak_rate": ratio(sums["spoken"], sums["free"]),
        "no_answer": sums["no_answer"] / rows,
        "ungradable": sums["ungradable"] / rows,
        "failed": sums["failed"] / rows,
    }


def score_mean(scores: Sequence[Scores]) -> Scores:
    """The mean over tasks, each of equal weight, of the points that all of them have; tasks are resampled apart."""
    points = tuple(point for point in scores[0].points if all(point in other.points for other in scores))
    columns = [[other.points.index(point) for point in points] for other in scores]
    aligned = list(zip(scores, columns, strict=True))
    figures = {}
    for name in FIGURES:
        draws = np.mean([s.figures[name].draws[:, chosen] for s, chosen in aligned], axis=0)
        value = np.mean([s.figures[name].value[chosen] for s, chosen in aligned], axis=0)
        figures[name] = Estimate(value=value, draws=draws, interval=interval95(draws))
    return Scores(
        label="mean",
        points=points,
        headlines=scores[0].headlines.intersection(points),
        bounds=scores[0].bounds.intersection(points),
        seeds=tuple(sorted({seed for of_task in scores for seed in of_task.seeds})),
        figures=figures,
        right={task: right[:, chosen] for s, chosen in aligned for task, right in s.right.items()},
        runs={task: runs[:, chosen] for s, chosen in aligned for task, runs in s.runs.items()},
    )
