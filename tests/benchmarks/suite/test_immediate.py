"""Scripted dialogues replayed: the tables of the immediate rule, worked out by hand."""

import numpy as np
import pytest

from benchmarks.suite.immediate import greedy, learn, play_and_score
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.types import Episode
from tracer_env.dialogue import Mode, Role, Rules, Utterance, Verdict
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Grade, Question

QUESTION = Question(id="q", text="q", gold="7")
INFOSETS = Infosets("recall", Rules())


class Script:
    """Speakers that say their lines by mode prefix, and count what is asked."""

    def __init__(self, lines):
        self.lines, self.asked = lines, []

    def speak(self, requests):
        out = []
        for request in requests:
            prefix = request.state.prefix
            self.asked.append(prefix)
            line = self.lines[prefix]
            if request.state.role is Role.PROPOSER:
                out.append(Utterance(text=str(line), answer=line))
            else:
                out.append(Utterance(text=str(line), verdict=line))
        return out


class Modes:
    """A controller that plays the modes of a string, round by round."""

    def __init__(self, modes):
        self.modes = modes

    def speak_probability(self, states):
        return np.array([float(self.modes[state.round - 1]) for state in states])


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def replay(modes, lines):
    script = Script(lines)
    (dialogue,), visits = play_and_score([Episode(question=QUESTION, seed=1)], INFOSETS, script, Modes(modes), grade)
    assert dialogue.prefix == modes
    return script.asked, visits


def test_a_dialogue_of_speech():
    W = Verdict.WRONG
    asked, visits = replay("11111", {"": "8", "1": W, "11": "7", "111": W, "1111": "9"})
    assert asked == ["", "1", "11", "111", "1111"]
    assert [(visit.key, visit.values) for visit in visits] == [
        ((2,), (-1, 1)),  # wrong pending, said WRONG
        ((2, 2), (-1, 1)),  # old wrong, new right
        ((2, 2, 3), (1, -1)),  # right pending, said WRONG
        ((2, 2, 3, 2), (1, -1)),  # old right, new wrong
    ]
    tables = learn(RegretTables.empty(), visits)
    # value(a) − value(SPEAK), by visit
    assert tables.regret.tolist() == [[-2, 0], [-2, 0], [2, 0], [2, 0]]
    assert tables.strategy.tolist() == [[0.5, 0.5], [0.5, 0.5], [1, 0], [1, 0]]


def test_a_dialogue_of_silence_generates_its_reviews():
    asked, visits = replay("10000", {"": "7", "1": Verdict.RIGHT, "100": None})
    assert asked == ["", "1", "100"]
    assert [(visit.key, visit.played, visit.values) for visit in visits] == [
        ((2,), Mode.SKIP, (1, 1)),  # right pending, would have said RIGHT
        ((2, 0), Mode.SKIP, (1, 1)),  # keeping regrets nothing
        ((2, 0, 0), Mode.SKIP, (1, 0)),  # no verdict: 0
        ((2, 0, 0, 0), Mode.SKIP, (1, 1)),
    ]
    assert learn(RegretTables.empty(), visits).regret.tolist() == [[0, 0], [0, 0], [0, -1], [0, 0]]


def test_unparsed_solutions():
    asked, visits = replay("10110", {"": None, "1": Verdict.WRONG, "10": "7", "101": Verdict.RIGHT})
    assert asked == ["", "1", "10", "101"]
    # The review of an unparsed solution: SKIP −1, WRONG is the truth. The proposal over it is no visit.
    assert [(visit.key, visit.values) for visit in visits] == [
        ((1,), (-1, 1)),
        ((1, 0, 2), (1, 1)),
        ((1, 0, 2, 1), (1, 1)),
    ]
    assert learn(RegretTables.empty(), visits).regret[0].tolist() == [0, 2]


def test_visits_add_up_and_ties_go_to_skip():
    lines = {"": "8", "1": Verdict.WRONG, "10": "8"}
    _, visits = replay("10000", lines | {"100": Verdict.RIGHT})
    tables = RegretTables.empty()
    for _ in range(3):
        tables = learn(tables, visits)
    row = tables.row[(2,)]
    assert tables.regret[row].tolist() == [0, 6]
    assert tables.average[row].tolist() == [0.5, 2.5]  # ½, ½ at first, then SPEAK twice
    assert tables.iterations == 12
    chosen = greedy(INFOSETS, tables)
    assert chosen.probability_of_key((2,)) == 1
    assert chosen.probability_of_key((2, 0)) == 0  # a tie
    assert chosen.probability_of_key((5,)) == 0.5  # never met


@pytest.mark.parametrize(("modes", "count"), [("10000", 3), ("11111", 5), ("10101", 5), ("11010", 3)])
def test_the_number_of_utterances(modes, count):
    class Anything(dict):
        def __missing__(self, prefix):
            return "7" if len(prefix) % 2 == 0 else Verdict.RIGHT

    asked, _ = replay(modes, Anything())
    assert len(asked) == count == INFOSETS.rules.rounds // 2 + modes[::2].count("1")
