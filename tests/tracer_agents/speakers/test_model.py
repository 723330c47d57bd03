"""From a state to a prompt, and from a completion to an utterance."""

import copy
import json
from dataclasses import replace

import pytest

from tracer_agents.build import load_policy
from tracer_agents.config import load_config
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.scripted import ScriptedBackend
from tracer_agents.rollout.records import Outcome, record_dialogues, record_from_json
from tracer_agents.speakers.chat import Chat
from tracer_agents.speakers.model import ModelSpeakers, view_of
from tracer_agents.speakers.prompts import prompts_for
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import FinishReason, Mode, Role, Rules, Utterance, Verdict, initial, transition
from tracer_env.errors import ConfigError
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Question

TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
RIGHT, WRONG = 70, 71
EPISODE = Episode(question=Question(id="q", text="How many?", gold="7"), seed=5)


@pytest.fixture(scope="module")
def tokenizer(small_settings):
    return load_policy(load_config(overrides=small_settings)).tokenizer


@pytest.fixture
def speakers(tokenizer):
    def make(
        say, context: int = 512, temperature: float = 1.0, review="worked"
    ) -> tuple[ModelSpeakers, list[GenerationRequest]]:
        asked: list[GenerationRequest] = []

        def script(request: GenerationRequest) -> str | tuple[float, ...]:
            asked.append(request)
            return say

        return ModelSpeakers(
            backend=ScriptedBackend(script=script),
            chat=Chat(tokenizer=tokenizer),
            task=Arithmetic(),
            prompts=prompts_for("tiny", review=review),
            verdict_ids=(RIGHT, WRONG) if review == "verdict" else (),
            proposer_max_new_tokens=40,
            reviewer_max_new_tokens=20,
            context=context,
            temperature=temperature,
        ), asked

    return make


def after(*texts: str | None) -> SpeakRequest:
    """The request of the speaker who is next after these utterances; None is a skipped round."""
    state = initial(Rules(), EPISODE.question.text)
    for text in texts:
        state = (
            transition(state, Mode.SKIP)
            if text is None
            else transition(transition(state, Mode.SPEAK), Utterance(text=text))
        )
    return SpeakRequest(episode=EPISODE, state=transition(state, Mode.SPEAK))


@pytest.mark.parametrize(
    ("spoken", "role", "solution", "review"),
    [
        ((), Role.PROPOSER, None, None),
        (("s",), Role.REVIEWER, "s", None),
        (("s", "r"), Role.PROPOSER, "s", "r"),
        (("s", None), Role.PROPOSER, "s", None),
        (("s", "r", None), Role.REVIEWER, "s", "r"),
        (("s", "r", "t"), Role.REVIEWER, "t", None),
        (("s", "r", None, "q"), Role.PROPOSER, "s", "q"),
        (("", ""), Role.PROPOSER, "", ""),
    ],
)
def test_what_a_speaker_sees(spoken, role, solution, review):
    view = view_of(after(*spoken).state, seed=1)
    assert (view.role, view.question, view.solution, view.review, view.seed) == (role, "How many?", solution, review, 1)


def test_requests_of_the_engine(speakers, tokenizer):
    made, asked = speakers("#### 7", temperature=0.5)
    made.speak([after(), after("s")])
    assert [request.max_new_tokens for request in asked] == [40, 20]
    assert [request.seed for request in asked] == [after().noise_seed, after("s").noise_seed]
    assert {request.temperature for request in asked} == {0.5}
    assert tokenizer.decode(asked[0].prompt_ids) == "<|user|>How many?<|end|><|assistant|>"
    assert tokenizer.decode(asked[1].prompt_ids) == (
        "<|user|>How many?<|end|><|assistant|>s<|end|><|user|>Review.<|end|><|assistant|>"
    )
    assert made.backend.calls == [2]


def test_candidates_have_noise_of_their_own(speakers):
    made, asked = speakers("")
    request = after()
    made.speak([SpeakRequest(episode=EPISODE, state=request.state, candidate=candidate) for candidate in range(5)])
    assert len({request.seed for request in asked}) == 5
    assert len({request.prompt_ids for request in asked}) == 1


