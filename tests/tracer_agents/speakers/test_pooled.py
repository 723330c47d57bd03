"""Speakers that read from a pool: no draw twice along a path, and the values that a count by hand gives."""

from itertools import product

import numpy as np
import pytest

from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.game.values import expected_utility
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.pools import Draw, PooledQuestion
from tracer_agents.rollout.tree import expand, play, rollout
from tracer_agents.speakers.pooled import PoolSpeakers, PoolTask, most_used
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Mode, Role, Rules, Utterance, Verdict, initial, is_terminal, transition
from tracer_env.errors import ConfigError, DataError
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Grade, Question

RULES = Rules(revisions=False)
BUDGET = 1000


def pooled(name="q", members=1, draws=3, reviews=2, seed=0):
    rng = np.random.default_rng(seed)

    def review(label):
        verdict = Verdict.RIGHT if rng.random() < 0.5 else Verdict.WRONG
        return Utterance(text=f"{label}", verdict=verdict, generated_tokens=int(rng.integers(1, 9)))

    def draw(member, k):
        answer = [None, "7", "8"][int(rng.integers(3))]
        by = {other: tuple(review(f"{member}.{k} {other} {n}") for n in range(reviews)) for other in range(members)}
        utterance = Utterance(text=f"{member}.{k}", answer=answer, generated_tokens=int(rng.integers(10, 50)))
        return Draw(utterance=utterance, right=answer == "7", reviews=by.pop(member), cross_reviews=by)

    return PooledQuestion(
        episode=Episode(question=Question(id=name, text=f"{name}?", gold="7"), seed=seed),
        members=tuple(tuple(draw(member, k) for k in range(draws)) for member in range(members)),
        grades={"7": Grade.RIGHT, "8": Grade.WRONG},
    )


def speakers_of(*questions, voices=(0, 0)):
    return PoolSpeakers(questions={each.episode.question.id: each for each in questions}, voices=voices)


def expanded(questions, rules, voices=(0, 0)):
    speakers = speakers_of(*questions, voices=voices)
    speakers.require(rules)
    task = PoolTask(name="t", splits={"train": questions})
    return expand([each.episode for each in questions], rules, speakers, task.grade)


@pytest.mark.parametrize(
    ("rules", "voices"),
    [
        (RULES, (0, 0)),
        (RULES, (0, 1)),
        (Rules(revisions=False, rounds=7, n_agents=3), (0, 0, 1)),
        (Rules(revisions=False, schedule="parity", n_agents=3), (1, 0, 1)),
    ],
)
def test_no_draw_and_no_review_is_used_twice_along_a_path(rules, voices):
    most, reviews = most_used(rules, voices)
    question = pooled(members=2, draws=max(most.values()), reviews=max(reviews.values()))
    [tree] = expanded([question], rules, voices)
    used = set()
    for leaf in tree.leaves():
        texts = [turn.utterance.text for turn in leaf.turns if turn.utterance]
        assert len(set(texts)) == len(texts)
        used |= set(texts)
        for turn in leaf.turns:
            if turn.utterance and turn.role is Role.PROPOSER:
                assert turn.utterance.text.startswith(f"{voices[turn.agent]}.")
    for member, count in most.items():  # what is required is used, and no more
        assert {f"{member}.{k}" for k in range(count)} == {text for text in used if text in names(member)}
    assert {text for text in used if " " in text} == {
        f"{proposer}.{draw} {reviewer} {number}"
        for (proposer, draw, reviewer), count in reviews.items()
        for number in range(count)
    }


def names(member):
    return {f"{member}.{k}" for k in range(9)}


def test_a_review_is_of_the_draw_that_is_pending():
    [tree] = expanded([pooled()], RULES)
    for leaf in tree.leaves():
        pending, number = None, 0
        for turn in leaf.turns:
            if turn.utterance and turn.role is Role.PROPOSER:
                pending, number = turn.utterance.text, 0
            elif turn.utterance:
                assert turn.utterance.text == f"{pending} 0 {number}"
                number += 1


def test_a_profile_is_worth_what_its_dialogues_are_worth():
    """Brute force: every combination of modes is played by hand on the pool, weighted by its chance."""
    questions = [pooled(f"q{seed}", seed=seed) for seed in range(4)]
    infosets = Infosets("recall", RULES)
    game = empirical_game(expanded(questions, RULES), infosets, token_budget=BUDGET)
    rng = np.random.default_rng(5)
    chances = dict(zip(game.trie.keys, rng.random(len(game.trie.keys)), strict=True))
    strategy = np.array([[1 - chances[key], chances[key]] for key in game.trie.keys])
    price = 0.7
    value = 0.0
    for question, modes in product(questions, product(Mode, repeat=4)):
        draws = [draw.utterance for draw in question.members[0]]
        reviews = [draw.reviews for draw in question.members[0]]
        state, chance, drawn, reviewed = initial(RULES, question.episode.question.text), 1.0, 0, 0
        for round_, mode in enumerate((Mode.SPEAK, *modes), start=1):
            if round_ > 1:
                chance *= strategy[game.trie.keys.index(infosets.key(state))][mode]
            state = transition(state, mode)
            if mode is Mode.SPEAK and round_ % 2:
                state, drawn, reviewed = transition(state, draws[drawn]), drawn + 1, 0
            elif mode is Mode.SPEAK:
                state, reviewed = transition(state, reviews[drawn - 1][reviewed]), reviewed + 1
        assert is_terminal(state)
        right = state.answer == "7"
        value += chance * (2 * right - 1 - price * state.generated_tokens / BUDGET) / len(questions)
    assert expected_utility(game.priced(price), strategy) == pytest.approx(value, abs=1e-12)


