"""Heat maps: every infoset in its place, in words, and rates of recorded dialogues by hand."""

import pytest

from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.evaluation.play import draw_episodes, play_team
from tracer_agents.report.infosets import heat_maps, observed, place_of
from tracer_agents.report.values import InfosetFigures
from tracer_env.beliefs import FEATURES, Belief
from tracer_env.dialogue import Rules, Utterance, Verdict
from tracer_env.infosets import Infosets
from tracer_env.tasks.arithmetic import Arithmetic

TASK, RULES = Arithmetic(level=1), Rules()


@pytest.mark.parametrize(
    ("kind", "key", "place"),
    [
        ("paper", (1, 2, 0, 0), (2, "any", "0")),
        ("consensus", (1, 2, 0, 0, 1, 1), (2, "1 of 1 agree", "0")),
        ("consensus", (0, 5, 1, 2, 2, 0), (5, "0 of 2 agree", "no answer")),
        ("consensus", (0, 4, 1, 3, 3, 2), (7, "2+ of 3 agree", "≥ +2")),
        ("belief", (0, 4, 2, 7), (5, "2+ agree", "bin 8")),
        ("recall", (2, 2, 3, 0), (5, "A, wrong, B, –", "P(speak)")),
        ("recall", (1,), (2, "unread", "P(speak)")),
    ],
)
def test_infosets_are_put_in_words(kind, key, place):
    placed = place_of(kind, key)
    assert (placed.round, placed.row, placed.column) == place


@pytest.mark.parametrize(
    ("edges", "columns"),
    [
        ((0.25, 0.5), ["< 0.25", "0.25–0.50", "≥ 0.50"]),
        ((0.4,), ["< 0.40", "≥ 0.40"]),
        ((0.5, 0.9951, 0.9954), ["< 0.5000", "0.5000–0.9951", "0.9951–0.9954", "≥ 0.9954"]),
        ((0.5, 0.5), ["bin 1", "bin 2", "bin 3"]),
        ((), ["bin 1"]),
    ],
)
def test_bins_of_a_belief_are_named_by_their_limits(edges, columns):
    belief = Belief(intercept=0.0, coefficients=(1.0,) * len(FEATURES), edges=edges)
    assert [place_of("belief", (0, 2, 1, number), belief).column for number in range(belief.bins)] == columns


class Doubting:
    """Everybody proposes 1, and doubts it."""

    def speak(self, requests):
        return [Utterance(text="1", answer="1", verdict=Verdict.WRONG, generated_tokens=1) for _ in requests]


def test_rates_are_those_of_the_recorded_dialogues():
    episodes = draw_episodes(TASK, "test", 0, 5, seed=1, phase="test")
    records = play_team(episodes, RULES, Doubting(), AlwaysSpeak(), TASK, method="team", phase="after", seed=1)
    figures = observed(records, Infosets("consensus", RULES))
    assert {each.speak for each in figures.values()} == {1.0}
    assert {each.met for each in figures.values()} == {1.0}
    assert [key[4:] for key in figures] == [(1, 1), (2, 2), (1, 1), (2, 2)]  # (proposals, agreeing): proposals first
    maps = heat_maps("consensus", figures, RULES, gains=False)
    assert [(each.columns, each.rows[0][0]) for each in maps] == [
        (["0"], "1 of 1 agree"),
        (["−1"], "1 of 1 agree"),
        (["0"], "2 of 2 agree"),
        (["−1"], "2 of 2 agree"),
    ]


def test_rows_and_columns_stand_in_order_and_gaps_stay_empty():
    keys = [(0, 2, 1, 2, 2, 2), (0, 5, 1, 2, 2, 0), (0, 1, 1, 2, 2, 1)]
    figures = {key: InfosetFigures(speak=0.25, met=0.1, gain=-0.5) for key in keys}
    [grid] = heat_maps("consensus", figures, RULES, gains=True)
    assert grid.columns == ["no answer", "−1", "0"]
    assert [row for row, _ in grid.rows] == ["0 of 2 agree", "1 of 2 agree", "2 of 2 agree"]
    assert [[cell is not None for cell in cells] for _, cells in grid.rows] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    heat = grid.rows[0][1][0]
    assert (heat.text, heat.gain, heat.met, heat.rare) == ("0.25", "−0.50", "met 10%", False)


def test_of_many_histories_the_most_frequent_are_shown_and_the_rest_is_counted():
    figures = {
        (2, code, 2 + n): InfosetFigures(speak=1.0, met=0.3 / (1 + n), gain=0.0) for code in (1, 2) for n in range(30)
    }
    figures[2, 3, 2] = InfosetFigures(speak=1.0, met=0.0, gain=None)
    [grid] = heat_maps("recall", figures, RULES, gains=True)
    assert len(grid.rows) <= 40
    assert grid.caption.endswith("; the 40 most frequent of 61")