def test_proposals_are_read_for_answers_and_reviews_for_verdicts(speakers):
    made, _ = speakers("Verdict: WRONG\n#### 7")
    proposal, review = made.speak([after(), after("s")])
    assert (proposal.answer, proposal.verdict) == ("7", None)
    assert (review.answer, review.verdict) == (None, Verdict.WRONG)
    assert proposal.generated_tokens == len("Verdict: WRONG\n#### 7")
    assert proposal.generation.text == proposal.text
    assert proposal.prompt_tokens == len(proposal.generation.prompt_ids)
    assert (proposal.finish_reason, review.finish_reason) == ("stop", "length")


def test_what_is_trained_on_stays_the_engines(speakers):
    """The text is made usable; the tokens are not touched."""
    made, _ = speakers("\0#### 7")
    [utterance] = made.speak([after()])
    assert utterance.text == "\ufffd#### 7"
    assert utterance.generation.output_ids == tuple(b"\0#### 7")


LONG = "".join(f"{step}. Ana has {step} pens and buys {step} more.\n" for step in range(60)) + "#### 7"


def test_what_does_not_fit_is_left_out_of_the_middle_of_quoted_texts(speakers, tokenizer):
    """Of a review first, then of solutions; the question, and how texts begin and end, stay."""
    made, asked = speakers("", context=340)
    whole, cut, revised = made.speak([after("s"), after(LONG), after(LONG, "Step 1 is wrong. " * 60)])
    assert [len(request.prompt_ids) <= 300 for request in asked] == [True] * 3
    assert (whole.omitted_characters, whole.finish_reason) == (0, FinishReason.STOP)
    for utterance, request in zip((cut, revised), asked[1:], strict=True):
        shown = tokenizer.decode(request.prompt_ids)
        assert shown.startswith("<|user|>How many?<|end|><|assistant|>0. Ana has 0 pens")
        assert "[…]" in shown
        assert "#### 7<|end|>" in shown
        assert 0 < utterance.omitted_characters < len(LONG) + 17 * 60
    assert tokenizer.decode(asked[2].prompt_ids).endswith("is wrong.<|end|><|user|>Revise.<|end|><|assistant|>")


def test_a_review_is_shortened_before_the_solution(speakers, tokenizer):
    made, asked = speakers("", context=340)
    [utterance] = made.speak([after("0 + 7 = 7\n#### 7", "Step 1 is wrong. " * 60)])
    assert "0 + 7 = 7\n#### 7<|end|>" in tokenizer.decode(asked[0].prompt_ids)
    assert 0 < utterance.omitted_characters < 17 * 60


def test_a_question_that_does_not_fit_is_an_outcome_of_its_own(speakers):
    """The engine is not asked, nobody else's utterance is lost, and the record says why."""
    made, asked = speakers("#### 7", context=340)
    long = replace(EPISODE, question=replace(EPISODE.question, text="How many pens? " * 100))
    state = transition(initial(Rules(), long.question.text), Mode.SPEAK)
    said, unsaid = made.speak([after(), SpeakRequest(episode=long, state=state)])
    assert (said.answer, len(asked)) == ("7", 1)
    assert (unsaid.text, unsaid.answer, unsaid.generated_tokens) == ("", None, 0)
    assert unsaid.finish_reason is FinishReason.TOO_LONG
    final = initial(Rules(rounds=1), long.question.text)
    final = transition(transition(final, Mode.SPEAK), unsaid)
    [record] = record_dialogues([long], [final], Arithmetic(), method="team", phase="test", seed=0)
    assert (record.grade, record.correct) == (Outcome.TOO_LONG, False)
    assert record_from_json(json.loads(json.dumps(record.as_json()))) == record


