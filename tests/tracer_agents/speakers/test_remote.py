"""Speakers behind a chat server: what they are shown, and how what came back becomes an utterance."""

from dataclasses import replace
from math import log

import pytest

from tracer_agents.build import build
from tracer_agents.config import load_config
from tracer_agents.generation.openai.orders import ChatCompletion
from tracer_agents.rollout.records import Outcome, record_dialogues
from tracer_agents.speakers.model import View
from tracer_agents.speakers.prompts import prompts_for
from tracer_agents.speakers.remote import OpenAISpeakers, listed_p_right, spoken_verdict
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import FinishReason, Mode, Role, Rules, Verdict, initial, transition
from tracer_env.spaces import MAX_CHARS
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Question

EPISODE = Episode(question=Question(id="q", text="How many?", gold="7"), seed=5)
SOLVE = View(role=Role.PROPOSER, question="How many?", solution=None, review=None, seed=3)


class Scripted:
    """Completes by a function of the request, and keeps what was asked."""

    def __init__(self, say) -> None:
        self.say = say
        self.asked = []

    def complete(self, requests):
        self.asked += requests
        return [self.say(request) for request in requests]


def said(text: str, **changed) -> ChatCompletion:
    return ChatCompletion(
        **{"text": text, "finish_reason": FinishReason.STOP, "prompt_tokens": 9, "generated_tokens": 4, **changed}
    )


def speakers(say, **changed) -> OpenAISpeakers:
    settings = {"prompts": prompts_for("chat"), "proposer_max_new_tokens": 32, "reviewer_max_new_tokens": 16, **changed}
    return OpenAISpeakers(client=Scripted(say), task=Arithmetic(), **settings)


def test_a_proposal_and_a_review_are_asked_for_and_read():
    script = speakers(lambda request: said("Verdict: WRONG" if request.max_new_tokens == 16 else "so\n#### 7"))
    start = transition(initial(Rules(), "How many?"), Mode.SPEAK)
    [proposal] = script.speak([SpeakRequest(episode=EPISODE, state=start)])
    reviewing = transition(transition(start, proposal), Mode.SPEAK)
    [review] = script.speak([SpeakRequest(episode=EPISODE, state=reviewing)])
    assert (proposal.answer, proposal.verdict, review.answer, review.verdict) == ("7", None, None, Verdict.WRONG)
    assert (proposal.prompt_tokens, proposal.generated_tokens) == (9, 4)
    first, second = script.client.asked
    shown = prompts_for("chat").messages(
        question="How many?", role=Role.REVIEWER, solution="so\n#### 7", review=None, answer_format=""
    )
    assert second.messages == tuple((message["role"], message["content"]) for message in shown)
    assert first.seed == SpeakRequest(episode=EPISODE, state=start).noise_seed != second.seed


def test_what_the_server_did_not_count_or_give_is_said():
    [utterance] = speakers(lambda _: said("#### 7", counted=False)).complete([SOLVE])
    assert (utterance.counted, utterance.logps) == (False, None)
    [utterance] = speakers(lambda _: said("#### 7", logps=(-0.5,))).complete([SOLVE])
    assert (utterance.counted, utterance.logps) == (True, (-0.5,))


def test_a_hostile_text_keeps_its_ends_and_becomes_usable():
    [utterance] = speakers(lambda _: said("a\x00\ud800" + "x" * 3 * MAX_CHARS + "\n#### 7")).complete([SOLVE])
    assert len(utterance.text) == MAX_CHARS
    assert utterance.text.startswith("a��x")
    assert utterance.answer == "7"


@pytest.mark.parametrize("text", ["<think>#### 9</think>\n#### 7", "#### 9\n</think>\n#### 7"])
def test_a_thought_within_the_text_is_no_answer(text):
    [utterance] = speakers(lambda _: said(text)).complete([SOLVE])
    assert utterance.answer == "7"


def test_an_utterance_that_never_came_is_a_failed_dialogue():
    script = speakers(lambda _: ChatCompletion(text="", finish_reason=FinishReason.FAILED))
    start = transition(initial(Rules(rounds=1), "How many?"), Mode.SPEAK)
    [utterance] = script.speak([SpeakRequest(episode=EPISODE, state=start)])
    assert (utterance.finish_reason, utterance.generated_tokens) == (FinishReason.FAILED, 0)
    [record] = record_dialogues(
        [EPISODE], [transition(start, utterance)], Arithmetic(), method="team", phase="after", seed=0
    )
    assert record.grade is Outcome.FAILED


def test_quotes_are_shortened_until_the_prompt_fits():
    def say(request):
        fits = len(request.messages[0][1]) < 3_000
        return said("Verdict: RIGHT") if fits else ChatCompletion(text="", finish_reason=FinishReason.TOO_LONG)

    script = speakers(say)
    long = View(role=Role.REVIEWER, question="How many?", solution="x" * 5_000, review=None, seed=3)
    short = replace(long, solution="#### 7")
    reviews = script.complete([long, short])
    assert [review.verdict for review in reviews] == [Verdict.RIGHT, Verdict.RIGHT]
    assert [review.omitted_characters for review in reviews] == [5_000 - 1_500, 0]
    assert len(script.client.asked) == 2 + 2  # both whole, then one at 3,000 and at 1,500 characters


