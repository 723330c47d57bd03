"""Points on the plane of tokens and scores: next to a budget, on the way between two, beaten by none."""

import numpy as np

from tracer_agents.evaluation.statistics import ratio


def bracket(tokens: np.ndarray, budget: float) -> tuple[int | None, int | None]:
    """The point with the most tokens not above the budget, and that with the fewest above it; None: no such point."""
    below, above = np.flatnonzero(tokens <= budget), np.flatnonzero(tokens > budget)
    return (
        int(below[np.argmax(tokens[below])]) if len(below) else None,
        int(above[np.argmin(tokens[above])]) if len(above) else None,
    )


def interpolate(
    tokens: tuple[np.ndarray, np.ndarray], scores: tuple[np.ndarray, np.ndarray], budget: np.ndarray
) -> np.ndarray:
    """The score at ``budget`` on the straight line through two points of a frontier; arrays of one shape.

    Asking one point for some questions and the other for the rest, at random, reaches every place between them.
    """
    share = ratio(budget - tokens[0], tokens[1] - tokens[0])
    return scores[0] + share * (scores[1] - scores[0])


def undominated(tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Which points no other beats: none has at most its tokens and at least its score, one of them strictly."""
    no_dearer = tokens[:, None] <= tokens  # [other, point]
    no_worse = scores[:, None] >= scores
    better = (tokens[:, None] < tokens) | (scores[:, None] > scores)
    return np.asarray(~(no_dearer & no_worse & better).any(axis=0))