def test_what_was_left_out_is_in_the_record(speakers):
    made, _ = speakers("Verdict: RIGHT", context=340)
    request = after(LONG)
    [review] = made.speak([request])
    final = transition(request.state, review)
    while len(final.turns) < final.rules.rounds:
        final = transition(final, Mode.SKIP)
    [record] = record_dialogues([EPISODE], [final], Arithmetic(), method="team", phase="test", seed=0)
    rows = record.as_json()["turns"]
    assert rows[1]["omitted_characters"] == review.omitted_characters > 0
    assert "omitted_characters" not in rows[0]
    assert record_from_json(json.loads(json.dumps(record.as_json()))) == record


def test_thoughts_are_neither_graded_nor_quoted(speakers, tokenizer):
    made, asked = speakers("<think>#### 9</think>#### 7")
    [proposal] = made.speak([after()])
    assert proposal.answer == "7"
    made, asked = speakers("")
    made.speak([after("<think>Verdict: WRONG</think>\nSo it is\n#### 7")])
    assert tokenizer.decode(asked[0].prompt_ids).endswith(
        "<|assistant|>So it is\n#### 7<|end|><|user|>Review.<|end|><|assistant|>"
    )


def test_a_thought_that_was_cut_off_has_no_answer(speakers):
    made, _ = speakers("<think>#### 9\nVerdict: WRONG")
    proposal, review = made.speak([after(), after("s")])
    assert (proposal.answer, review.verdict) == (None, None)


def test_a_thought_that_the_template_opens_is_a_thought(speakers, tokenizer):
    """The completion begins within the thought: its text says so."""
    thinking = copy.copy(tokenizer)
    thinking.chat_template = TEMPLATE.replace("<|assistant|>{%- endif", "<|assistant|><think>{%- endif")
    made, _ = speakers("#### 9 or so</think>#### 7")
    made = replace(made, chat=Chat(tokenizer=thinking))
    [whole] = made.speak([after()])
    assert (whole.text, whole.answer) == ("<think>#### 9 or so</think>#### 7", "7")
    cut, _ = speakers("#### 9 or so")
    [cut_off] = replace(cut, chat=Chat(tokenizer=thinking)).speak([after()])
    assert cut_off.answer is None


@pytest.mark.parametrize(("logps", "says", "sure"), [((-1.0, -3.0), "RIGHT", 0.8808), ((-9.0, -8.0), "WRONG", 0.2689)])
def test_a_verdict_is_one_token_whose_probability_is_known(speakers, logps, says, sure):
    short, asked = speakers(logps, review="verdict", temperature=0.0)
    [review] = short.speak([after("It is 7.\n#### 7")])
    [request] = asked
    assert request.choices == (RIGHT, WRONG)
    assert (review.text, review.verdict) == (f"Verdict: {says}", Verdict(says))
    assert parse_verdict(review.text) is review.verdict  # as the environment reads it
    assert review.p_right == pytest.approx(sure, abs=1e-4)
    assert (review.generated_tokens, review.prompt_tokens) == (1, len(request.prompt_ids))
    assert review.finish_reason is FinishReason.STOP
    [proposal] = speakers("#### 7", review="verdict")[0].speak([after()])
    assert (proposal.p_right, proposal.answer) == (None, "7")


def test_a_proposer_who_sees_no_reviews_answers_the_question_alone(speakers):
    short, asked = speakers("#### 7")
    state = replace(after("#### 8", "Verdict: WRONG").state, rules=Rules(revisions=False))
    short.speak([after(), SpeakRequest(episode=EPISODE, state=state)])
    assert asked[0].prompt_ids == asked[1].prompt_ids


def test_words_that_begin_with_the_same_token_cannot_be_verdicts(tokenizer):
    chat = Chat(tokenizer=tokenizer)
    right, wrong = chat.choices(("RIGHT", "WRONG"))
    assert (tokenizer.decode([right])[0], tokenizer.decode([wrong])[0]) == ("R", "W")
    with pytest.raises(ConfigError, match="begins 'RIGHT' and 'RIGHTLY' with the same token"):
        chat.choices(("RIGHT", "RIGHTLY"))