def test_a_question_that_never_fits_is_asked_once_and_says_nothing():
    script = speakers(lambda _: ChatCompletion(text="", finish_reason=FinishReason.TOO_LONG))
    [utterance] = script.complete([SOLVE])
    assert (utterance.text, utterance.finish_reason) == ("", FinishReason.TOO_LONG)
    assert len(script.client.asked) == 1


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Yes", "RIGHT"),
        (" yes.", "RIGHT"),
        ("**No**", "WRONG"),
        ("Y", "RIGHT"),  # one token of a word that has two
        (" n", "WRONG"),
        ("Not sure", None),
        ("", None),
        ("Yesterday", None),
        ("No" * 3, None),
    ],
)
def test_a_word_or_its_beginning_is_a_verdict(text, verdict):
    assert spoken_verdict(text, ("Yes", "No")) == verdict


def test_the_beginning_of_both_words_is_no_verdict():
    assert spoken_verdict("co", ("correct", "contradicted")) is None


def listed(**chances: float) -> tuple[tuple[str, float], ...]:
    return tuple((token.replace("_", " "), log(chance)) for token, chance in chances.items())


@pytest.mark.parametrize(
    ("likeliest", "expected"),
    [
        (listed(Yes=0.6, No=0.2), 0.75),
        (listed(Yes=0.3, No=0.1, _Yes=0.2, yes=0.1, _no=0.1, N=0.1, The=0.1), 0.6 / 0.9),
        (listed(Yes=0.6, Well=0.2, Ah=0.1), 0.6 / 0.7),  # No is at most as likely as the last in the list
        (listed(No=0.6, Well=0.2, Ah=0.1), 0.1 / 0.7),
        (listed(Yes=0.5, Well=0.48), 0.5 / 0.52),  # nor likelier than what is left
        (listed(Yes=0.99), 0.99),
        ((("Yes", 0.0005),), 1.0),  # a server's rounding
        ((("Yes", -1.0), ("No", -9999.0)), 1.0),
        ((("Yes", -9999.0), ("No", -9999.0)), None),
        (listed(Well=0.6, Yesterday=0.2, Not=0.1, _=0.1), None),
        ((), None),
        (None, None),
    ],
)
def test_the_probability_of_right_is_that_among_the_tokens_that_begin_the_words(likeliest, expected):
    assert listed_p_right(likeliest, ("Yes", "No")) == (None if expected is None else pytest.approx(expected))


def test_case_tells_words_apart_before_it_is_ignored():
    both = listed(R=0.3, r=0.1)
    assert listed_p_right(both, ("RIGHT", "rong")) == pytest.approx(0.75)
    assert listed_p_right(listed(c=0.4, C=0.2), ("Correct", "Contradicted")) is None  # begins both, in any case


def test_a_verdict_is_one_token_and_asks_for_the_likeliest():
    short = speakers(
        lambda _: said(" Yes", finish_reason=FinishReason.LENGTH, likeliest=listed(Yes=0.6, No=0.2)),
        prompts=prompts_for("chat", review="verdict"),
        reviewer_max_new_tokens=1,
    )
    reviewing = replace(SOLVE, role=Role.REVIEWER, solution="#### 7")
    review, proposal = short.complete([reviewing, SOLVE])
    assert (review.text, review.verdict, review.p_right) == ("Verdict: RIGHT", Verdict.RIGHT, pytest.approx(0.75))
    assert (review.finish_reason, proposal.finish_reason) == (FinishReason.STOP, FinishReason.LENGTH)
    assert proposal.p_right is None
    assert [(request.max_new_tokens, request.likeliest) for request in short.client.asked] == [(1, 20), (32, 0)]


@pytest.mark.parametrize(("given", "expected"), [(True, 0.75), (False, None)])
def test_a_server_gives_the_probability_with_its_log_probabilities_alone(doubles, tmp_path, given, expected):
    def say(body):
        top = [{"token": token, "logprob": logp} for token, logp in listed(RIGHT=0.6, WR=0.2)]
        place = {"token": "WR", "logprob": log(0.2), "top_logprobs": top}
        choice = {
            "message": {"role": "assistant", "content": "WR"},
            "finish_reason": "length",
            "logprobs": {"content": [place]} if body.get("logprobs") else None,
        }
        return doubles.answer_for(body, "WR", choices=[choice])

    with doubles.ChatServer(say) as server:
        overrides = {
            "speakers.model": "m",
            "speakers.style": "tiny",
            "speakers.review": "verdict",
            "backend.name": "openai",
            "backend.url": server.url,
            "backend.cache": str(tmp_path),
            "backend.logprobs": given,
        }
        views = [replace(SOLVE, role=Role.REVIEWER, solution="#### 7", seed=seed) for seed in range(3)]
        for _ in range(2):  # the second time from disk
            with build(load_config(overrides=overrides)) as parts:
                reviews = parts.speakers.complete(views)
            assert [review.verdict for review in reviews] == [Verdict.WRONG] * 3
            assert [review.p_right for review in reviews] == [expected and pytest.approx(expected)] * 3
        assert len(server.bodies) == 3
        assert {body["max_tokens"] for body in server.bodies} == {1}