def test_playing_in_the_tree_and_playing_anew_are_the_same():
    questions = [pooled(f"q{seed}", seed=seed) for seed in range(8)]
    trees, controller = expanded(questions, RULES), RandomSpeech(p=0.6)
    speakers = speakers_of(*questions)
    assert play(trees, controller) == rollout([each.episode for each in questions], RULES, speakers, controller)


def test_further_candidates_are_further_draws():
    question = pooled()
    start = transition(initial(RULES, "q?"), Mode.SPEAK)
    asked = [SpeakRequest(episode=question.episode, state=start, candidate=number) for number in range(3)]
    assert [each.text for each in speakers_of(question).speak(asked)] == ["0.0", "0.1", "0.2"]
    with pytest.raises(DataError, match="holds 3 draws of member 0 for question 'q', and number 4 is asked for"):
        speakers_of(question).speak([SpeakRequest(episode=question.episode, state=start, candidate=3)])


@pytest.mark.parametrize(
    ("question", "rules", "message"),
    [
        (pooled(), Rules(), "dialogue.revisions: a pool holds proposals made from the question alone"),
        (pooled(draws=2), RULES, r"up to 3 proposals of member 0, and the pool holds 2 of question 'q'.*--draws 3"),
        (pooled(reviews=1), RULES, r"up to 2 reviews by member 0 of draw 0 of member 0, and the pool holds 1"),
        (pooled(), Rules(n_agents=3, revisions=False), "3 agents, and the pool speaks for 2"),
    ],
)
def test_rules_that_ask_for_more_than_there_is_are_refused_at_once(question, rules, message):
    with pytest.raises(ConfigError, match=message):
        speakers_of(question).require(rules)


def test_revisions_are_refused_where_they_come_up():
    rules = Rules(rounds=3)
    with pytest.raises(ConfigError, match=r"dialogue\.revisions"):
        rollout([pooled().episode], rules, speakers_of(pooled()), AlwaysSpeak())


def test_a_question_that_is_learned_from_is_not_tested_on():
    with pytest.raises(DataError, match="question 'q' is in the pools of 'train' and of 'test'"):
        PoolTask(name="t", splits={"train": [pooled()], "test": [pooled(seed=1)]})


def test_grades_are_those_of_the_pool():
    task = PoolTask(name="t", splits={"train": [pooled()]})
    assert task.grade(["7", "8", None], ["7", "7", "7"]) == [Grade.RIGHT, Grade.WRONG, Grade.WRONG]
    with pytest.raises(DataError, match="no grade of the answer '9'"):
        task.grade(["9"], ["7"])


def test_in_a_pool_without_reviews_reviewers_say_nothing():
    questions = [pooled(f"q{seed}", reviews=0, seed=seed) for seed in range(6)]
    for tree in expanded(questions, RULES):
        for leaf in tree.leaves():
            reviews = [turn.utterance for turn in leaf.turns if turn.utterance and turn.role is Role.REVIEWER]
            assert all(each == Utterance(text="") for each in reviews)
        always, silent = tree.states["11111"], tree.states["10101"]
        assert (always.answer, always.generated_tokens) == (silent.answer, silent.generated_tokens)


def test_a_verdict_of_known_probability_can_be_had_again():
    """One verdict per draw is enough for any rules: further ones have its chance, and paths agree on them."""
    rights = 0
    for seed in range(400):
        review = Utterance(text="WRONG", verdict=Verdict.WRONG, p_right=0.3, generated_tokens=1)
        draws = tuple(
            Draw(utterance=Utterance(text=f"0.{k}", answer="7", generated_tokens=9), right=True, reviews=(review,))
            for k in range(3)
        )
        episode = Episode(question=Question(id="q", text="q?", gold="7"), seed=seed)
        question = PooledQuestion(episode=episode, members=(draws,), grades={"7": Grade.RIGHT})
        [tree] = expanded([question], RULES)
        first, second = (tree.utterance(prefix) for prefix in ("1", "110"))
        assert (first, second.p_right, second.generated_tokens) == (review, 0.3, 1)
        assert second.text == second.verdict
        rights += second.verdict is Verdict.RIGHT
    assert rights / 400 == pytest.approx(0.3, abs=0.07)
