"""Fits beliefs on expanded questions and judges them on others (DESIGN, section 12)."""

# scikit-learn has no annotations:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from tracer_agents.rollout.tree import Tree
from tracer_env.beliefs import FEATURES, SIGNALS, Belief, evidence
from tracer_env.dialogue import Dialogue, is_forced, is_terminal
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Grade

BINS = 16
_STRENGTH = 1.0  # inverse of the ridge penalty on standardised features, as in scikit-learn


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Every answer of every different state of some questions.

    Args:
        features: float64 of shape (rows, features).
        right: bool of shape (rows,).
        question: which question, int of shape (rows,).
        weight: that of a question's rows sums to 1, float64 of shape (rows,).
    """

    features: np.ndarray
    right: np.ndarray
    question: np.ndarray
    weight: np.ndarray


def rows_of(trees: Sequence[Tree]) -> Rows:
    """What a belief can be fitted to: states with the same evidence on the same answer count once per question.

    There are no rows where no answer can be read in any tree.
    """
    features: list[tuple[float, ...]] = []
    right: list[bool] = []
    question: list[int] = []
    for index, tree in enumerate(trees):
        seen = dict.fromkeys(item for state in tree.states.values() for item in evidence(state).items())
        for answer, row in seen:
            features.append(row)
            right.append(tree.grades[answer] is Grade.RIGHT)
            question.append(index)
    numbers = np.array(question, dtype=np.intp)
    return Rows(
        features=np.array(features).reshape(-1, len(FEATURES)),
        right=np.array(right, dtype=bool),
        question=numbers,
        weight=1 / np.bincount(numbers)[numbers],
    )


def fit_belief(trees: Sequence[Tree], *, bins: int = BINS, signals: Collection[str] = tuple(SIGNALS)) -> Belief:
    """Fits a logistic model to expanded training questions, each of weight 1, and quantile bins to its values.

    Where nothing tells right answers from wrong ones (all are right, none is, or none can be read), it believes the
    smoothed rate of right answers whatever it sees.

    Args:
        trees: the questions, spoken by the speakers that will be judged.
        bins: of the belief in what the team would answer at the states where a controller decides, equally often met;
            fewer where values repeat.
        signals: of ``beliefs.SIGNALS``, those that the model may use.

    Raises:
        ConfigError: no questions, an unknown signal, or bins < 1.
    """
    if not trees:
        raise ConfigError("a belief is fitted to at least one expanded question, got none")
    unknown = set(signals) - set(SIGNALS)
    if unknown or bins < 1:
        raise ConfigError(f"signals are {sorted(SIGNALS)} and bins ≥ 1, got {sorted(signals)} and {bins}")
    used = np.isin(FEATURES, [name for signal in signals for name in SIGNALS[signal]])
    belief = _logistic(rows_of(trees), used)
    values, weights = _standing(trees, belief)
    return replace(belief, edges=_quantiles(values, weights, bins))


def _logistic(rows: Rows, used: np.ndarray) -> Belief:
    """Ridge logistic regression on standardised features, with coefficients for the plain ones."""
    from sklearn.linear_model import LogisticRegression

    if rows.right.all() or not rows.right.any():  # nothing to tell apart: the rate, smoothed
        rate = (rows.weight @ rows.right + 1) / (rows.weight.sum() + 2)
        return Belief(intercept=float(np.log(rate / (1 - rate))), coefficients=(0.0,) * len(FEATURES))
    mean = np.average(rows.features, axis=0, weights=rows.weight)
    deviation = np.sqrt(np.average((rows.features - mean) ** 2, axis=0, weights=rows.weight))
    scale = np.where(used & (deviation > 1e-12), deviation, np.inf)  # unused features and constants count nothing
    model: Any = LogisticRegression(C=_STRENGTH, max_iter=1000)
    model.fit((rows.features - mean) / scale, rows.right, sample_weight=rows.weight)
    coefficients = model.coef_[0] / scale
    return Belief(
        intercept=float(model.intercept_[0] - coefficients @ mean),
        coefficients=tuple(map(float, coefficients)),
    )


def _standing(trees: Sequence[Tree], belief: Belief) -> tuple[np.ndarray, np.ndarray]:
    """The belief in what the team would answer at every state where a controller decides, and the state's weight."""
    rules = replace(next(iter(trees[0].states.values())).rules, belief=belief)
    values = [[belief.standing(replace(state, rules=rules))[1] for state in _decisions(tree)] for tree in trees]
    weights = [1 / len(each) for each in values for _ in each]
    return np.concatenate([np.array(each) for each in values]), np.array(weights)


