import numpy as np
import pytest

from tracer_agents.controllers.fixed import (
    AlwaysSpeak,
    NeverReview,
    Oracle,
    RandomSpeech,
    StopOnAgreement,
    best_fixed,
    fixed_controllers,
)
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController, strategy_of
from tracer_agents.rollout.tree import expand, play
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Mode, Rules, Utterance, Verdict, initial, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade

SPEAKER = TabularSpeaker.load()


def line(*said):
    """The state after these rounds: an answer, a verdict, or None for a skipped round."""
    state = initial(Rules(), "q")
    for word in said:
        if word is None:
            state = transition(state, Mode.SKIP)
            continue
        verdict = word if isinstance(word, Verdict) else None
        answer = word if verdict is None and word != "?" else None
        state = transition(transition(state, Mode.SPEAK), Utterance(text="", answer=answer, verdict=verdict))
    return state


def trees(n):
    def grade(answers, golds):
        return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]

    return expand([Episode(question=tabular_question(i), seed=i) for i in range(n)], Rules(), SPEAKER, grade)


@pytest.mark.parametrize(
    ("state", "always", "never", "agreement"),
    [
        (line(), 1, 1, 1),  # forced
        (line("4"), 1, 0, 1),
        (line("?"), 1, 0, 1),
        (line("4", Verdict.RIGHT), 1, 0, 0),
        (line("4", Verdict.WRONG), 1, 0, 1),
        (line("?", None), 1, 1, 1),
        (line("4", Verdict.WRONG, "5"), 1, 0, 1),
        (line("4", Verdict.WRONG, "4"), 1, 0, 0),
        (line("4", None, "4", Verdict.WRONG), 1, 0, 0),
    ],
)
def test_fixed_rules(state, always, never, agreement):
    for controller, expected in ((AlwaysSpeak(), always), (NeverReview(), never), (StopOnAgreement(), agreement)):
        assert controller.speak_probability([state]).tolist() == [expected]


def test_random_speech():
    states = [line(), line("4")]
    assert RandomSpeech(p=0.3).speak_probability(states).tolist() == [1.0, 0.3]
    with pytest.raises(ConfigError, match="RandomSpeech"):
        RandomSpeech(p=1.5)


def test_the_oracle_speaks_while_the_answer_is_wrong():
    oracle = Oracle(is_right=lambda state: state.answer == "4")
    assert oracle.speak_probability([line(), line("4"), line("5"), line("?")]).tolist() == [1, 0, 1, 1]
    sample = trees(300)
    gold = {tree.states[""].question: tree.episode.question.gold for tree in sample}
    seeing = Oracle(is_right=lambda state: state.answer == gold[state.question])
    won = [tree.right(state) for tree, state in zip(sample, play(sample, seeing), strict=True)]
    blind = [tree.right(state) for tree, state in zip(sample, play(sample, AlwaysSpeak()), strict=True)]
    assert np.mean(won) > np.mean(blind) + 0.05


def test_best_fixed_is_the_best_of_the_fixed():
    sample = trees(200)

    def value(controller, price):
        played = play(sample, controller)
        utility = Utility(price_of_speech=price, max_new_tokens=100)
        return np.mean([utility(t.right(s), s.generated_tokens) for t, s in zip(sample, played, strict=True)])

    for price in (0.0, 5.0):
        name, controller = best_fixed(sample, Utility(price_of_speech=price, max_new_tokens=100))
        values = {other: value(rival, price) for other, rival in fixed_controllers().items()}
        assert values[name] == max(values.values()) == value(controller, price)
    assert best_fixed(sample, Utility(price_of_speech=5.0, max_new_tokens=100))[0] == "never_review"


def learned(*rows):
    keys, strategy, average = zip(*rows, strict=True)
    n = len(rows)
    return RegretTables(
        keys=keys,
        regret=np.zeros((n, 2)),
        memory=np.zeros((n, 2)),
        strategy=np.array(strategy),
        average=np.array(average),
        iterations=1,
    )


def test_tabular_controller():
    infosets = Infosets("recall", Rules())
    tables = learned(
        ((2,), [0.25, 0.75], [3.0, 1.0]), ((2, 1), [0.5, 0.5], [0.0, 0.0]), ((2, 2), [0.9, 0.1], [1.0, 1.0])
    )
    states = [line(), line("4"), line("4", Verdict.RIGHT), line("4", Verdict.WRONG), line("?")]
    expected = {
        "current": [1.0, 0.75, 0.5, 0.1, 0.5],
        "average": [1.0, 0.25, 0.5, 0.5, 0.5],
        "greedy": [1.0, 1.0, 0.5, 0.0, 0.5],
    }
    for play_, chances in expected.items():
        controller = TabularController(infosets, tables, play_)
        assert controller.speak_probability(states).tolist() == chances
        assert controller.probability_of_key((2,)) == chances[1]
    assert TabularController.uniform(infosets).speak_probability(states).tolist() == [1.0, 0.5, 0.5, 0.5, 0.5]
    with pytest.raises(ConfigError, match="play must be one of"):
        strategy_of(tables, "best")


def test_always_speak_plays_the_last_leaf():
    sample = trees(5)
    assert [state.prefix for state in play(sample, AlwaysSpeak())] == ["11111"] * 5
