"""Rivals on pools: each does what its paper says, pays for what it looked at, and is tuned on training questions."""

import math

import pytest

from benchmarks.methods import automix, cascade, member_votes, model_switch, slm_mux
from benchmarks.methods.pooled import Tuning, answer_of, consistency, cost_of, outcomes, tune
from tracer_agents.rollout.pools import Draw, PooledQuestion
from tracer_agents.types import Episode
from tracer_env.dialogue import Utterance, Verdict
from tracer_env.rewards import Prices, Utility
from tracer_env.tasks.base import Question

PRICES = (1.0, 4.0)


def draw(answer, *, right=None, tokens=10, logp=-0.1, verdicts=()):
    reviews = tuple(Utterance(text="", verdict=verdict, generated_tokens=3) for verdict in verdicts)
    utterance = Utterance(text="", answer=answer, generated_tokens=tokens, mean_logp=logp)
    return Draw(utterance=utterance, right=answer == "7" if right is None else right, reviews=reviews)


def question(cheap, dear, name="q"):
    episode = Episode(question=Question(id=name, text="?", gold="7"), seed=0)
    return PooledQuestion(episode=episode, members=(tuple(cheap), tuple(dear)))


def tuning(*pool, draws=4, reviews=2):
    return Tuning(pool=pool, prices=PRICES, draws=draws, reviews=reviews)


def used_of(decision):
    return [used.member for used in decision.used]


def test_the_most_frequent_answer_wins_and_the_earliest_of_equals():
    assert answer_of([draw("1"), draw("7"), draw("7")], []).answer == "7"
    assert answer_of([draw("1"), draw("7"), draw(None)], []).answer == "1"
    nothing = answer_of([draw(None)], [])
    assert (nothing.answer, nothing.right) == (None, False)
    assert answer_of([draw("1"), draw("7")], [], [0.2, 0.3]).answer == "7"


def test_unreadable_answers_agree_with_none():
    assert consistency([draw(None), draw(None), draw("7")]) == pytest.approx(1 / 3)


def test_a_cascade_passes_on_what_its_score_doubts():
    asked = question([draw("1", logp=-0.9), draw("7")], [draw("7")] * 4)
    sure = question([draw("7", logp=-0.1), draw("7")], [draw("1")] * 4)
    rules = cascade._rules(tuning(asked, sure))
    threshold = next(setting[2] for setting in rules if setting[0] == "confidence" and -0.9 < setting[2] <= -0.1)
    rule = rules["confidence", 1, threshold, 1]
    assert (rule(asked).answer, used_of(rule(asked))) == ("7", [0, 1])
    assert (rule(sure).answer, used_of(rule(sure))) == ("7", [0])
    agreement = rules["agreement", 2, 1.0, 3]
    assert used_of(agreement(asked)) == [0, 0, 1, 1, 1]
    assert used_of(agreement(sure)) == [0, 0]


def test_an_answer_of_unknown_chance_is_passed_on():
    asked = question([draw("7", logp=None)], [draw("1")] * 4)
    rule = cascade._rules(tuning(question([draw("7")], [draw("7")])))["confidence", 1, -0.1, 1]
    assert used_of(rule(asked)) == [0, 1]


def test_model_switch_stops_where_one_model_agrees_with_itself():
    rules = model_switch._rules(tuning(question([draw("7")] * 4, [draw("7")] * 4)))
    assert used_of(rules[2,](question([draw("1"), draw("1")], [draw("7")] * 2))) == [0, 0]
    switched = rules[2,](question([draw("1"), draw("7")], [draw("7")] * 2))
    assert (switched.answer, used_of(switched)) == ("7", [0, 0, 1, 1])
    assert model_switch.internal_weight([draw("1"), draw("2")]) == pytest.approx(0.0)
    shares = (2 / 3, 1 / 3)
    expected = 1 + sum(share * math.log(share) for share in shares) / math.log(3)
    assert model_switch.internal_weight([draw("1"), draw("1"), draw("2")]) == pytest.approx(expected)


def test_slm_mux_takes_the_most_consistent_model_and_of_equals_the_better_one():
    better = question([draw("1")] * 3, [draw("7")] * 3)
    rules = slm_mux._rules(tuning(better, draws=3))
    assert rules[3,](better).answer == "7"  # both are consistent; the dear one is right on training questions
    assert rules[3,](question([draw("1")] * 3, [draw("7"), draw("2"), draw("7")])).answer == "1"


def test_automix_asks_the_dear_model_where_the_cheap_one_doubts_itself():
    rules = automix._rules(tuning(question([draw("7")], [draw("7")])))
    right, wrong = Verdict.RIGHT, Verdict.WRONG
    doubted = question([draw("1", verdicts=(wrong, right))], [draw("7")])
    decision = rules[2, 1.0](doubted)
    assert (decision.answer, used_of(decision)) == ("7", [0, 1])
    assert rules[2, 0.5](doubted).answer == "1"
    assert cost_of(decision, (0, 1), Prices(generated=PRICES, prompt=(0, 0))) == 10 + 2 * 3 + 4 * 10


def test_the_setting_that_is_best_on_training_questions_changes_with_the_price():
    pool = [question([draw("1")] * 4, [draw("7")] * 4, name=str(index)) for index in range(4)]
    rules = member_votes._rules(tuning(*pool))

    def best(price):
        utility = Utility(price_of_speech=price, most=100, prices=Prices(generated=PRICES, prompt=(0, 0)))
        return tune(outcomes(rules, pool, (0, 1), utility.prices), utility)

    assert best(0.1) == (1, 1)  # the dear one is right
    assert best(20.0) == (0, 1)  # nobody would pay for that