def _decisions(tree: Tree) -> Iterator[Dialogue]:
    return (state for state in tree.states.values() if not is_terminal(state) and not is_forced(state))


def _quantiles(values: np.ndarray, weights: np.ndarray, bins: int) -> tuple[float, ...]:
    """Edges between values, half way, so that a value's last bits, which batches change, put it in no other bin."""
    met, place = np.unique(values, return_inverse=True)
    below = np.cumsum(np.bincount(place, weights))[:-1] / weights.sum()  # at or below each value but the last
    if not len(below):
        return ()
    between = (met[:-1] + met[1:]) / 2
    nearest = np.abs(below[:, None] - np.arange(1, bins) / bins).argmin(axis=0)
    return tuple(float(edge) for edge in np.unique(between[nearest]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnostics:
    """How well a belief tells right answers from wrong ones.

    Args:
        questions, answers: how many were judged.
        auroc: the chance that a right answer is believed more than a wrong one; None: all are right, or none is.
        auroc_within_questions: the same within questions, mean over pairs; None: no question has both.
        calibration_error: mean distance of belief and share of right answers over ten equal bins; None: no answers.
        reliability: per bin that is met: mean belief, share of right answers, weight.
    """

    questions: int
    answers: int
    auroc: float | None
    auroc_within_questions: float | None
    calibration_error: float | None
    reliability: tuple[tuple[float, float, float], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def diagnose(belief: Belief, trees: Sequence[Tree]) -> Diagnostics:
    """Judges a belief on questions that it was not fitted to, each of weight 1."""
    rows = rows_of(trees)
    chance = np.array([belief.probability(row) for row in rows.features])
    return judge(chance, rows.right, rows.question, rows.weight)


def judge(chance: np.ndarray, right: np.ndarray, question: np.ndarray, weight: np.ndarray) -> Diagnostics:
    """The diagnostics of probabilities, arrays of shape (rows,)."""
    bin_of = np.minimum((chance * 10).astype(int), 9)
    total = np.bincount(bin_of, weight, minlength=10)
    met = total > 0
    mean = np.bincount(bin_of, weight * chance, minlength=10)[met] / total[met]
    share = np.bincount(bin_of, weight * right, minlength=10)[met] / total[met]
    parts = total[met] / total.sum()
    return Diagnostics(
        questions=len(np.unique(question)),
        answers=len(chance),
        auroc=auroc(chance, right, weight),
        auroc_within_questions=auroc_within(chance, right, question),
        calibration_error=float(parts @ np.abs(mean - share)) if len(chance) else None,
        reliability=tuple(zip(mean.tolist(), share.tolist(), parts.tolist(), strict=True)),
    )


def auroc(chance: np.ndarray, right: np.ndarray, weight: np.ndarray | None = None) -> float | None:
    """The chance that a right answer has more than a wrong one, ties half; None: all are right, or none is.

    Args:
        chance: what right answers should have more of, shape (rows,).
        right: bool of shape (rows,).
        weight: of the rows, shape (rows,); None: all count alike.
    """
    from sklearn.metrics import roc_auc_score

    if right.all() or not right.any():
        return None
    area: Any = roc_auc_score(right, chance, sample_weight=weight)
    return float(area)


def auroc_within(chance: np.ndarray, right: np.ndarray, question: np.ndarray) -> float | None:
    """The share of pairs of a right and a wrong answer of one question that are ranked rightly, ties half.

    Args:
        chance: what right answers should have more of, shape (rows,).
        right: bool of shape (rows,).
        question: which question, shape (rows,).
    """
    won = pairs = 0.0
    for each in np.unique(question[right]):
        here = question == each
        good, bad = chance[here & right], chance[here & ~right]
        won += float((np.sign(good[:, None] - bad[None, :]) / 2 + 0.5).sum())
        pairs += len(good) * len(bad)
    return won / pairs if pairs else None
