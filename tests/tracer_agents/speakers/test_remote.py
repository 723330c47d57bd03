"""Speakers behind a chat server: what they are shown, and how what came back becomes an utterance."""

from dataclasses import replace

import pytest

from tracer_agents.generation.openai.orders import ChatCompletion
from tracer_agents.rollout.records import Outcome, record_dialogues
from tracer_agents.speakers.model import View
from tracer_agents.speakers.prompts import prompts_for
from tracer_agents.speakers.remote import OpenAISpeakers, worded_verdict
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import FinishReason, Mode, Role, Rules, Verdict, initial, transition
from tracer_env.grading.verdict import parse_verdict
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
    [("Yes", "RIGHT"), (" yes.", "RIGHT"), ("**No**", "WRONG"), ("Not sure", None), ("", None), ("Yesterday", None)],
)
def test_a_word_is_a_verdict_and_its_probability_is_not_known(text, verdict):
    worded = worded_verdict(text, ("Yes", "No"))
    assert parse_verdict(worded) == verdict
    assert worded == (f"Verdict: {verdict}" if verdict else text)
