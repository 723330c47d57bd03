"""Tests of what the pictures show."""

import numpy as np
import pandas as pd
import pytest

from benchmarks.report.load import load
from benchmarks.report.plots import correction_preservation, frontier, learning_curves, speak_heat_map
from benchmarks.report.scores import Scores, score_task
from benchmarks.studies.figures import smoothed

TITLES = {"single": "Single", "self_consistency": "Votes", "always_speak": "Always", "tracer": "Costs $5"}


@pytest.fixture
def scores(out, methods) -> Scores:
    found = score_task(load(out, methods), "arithmetic-3", reference="tracer", resamples=50)
    assert found is not None
    return found


def lines(figure):
    """label -> (x, y) of every drawn method."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    return dict(zip(labels, (handle.lines[0].get_data() for handle in handles), strict=True))


def test_the_frontier_joins_a_methods_points_in_order_of_tokens(scores):
    drawn = lines(frontier(scores, TITLES, reference="tracer"))

    columns = scores.of("self_consistency")
    np.testing.assert_array_equal(drawn["Votes"][0], [20.0, 40.0, 60.0])
    np.testing.assert_array_equal(drawn["Votes"][1], scores.figures["accuracy"].value[columns])
    assert drawn[r"Costs \$5"][0][0] == 20.0
    assert set(drawn) == {"Single", "Votes", "Always", r"Costs \$5"}


def test_correction_stands_over_preservation(scores):
    drawn = lines(correction_preservation(scores, TITLES, reference="tracer"))

    assert [float(one[0]) for one in drawn["Single"]] == [1.0, 0.0]  # (preservation, correction)
    at = scores.headline("always_speak")
    assert float(drawn["Always"][1][0]) == scores.figures["correction"].value[at]


def test_learning_curves_are_smoothed_over_each_seed_and_their_mean():
    runs = [pd.DataFrame({"step": [1, 2, 3], "accuracy": [a, 0.2, None]}) for a in (0.0, 0.4)]

    figure = learning_curves({"tracer": runs}, "trained on x")

    first, second, mean = figure.axes[0].get_lines()
    np.testing.assert_allclose(np.asarray(first.get_ydata()), smoothed([0.0, 0.2, None]))
    np.testing.assert_allclose(np.asarray(second.get_ydata()), smoothed([0.4, 0.2, None]))
    np.testing.assert_allclose(np.asarray(mean.get_ydata()), smoothed([0.2, 0.2, None]))


def test_the_heat_map_has_a_place_for_every_infoset_and_leaves_others_blank():
    rates = pd.DataFrame(
        [("no answer", 3, 1, 1.0, 4), ("1 proposal, votes 0", 2, 1, 0.25, 8)],
        columns=["known", "round", "proposals", "rate", "n"],
    )

    axes = speak_heat_map(rates, "x").axes[0]

    grid = np.ma.filled(axes.images[0].get_array().astype(float), np.nan)
    np.testing.assert_array_equal(grid, [[np.nan, 1.0], [0.25, np.nan]])
    assert [text.get_text() for text in axes.texts] == ["100%\nn = 4", "25%\nn = 8"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["no answer", "1 proposal, votes 0"]
