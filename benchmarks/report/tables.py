"""The tables of a report: figures of every point, comparisons with a reference, and matched token budgets."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report.frontier import bracket, interpolate, undominated
from benchmarks.report.holm import holm
from benchmarks.report.load import Results
from benchmarks.report.scores import FIGURES, Scores
from tracer_agents.evaluation.statistics import interval95, mcnemar_p, probability_of_improvement
from tracer_env.seeding import stream


def points_table(results: Results, scores: Scores) -> pd.DataFrame:
    """One row per point: every figure with its interval, training cost, and accuracy by seed.

    ``frontier``: no other point has at most its tokens and at least its accuracy, bounds apart. Training tokens and
    questions are means over the cells.
    """
    accuracy, tokens = scores.figures["accuracy"].value, scores.figures["tokens"].value
    methods = np.array([point not in scores.bounds for point in scores.points])
    frontier = np.zeros(len(methods), dtype=bool)
    frontier[methods] = undominated(tokens[methods], accuracy[methods])
    rows = []
    for column, point in enumerate(scores.points):
        row: dict[str, Any] = {
            "task": scores.label,
            "method": point.method,
            "point": point.label,
            "headline": point in scores.headlines,
            "frontier": bool(frontier[column]),
            "n": scores.n,
        }
        for name in FIGURES:
            estimate = scores.figures[name]
            row |= {
                name: estimate.value[column],
                f"{name}_low": estimate.interval[0, column],
                f"{name}_high": estimate.interval[1, column],
            }
        cells = [
            cell
            for cell in results.cells
            if cell.method == point.method and cell.task in scores.right and cell.seed in scores.seeds
        ]
        by_seed = np.mean([runs[:, column] for runs in scores.runs.values()], axis=0) if _same_seeds(scores) else None
        row |= {
            "training_tokens": float(np.mean([cell.training_tokens for cell in cells])),
            "training_questions": float(np.mean([cell.training_questions for cell in cells])),
            "seeds": len(scores.seeds),
            "accuracy_by_seed": "" if by_seed is None else " ".join(f"{accuracy:.4f}" for accuracy in by_seed),
            "accuracy_sd": np.nan if by_seed is None or len(by_seed) < 2 else float(np.std(by_seed, ddof=1)),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _same_seeds(scores: Scores) -> bool:
    return len({len(runs) for runs in scores.runs.values()}) == 1


def comparisons_table(scores: Scores, *, reference: str, resamples: int) -> pd.DataFrame:
    """The reference's headline minus every other method's, on the same questions; empty without the reference.

    Intervals are paired bootstraps. ``p`` is exact McNemar's, over all tasks' questions for the mean; ``p_holm`` is
    adjusted for all rows of this table but bounds. ``improvement`` is P(a run of the reference > a run of the method),
    undefined where there is one run.
    """
    mine = scores.headline(reference)
    if mine is None:
        return pd.DataFrame()
    others = [column for column, point in enumerate(scores.points) if point in scores.headlines and column != mine]
    rows = [_comparison(scores, mine, other, resamples=resamples) for other in others]
    tested = [row for row in rows if not row["bound"]]
    for row, adjusted in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = float(adjusted)
    return pd.DataFrame(rows)


def _comparison(scores: Scores, mine: int, other: int, *, resamples: int) -> dict[str, Any]:
    point = scores.points[other]
    row: dict[str, Any] = {
        "task": scores.label,
        "reference": scores.points[mine].label,
        "method": point.method,
        "point": point.label,
        "bound": point in scores.bounds,
        "n": scores.n,
    }
    for name in ("accuracy", "tokens", "utility"):
        estimate = scores.figures[name]
        low, high = interval95((estimate.draws[:, mine] - estimate.draws[:, other])[:, None])[:, 0]
        row |= {name: estimate.value[mine] - estimate.value[other], f"{name}_low": low, f"{name}_high": high}
    right = np.concatenate(list(scores.right.values()))
    a, b = right[:, mine], right[:, other]
    improvement, low, high = np.nan, np.nan, np.nan
    if min(len(runs) for runs in scores.runs.values()) > 1:
        improvement, low, high = probability_of_improvement(
            [runs[:, mine] for runs in scores.runs.values()],
            [runs[:, other] for runs in scores.runs.values()],
            resamples=resamples,
            rng=stream("improvement", scores.label, point.label),
        )
    return row | {
        "only_reference_right": int((a & ~b).sum()),
        "only_method_right": int((~a & b).sum()),
        "p": mcnemar_p(a, b),
        "p_holm": np.nan,
        "improvement": improvement,
        "improvement_low": low,
        "improvement_high": high,
    }


def budgets_table(scores: Scores, *, reference: str) -> pd.DataFrame:
    """Each point of the reference against every other method of several points, at the point's tokens per question.

    ``at`` is ``"at most"`` for the method's point with the most tokens not above the budget, ``"next above"`` for the
    one with the fewest above, and ``"equal"`` for the straight line between the two. ``difference`` is the
    reference's accuracy minus theirs, with its paired bootstrap interval; which two points stand next to the budget
    is taken as given.
    """
    others = dict.fromkeys(point.method for point in scores.points if point.method != reference)
    families = [(method, np.array(scores.of(method))) for method in others]
    accuracy = scores.figures["accuracy"]
    rows = []
    for mine in scores.of(reference):
        for method, columns in families:
            for place, label, tokens, value, draws in _at_budget(scores, columns, mine):
                low, high = interval95((accuracy.draws[:, mine] - draws)[:, None])[:, 0]
                rows.append(
                    {
                        "task": scores.label,
                        "reference": scores.points[mine].label,
                        "headline": scores.points[mine] in scores.headlines,
                        "reference_tokens": scores.figures["tokens"].value[mine],
                        "reference_accuracy": accuracy.value[mine],
                        "method": method,
                        "at": place,
                        "point": label,
                        "tokens": tokens,
                        "accuracy": value,
                        "difference": accuracy.value[mine] - value,
                        "difference_low": low,
                        "difference_high": high,
                    }
                )
    return pd.DataFrame(rows)


def _at_budget(scores: Scores, columns: np.ndarray, mine: int) -> Iterator[tuple[str, str, float, float, np.ndarray]]:
    """(at, label, tokens, accuracy, its draws) of a method's points next to the tokens of the point ``mine``."""
    tokens, accuracy = scores.figures["tokens"], scores.figures["accuracy"]
    if len(columns) < 2:
        return
    sides = [None if side is None else columns[side] for side in bracket(tokens.value[columns], tokens.value[mine])]
    for place, side in zip(("at most", "next above"), sides, strict=True):
        if side is not None:
            value = float(accuracy.value[side])
            yield place, scores.points[side].label, float(tokens.value[side]), value, accuracy.draws[:, side]
    low, high = sides
    if low is not None and high is not None:
        value, draws = (
            interpolate((t[..., low], t[..., high]), (s[..., low], s[..., high]), t[..., mine])
            for t, s in ((tokens.value, accuracy.value), (tokens.draws, accuracy.draws))
        )
        yield "equal", "on the line between", float(tokens.value[mine]), float(value), draws
