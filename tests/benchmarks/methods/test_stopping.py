"""Rules that look at one draw after the other: each stops where its paper says, and pays for what it looked at."""

from math import comb

import numpy as np
import pytest

from benchmarks.methods import (
    FAMILIES,
    asc,
    cges,
    cisc,
    down,
    esc,
    logistic_stopper,
    pool_agreement,
    pool_votes,
    two_threshold,
)
from benchmarks.methods.stopping import decisions, outcomes_of
from benchmarks.suite.confidence import belief_of, confidence, posterior
from benchmarks.suite.draws import Table, first_stop, leading, thresholds
from tracer_agents.rollout.pools import Draw, PooledQuestion
from tracer_agents.types import Episode
from tracer_env.dialogue import Utterance, Verdict
from tracer_env.tasks.base import Grade, Question


def draw(answer, *, logp=-0.1, p_right=None, tokens=10, reviewed=False):
    review = Utterance(text="", verdict=Verdict.RIGHT, p_right=p_right, generated_tokens=1)
    return Draw(
        utterance=Utterance(text="", answer=answer, mean_logp=logp, generated_tokens=tokens),
        right=answer == "7",
        reviews=(review,) if reviewed or p_right is not None else (),
    )


def question(*draws, name="q", seed=0):
    grades = {
        each.utterance.answer: Grade.RIGHT if each.right else Grade.WRONG for each in draws if each.utterance.answer
    }
    episode = Episode(question=Question(id=name, text="?", gold="7"), seed=seed)
    return PooledQuestion(episode=episode, members=(tuple(draws),), grades=grades)


def table(*rows):
    """A row is the answers of a question, ``.`` one that cannot be read."""
    return Table.of([question(*(draw(None if each == "." else each) for each in row)) for row in rows])


def did(stopped, table):
    """(draws, answer) on every question."""
    return [(len(made.used), made.answer) for made in decisions(stopped, table, 0)]


def random_pool(size, k=8, seed=0, verdicts=True):
    """Questions of different difficulty, with signals that say something about it."""
    rng, questions = np.random.default_rng(seed), []
    for number in range(size):
        chance, draws = rng.beta(2, 2), []
        for _ in range(k):
            right = rng.random() < chance
            answer = "7" if right else [None, "1", "2", "3"][rng.integers(4)]
            logp = -0.05 - 0.3 * rng.random() * (1.6 - right)
            p_right = float(np.clip(rng.normal(0.4 + 0.2 * right, 0.2), 0.01, 0.99)) if verdicts else None
            draws.append(draw(answer, logp=logp, p_right=p_right, tokens=int(rng.integers(20, 60))))
        questions.append(question(*draws, name=f"{seed}-{number}", seed=number))
    return questions


# tables


def test_a_table_counts_answers_and_gives_ties_to_the_earliest():
    seen = table("178", "7.7", "...")
    assert seen.plurality.tolist() == [[0, 0, 0], [0, 0, 0], [-1, -1, -1]]
    assert table("1772").plurality.tolist() == [[0, 0, 1, 1]]
    first, second = table("1772").two_largest
    assert (first.tolist(), second.tolist()) == ([[1, 1, 2, 2]], [[0, 1, 1, 1]])
    assert seen.cost.tolist() == [[10, 20, 30]] * 3
    assert seen.right.tolist() == [[False, True, False], [True, False, False], [False, False, False]]


def test_reviews_are_paid_for_by_those_who_look_at_them():
    seen = Table.of([question(draw("7", p_right=0.5), draw("7", p_right=0.5))])
    plain, reviewed = (
        first_stop(np.zeros((1, 2), dtype=bool), seen.plurality, 2, reviews=each) for each in (False, True)
    )
    assert (plain.cost(seen).tolist(), reviewed.cost(seen).tolist()) == ([20.0], [22.0])
    assert [len(used.utterances()) for used in decisions(reviewed, seen, 0)[0].used] == [2, 2]


def test_an_order_is_the_order_in_which_rules_see_draws():
    asked = question(draw("1"), draw("7"), draw("7"))
    seen = Table.of([asked], orders=np.array([[2, 0, 1]]))
    assert seen.plurality.tolist() == [[0, 0, 0]]
    assert did(pool_votes.votes(1)(seen), seen) == [(1, "7")]


