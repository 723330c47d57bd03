"""From a state to a prompt, and from a completion to an utterance."""

import copy
from dataclasses import replace

import pytest

from tracer_agents.build import load_policy
from tracer_agents.config import load_config
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.scripted import ScriptedBackend
from tracer_agents.speakers.chat import Chat
from tracer_agents.speakers.model import ModelSpeakers, view_of
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Mode, Role, Rules, Utterance, Verdict, initial, transition
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Question

TEMPLATE = (
    "{%- for message in messages -%}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|assistant|>{%- endif -%}"
)
EPISODE = Episode(question=Question(id="q", text="How many?", gold="7"), seed=5)


@pytest.fixture(scope="module")
def tokenizer(small_settings):
    return load_policy(load_config(overrides=small_settings)).tokenizer


@pytest.fixture
def speakers(tokenizer):
    def make(say, context: int = 512, temperature: float = 1.0) -> tuple[ModelSpeakers, list[GenerationRequest]]:
        asked: list[GenerationRequest] = []

        def script(request: GenerationRequest) -> str:
            asked.append(request)
            return say

        return ModelSpeakers(
            backend=ScriptedBackend(script=script),
            chat=Chat(tokenizer=tokenizer),
            task=Arithmetic(),
            style="tiny",
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


def test_prompts_too_long_lose_their_beginning(speakers, tokenizer):
    short, asked = speakers("", context=60)
    short.speak([after(), after("s" * 100)])
    whole, full = speakers("")
    whole.speak([after(), after("s" * 100)])
    assert asked[0].prompt_ids == full[0].prompt_ids[-20:]
    assert asked[1].prompt_ids == full[1].prompt_ids[-20:]  # whoever may say more sets the room, as roles share a batch
    assert tokenizer.decode(asked[1].prompt_ids).endswith("<|user|>Review.<|end|><|assistant|>")


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
