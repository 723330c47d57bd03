import json
from collections import Counter

import numpy as np
import pytest

from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, TokenCounts, tabular_question, wrong_answer
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Mode, Rules, Utterance, Verdict, initial, transition
from tracer_env.errors import ConfigError

PLAIN = Difficulty(
    first=0.6,
    after_none=(0.5, 0.7),
    after_right=(0.1, 0.9),
    after_wrong=(0.4, 0.3),
    coincide=0.75,
    unparsed_proposal=0.1,
    sensitivity=0.8,
    specificity=0.9,
    unparsed_review=0.2,
)
SPEAKER = TabularSpeaker(difficulties=(PLAIN,), wrong_answers=2, tokens=TokenCounts(proposal=50, review=30, spread=5))
QUESTION = tabular_question(7)


def said(answer: str | None = None, verdict: Verdict | None = None) -> Utterance:
    return Utterance(text="", answer=answer, verdict=verdict)


def after(*utterances: Utterance):
    """The state whose speaker is awaited after these utterances, one a round."""
    state = initial(Rules(), QUESTION.text)
    for utterance in utterances:
        state = transition(transition(state, Mode.SPEAK), utterance)
    return transition(state, Mode.SPEAK)


def chances(*utterances: Utterance) -> dict:
    outcomes = SPEAKER.outcomes(QUESTION, after(*utterances))
    return {said.answer if len(utterances) % 2 == 0 else said.verdict: chance for chance, said in outcomes}


def test_first_proposal():
    assert chances() == pytest.approx({"7": 0.9 * 0.6, "8": 0.9 * 0.4 * 0.75, "9": 0.9 * 0.4 * 0.25, None: 0.1})


@pytest.mark.parametrize(
    ("answer", "right", "wrong"),
    [("7", 0.9, 0.1), ("8", 1 - 0.8, 0.8), (None, 1 - 0.8, 0.8)],
    ids=["right", "wrong", "unreadable"],
)
def test_review(answer, right, wrong):
    expected = {Verdict.RIGHT: 0.8 * right, Verdict.WRONG: 0.8 * wrong, None: 0.2}
    assert chances(said(answer)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("verdict", "wrong", "right"),
    [(Verdict.RIGHT, 0.1, 0.9), (Verdict.WRONG, 0.4, 0.3), (None, 0.5, 0.7)],
)
def test_later_proposals_depend_on_the_verdict_and_on_what_was_pending(verdict, wrong, right):
    assert chances(said("7"), said(verdict=verdict))["7"] == pytest.approx(0.9 * right)
    assert chances(said("9"), said(verdict=verdict))["7"] == pytest.approx(0.9 * wrong)


def test_samples_follow_the_outcomes():
    state, n = after(said("8"), said(verdict=Verdict.WRONG)), 4000
    requests = [SpeakRequest(episode=Episode(question=QUESTION, seed=seed), state=state) for seed in range(n)]
    utterances = SPEAKER.speak(requests)
    seen = Counter(utterance.answer for utterance in utterances)
    expected = chances(said("8"), said(verdict=Verdict.WRONG))
    chi2 = sum((seen[answer] - n * chance) ** 2 / (n * chance) for answer, chance in expected.items())
    assert chi2 < 16.3  # the 99.9% point with 3 degrees of freedom
    tokens = np.array([utterance.generated_tokens for utterance in utterances])
    assert (tokens.min(), tokens.max()) == (45, 55)
    assert abs(tokens.mean() - 50) < 4 * np.sqrt(10 / n)


def test_an_utterance_is_a_function_of_its_noise_seed():
    requests = [
        SpeakRequest(episode=Episode(question=QUESTION, seed=3), state=after(), candidate=candidate)
        for candidate in range(20)
    ]
    together = SPEAKER.speak(requests)
    assert [SPEAKER.speak([request])[0] for request in reversed(requests)] == together[::-1]
    assert len({utterance.answer for utterance in together}) > 1


def test_difficulties_are_drawn_by_weight():
    speaker = TabularSpeaker.load()
    n = 4000
    seen = np.bincount([speaker.difficulty_of(tabular_question(index)) for index in range(n)], minlength=3) / n
    assert np.all(np.abs(seen - speaker.weights) < 4 * np.sqrt(speaker.weights / n))
    assert [speaker.difficulty_of(question) for question in speaker.representatives()] == [0, 1, 2]


def test_wrong_answers_are_wrong_and_distinct():
    for gold in ("12", "B", "x^2"):
        answers = [wrong_answer(gold, rank) for rank in range(4)]
        assert len({gold, *answers}) == 5


def test_parameter_files(tmp_path):
    path = tmp_path / "mine.json"
    row = {"first": 1, "after_none": [1, 1], "after_right": [1, 1], "after_wrong": [1, 1]}
    row |= {"sensitivity": 1, "specificity": 1}
    path.write_text(json.dumps({"difficulties": [row], "wrong_answers": 1}))
    speaker = TabularSpeaker.load(path)
    assert [(chance, said.answer) for chance, said in speaker.outcomes(QUESTION, after())] == [(1.0, "7")]
    path.write_text(json.dumps({"difficulties": [row | {"frist": 1}]}))
    with pytest.raises(ConfigError, match="frist"):
        TabularSpeaker.load(path)
    path.write_text("{")
    with pytest.raises(ConfigError, match=r"mine\.json"):
        TabularSpeaker.load(path)
    with pytest.raises(ConfigError, match="cannot read"):
        TabularSpeaker.load("no_such_speaker")


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: TabularSpeaker(difficulties=()), "difficulties"),
        (lambda: TabularSpeaker(difficulties=(PLAIN,), wrong_answers=0), "wrong_answers"),
        (lambda: TokenCounts(proposal=5, review=9, spread=5), "spread"),
        (
            lambda: Difficulty(
                first=1.2, after_none=(0, 0), after_right=(0, 0), after_wrong=(0, 0), sensitivity=1, specificity=1
            ),
            "first",
        ),
        (
            lambda: Difficulty(
                weight=0,
                first=1,
                after_none=(0, 0),
                after_right=(0, 0),
                after_wrong=(0, 0),
                sensitivity=1,
                specificity=1,
            ),
            "weight",
        ),
    ],
)
def test_parameters_out_of_range(make, field):
    with pytest.raises(ConfigError, match=field):
        make()