def test_leading_and_thresholds():
    assert leading(np.array([[0.2, 0.2], [0.0, 0.0]])).tolist() == [0, -1]
    assert thresholds(np.array([1.0, np.nan, 3.0]), 3) == [1.0, 2.0, 3.0]
    assert thresholds(np.array([np.nan]), 3) == []


# rules


def test_votes_and_agreement():
    seen = table("1778", "1234", "77.8")
    assert did(pool_votes.votes(4)(seen), seen) == [(4, "7"), (4, "1"), (4, "7")]
    assert did(pool_agreement.until(2, 4)(seen), seen) == [(3, "7"), (4, "1"), (2, "7")]
    assert did(pool_agreement.until(2, 2)(seen), seen) == [(2, "1"), (2, "1"), (2, "7")]


@pytest.mark.parametrize(("first", "second"), [(1, 0), (2, 0), (3, 1), (5, 5), (0, 0)])
def test_asc_integrates_the_beta_exactly(first, second):
    n = first + second + 1
    exact = sum(comb(n, j) for j in range(first + 1)) / 2**n
    assert asc.stays_ahead(np.array(first), np.array(second)) == pytest.approx(exact)
    share = np.random.default_rng(0).beta(first + 1, second + 1, size=200_000)
    assert exact == pytest.approx((share > 0.5).mean(), abs=0.005)


def test_asc_stops_when_the_majority_is_likely_to_stay():
    seen = table("7777", "7177", "....")
    assert did(asc.until(0.87, 4)(seen), seen) == [(2, "7"), (4, "7"), (4, None)]  # 7/8 after two; 13/16 after 3 : 1
    assert did(asc.until(0.81, 4)(seen), seen) == [(2, "7"), (4, "7"), (4, None)]


def test_esc_looks_at_whole_windows():
    seen = table("177777", "77.777")
    assert did(esc.until(2, 6)(seen), seen) == [(4, "7"), (2, "7")]
    assert did(esc.until(3, 6)(seen), seen) == [(6, "7"), (6, "7")]
    assert did(esc.until(3, 5)(seen), seen) == [(5, "7"), (5, "7")]


def test_cisc_weighs_votes_by_confidence():
    sure = question(draw("7", logp=-0.1), draw("1", logp=-2.0), draw("1", logp=-2.0))
    seen = Table.of([sure])
    assert did(cisc.weighted("logp", 0.1, 3)(seen), seen) == [(3, "7")]
    assert did(cisc.weighted("logp", np.inf, 3)(seen), seen) == [(3, "1")]
    weights = cisc.weights(np.array([[0.0, np.log(3.0)]]), 1.0)
    assert weights == pytest.approx(np.array([[0.25, 0.75]]))
    assert cisc.weights(np.array([[np.nan, -1.0, -3.0]]), 1.0)[0, 0] == pytest.approx(
        cisc.weights(np.array([[-2.0, -1.0, -3.0]]), 1.0)[0, 0]
    )
    assert cisc.weights(np.array([[np.nan, np.nan]]), 1.0) == pytest.approx(np.array([[0.5, 0.5]]))


def test_cisc_at_infinite_temperature_is_self_consistency():
    seen = Table.of(random_pool(200))
    for k in range(1, 9):
        assert cisc.weighted("verdict", np.inf, k)(seen).answer.tolist() == pool_votes.votes(k)(seen).answer.tolist()


def test_cges_multiplies_confidences():
    """By hand: 7 with .8, then 1 with .4; answers are 7, 1 and one unseen, so M − 1 = 2."""
    given = np.array([[[True, False], [False, True], [False, False]]])
    posterior = cges.posterior_of(given, np.array([[0.8, 0.4, np.nan]]))
    seven, one, unseen = 0.8 * 0.6 / 2, 0.2 / 2 * 0.4, 0.2 / 2 * 0.6 / 2
    assert posterior[0, 0] == pytest.approx([0.8, 0.0])  # 0.8 against 0.2
    assert posterior[0, 1] == pytest.approx(np.array([seven, one]) / (seven + one + unseen))
    assert posterior[0, 2] == pytest.approx(posterior[0, 1])  # what cannot be read says nothing


