"""A learned stopper that is no game: draw on while the predicted gain in accuracy is worth its tokens.

Two logistic regressions (scikit-learn), on the evidence about the present answer (``tracer_env.beliefs``), the belief
in it and the number of draws, predict from training questions whether h draws later a wrong answer will have become
right, and whether a right one will have become wrong. It stops where the difference, per draw, is below a threshold,
which is tuned like the horizon h and the limit: the threshold is the price of a draw. A second draw alone never changes
a majority, so h = 1 would always stop at once; the horizon is what makes a myopic rule see beyond it.
"""

from collections.abc import Callable, Mapping

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.methods.stopping import stopping
from benchmarks.methods.two_threshold import leaders
from benchmarks.suite.confidence import belief_of, leader_features
from benchmarks.suite.draws import Policy, Setting, Stopped, Table, first_stop, thresholds
from tracer_env.beliefs import Belief

HORIZONS, STEPS = (1, 2, 4), 41


class Gain:
    """What drawing on is predicted to bring.

    Args:
        training: what it is learned from.
        belief, answer, reviews: how answers are chosen, as in ``two_threshold.leaders``.
        horizon: draws ahead.
    """

    def __init__(self, training: Table, belief: Belief, *, answer: str, reviews: bool, horizon: int) -> None:
        self._belief, self._answer, self.reviews, self._horizon = belief, answer, reviews, horizon
        answers, _ = leaders(training, belief, answer=answer, reviews=reviews)
        right = (answers >= 0) & np.take_along_axis(training.right, np.maximum(answers, 0), axis=1)
        later = right[:, np.minimum(np.arange(training.k) + horizon, training.k - 1)]
        rows, open_ = self._rows(training), np.arange(training.k) < training.k - 1  # after the last, nothing comes
        inputs = rows[:, open_].reshape(-1, rows.shape[-1])
        self._won = _chance(inputs, (~right & later)[:, open_].ravel())
        self._lost = _chance(inputs, (right & ~later)[:, open_].ravel())

    def __call__(self, table: Table) -> np.ndarray:
        """The predicted change in accuracy per draw, after 1, 2, … draws, float of shape (Q, K)."""
        rows = self._rows(table)
        flat = rows.reshape(-1, rows.shape[-1])
        return ((self._won(flat) - self._lost(flat)) / self._horizon).reshape(rows.shape[:2])

    def answers(self, table: Table) -> np.ndarray:
        """What it answers after 1, 2, … draws, int of shape (Q, K)."""
        return leaders(table, self._belief, answer=self._answer, reviews=self.reviews)[0]

    def _rows(self, table: Table) -> np.ndarray:
        answers, believed = leaders(table, self._belief, answer=self._answer, reviews=self.reviews)
        number = np.tile(np.eye(table.k)[None], (len(table.draws), 1, 1))
        unread = (answers < 0)[:, :, None]
        evidence = leader_features(table, answers, reviews=self.reviews)
        return np.concatenate([evidence, believed[:, :, None], unread, number], axis=2)


def _chance(inputs: np.ndarray, happened: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """(rows, features) -> the chance that it happens, (rows,)."""
    if happened.all() or not happened.any():  # nothing to tell apart
        rate = (happened.sum() + 1) / (len(happened) + 2)
        return lambda rows: np.full(len(rows), rate)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(inputs, happened)
    return lambda rows: model.predict_proba(rows)[:, 1]


def until(gain: Gain, least: float, most: int) -> Policy:
    """Stops where the predicted gain per draw is below ``least``."""

    def policy(table: Table) -> Stopped:
        predicted = table.remembered(("gain", gain), lambda: gain(table))
        return first_stop(predicted < least, gain.answers(table), most, reviews=gain.reviews)

    return policy


def family(training: Table) -> Mapping[Setting, Policy]:
    """With and without reviews, both ways to answer, every horizon, threshold and limit."""
    rules: dict[Setting, Policy] = {}
    for reviews in (False, True) if training.reviewed else (False,):
        belief = belief_of(training, reviews=reviews)
        for answer in ("belief", "plurality"):
            for horizon in HORIZONS:
                gain = Gain(training, belief, answer=answer, reviews=reviews, horizon=horizon)
                predicted = training.remembered(("gain", gain), lambda gain=gain: gain(training))
                for least in [*thresholds(predicted, STEPS), np.inf]:
                    for most in range(1, training.k + 1):
                        setting = ("reviewed" if reviews else "plain", answer, horizon, least, most)
                        rules[setting] = until(gain, least, most)
    return rules


METHODS = (
    stopping(
        "logistic_stopper",
        title="Learned stopper",
        reference="draws on while logistic regression predicts a gain that is worth its tokens",
        family=family,
    ),
)
