"""How sure rules may be of the draws that they have seen: calibrated on training questions by the library's belief."""

from collections.abc import Iterator

import numpy as np

from benchmarks.suite.draws import Table
from tracer_agents.controllers.calibration import fit_belief
from tracer_agents.rollout.pools import Draw
from tracer_agents.rollout.tree import Tree
from tracer_env.beliefs import FEATURES, SIGNALS, Belief, evidence
from tracer_env.dialogue import Dialogue, Mode, Rules, initial, transition


def belief_of(training: Table, *, reviews: bool, alone: bool = False) -> Belief:
    """The belief that training questions teach.

    Args:
        training: their draws.
        reviews: the first review of each draw is known too.
        alone: each draw by itself, not all so far together.
    """

    def fit() -> Belief:
        signals = [name for name in SIGNALS if reviews or name != "verdict"]
        trees = [_tree(training, q, reviews=reviews, alone=alone) for q in range(len(training.draws))]
        return fit_belief(trees, bins=1, signals=signals)

    return training.remembered(("belief", reviews, alone), fit)


def posterior(table: Table, belief: Belief, *, reviews: bool) -> np.ndarray:
    """The belief in every answer after 1, 2, … draws, float of shape (Q, K, A); 0 where nobody gave it yet."""
    features, places = _evidence(table, reviews=reviews, alone=False)
    out = np.zeros(table.counts.shape)
    out[tuple(places.T)] = _chances(belief, features)
    return out


def confidence(table: Table, belief: Belief, *, reviews: bool) -> np.ndarray:
    """The belief in each draw's answer by itself, float of shape (Q, K); NaN where none can be read."""
    features, places = _evidence(table, reviews=reviews, alone=True)
    out = np.full(table.answers.shape, np.nan)
    out[places[:, 0], places[:, 1]] = _chances(belief, features)
    return out


def leader_features(table: Table, leaders: np.ndarray, *, reviews: bool) -> np.ndarray:
    """The evidence on the leading answer after 1, 2, … draws, float of shape (Q, K, features); 0 where there is none.

    ``leaders`` are the numbers of those answers, of shape (Q, K).
    """
    features, places = _evidence(table, reviews=reviews, alone=False)
    every = np.zeros((*table.counts.shape, len(FEATURES)))
    every[tuple(places.T)] = features
    chosen = np.take_along_axis(every, np.maximum(leaders, 0)[:, :, None, None], axis=2)[:, :, 0]
    return np.where(leaders[:, :, None] >= 0, chosen, 0.0)


def _chances(belief: Belief, features: np.ndarray) -> np.ndarray:
    logit = belief.intercept + features @ np.array(belief.coefficients)
    return 1 / (1 + np.exp(-logit))


def _evidence(table: Table, *, reviews: bool, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """The features of every answer in every state, (rows, features), and (question, draw, answer), (rows, 3)."""

    def compute() -> tuple[np.ndarray, np.ndarray]:
        rows: list[tuple[float, ...]] = []
        places: list[tuple[int, int, int]] = []
        for q in range(len(table.draws)):
            numbers: dict[str, int] = {}
            for answer in (draw.utterance.answer for draw in table.draws[q]):
                if answer is not None:
                    numbers.setdefault(answer, len(numbers))
            for place, state in enumerate(_states(table, q, reviews=reviews, alone=alone)):
                for answer, row in evidence(state).items():
                    rows.append(row)
                    places.append((q, place, numbers[answer]))
        return np.array(rows).reshape(-1, len(FEATURES)), np.array(places, dtype=int).reshape(-1, 3)

    return table.remembered(("evidence", reviews, alone), compute)


def _tree(table: Table, q: int, *, reviews: bool, alone: bool) -> Tree:
    """A question's states as a tree of its own kind: keyed by the number of draws."""
    states = {str(number): state for number, state in enumerate(_states(table, q, reviews=reviews, alone=alone), 1)}
    question = table.questions[q]
    return Tree(episode=question.episode, states=states, grades=question.grades)


def _states(table: Table, q: int, *, reviews: bool, alone: bool) -> Iterator[Dialogue]:
    """The dialogue after 1, 2, … draws, each reviewed once or not at all; alone: after that draw and no other."""
    rules = Rules(n_agents=1, rounds=2 * table.k + 1, revisions=False)
    begin = initial(rules, table.questions[q].episode.question.text)
    state = begin
    for draw in table.draws[q]:
        state = _after(begin if alone else state, draw, reviews=reviews)
        yield state


def _after(state: Dialogue, draw: Draw, *, reviews: bool) -> Dialogue:
    state = transition(transition(state, Mode.SPEAK), draw.utterance)
    if reviews and draw.reviews:
        return transition(transition(state, Mode.SPEAK), draw.reviews[0])
    return transition(state, Mode.SKIP)