def test_down_stops_after_one_where_the_model_is_sure():
    seen = Table.of(
        [question(draw("1", logp=-0.1), draw("7"), draw("7")), question(draw("1", logp=-1.0), draw("7"), draw("7"))]
    )
    assert did(down.gate(0.5, 3)(seen), seen) == [(1, "1"), (3, "7")]
    unknown = Table.of([question(draw("1", logp=None), draw("7"), draw("7"))])
    assert did(down.gate(-1.0, 3)(unknown), unknown) == [(3, "7")]


def test_the_gate_stops_at_high_and_at_hopeless_beliefs():
    training = Table.of(random_pool(300))
    belief = belief_of(training, reviews=False)
    answers, believed = two_threshold.leaders(training, belief, answer="belief", reviews=False)
    low, high = np.quantile(believed[:, 0], [0.1, 0.8])
    stopped = two_threshold.gate(belief, low, high, 8, answer="belief", reviews=False)(training)
    for q, count in enumerate(stopped.draws):
        inside = (believed[q, : count - 1] > low) & (believed[q, : count - 1] < high)
        assert inside.all()
        assert count == 8 or not low < believed[q, count - 1] < high
        assert stopped.answer[q] == answers[q, count - 1]
    assert (stopped.draws == 1).mean() == pytest.approx(0.3, abs=0.05)


def test_confidence_and_belief_are_calibrated_on_new_questions():
    training, fresh = (Table.of(random_pool(600, seed=seed)) for seed in (0, 1))
    for reviews in (False, True):
        alone = confidence(fresh, belief_of(training, reviews=reviews, alone=True), reviews=reviews)
        right = np.take_along_axis(fresh.right, np.maximum(fresh.answers, 0), axis=1)
        read = fresh.answers >= 0
        assert np.isnan(alone[~read]).all()
        assert alone[read].mean() == pytest.approx(right[read].mean(), abs=0.03)
        chances = posterior(fresh, belief_of(training, reviews=reviews), reviews=reviews)
        given = fresh.counts > 0
        weights = given / given.sum(axis=(1, 2), keepdims=True)
        assert (chances * weights).sum() == pytest.approx((fresh.right[:, None] * weights).sum(), abs=15)  # of 600
        assert (chances > 0).sum() == given.sum()


def test_the_learned_stopper_draws_on_where_that_wins():
    """Where logp tells whether the first answer is right, more is drawn on the others."""
    rng, questions = np.random.default_rng(0), []
    for number in range(400):
        easy = rng.random() < 0.5
        draws = [
            draw("7" if easy or (place and rng.random() < 0.8) else "1", logp=-0.1 if easy else -0.9)
            for place in range(5)
        ]
        questions.append(question(*draws, name=str(number)))
    training = Table.of(questions)
    belief = belief_of(training, reviews=False)
    gain = logistic_stopper.Gain(training, belief, answer="plurality", reviews=False, horizon=4)
    stopped = logistic_stopper.until(gain, 0.05, 5)(training)
    sure = training.logp[:, 0] > -0.5
    assert (stopped.draws[sure] == 1).all()
    assert (stopped.draws[~sure] >= 3).all()
    assert stopped.right(training).mean() > pool_votes.votes(1)(training).right(training).mean() + 0.3


@pytest.mark.parametrize("name", sorted(FAMILIES))
@pytest.mark.parametrize("verdicts", [True, False])
def test_every_rule_has_settings_from_one_draw_to_all_and_none_beyond(name, verdicts):
    training, fresh = (Table.of(random_pool(40, k=4, seed=seed, verdicts=verdicts)) for seed in (0, 1))
    family = FAMILIES[name](training)
    stopped = [policy(fresh) for policy in family.values()]
    assert min(each.draws.min() for each in stopped) >= 1
    assert max(each.draws.max() for each in stopped) == 4
    for each in stopped:
        seen = [set(row[:count]) | {-1} for row, count in zip(fresh.answers.tolist(), each.draws, strict=True)]
        assert all(answer in answers for answer, answers in zip(each.answer.tolist(), seen, strict=True))
        assert not each.reviews or verdicts
    known = outcomes_of(family, fresh)
    assert len(known) == len(family)
