"""Recorded completions: read, said, and every malformed line named."""

import json

import pytest

from tracer_agents.speakers.replay import Completion, ReplaySpeaker, load_replay
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Mode, Rules, Utterance, initial, transition
from tracer_env.errors import DataError
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Question

TASK = Arithmetic()


@pytest.fixture
def written(tmp_path):
    def write(*rows: object):
        path = tmp_path / "answers.jsonl"
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        path.write_bytes(text.encode("utf-8"))
        return path

    return write


def row(question: str = "Q", completion: str = "#### 1", **rest: object) -> dict[str, object]:
    return {"question": question, "completion": completion, **rest}


def ask(question: str = "Q", candidate: int = 0) -> SpeakRequest:
    episode = Episode(question=Question(id="q", text=question, gold="1"), seed=0)
    return SpeakRequest(episode=episode, state=transition(initial(Rules(), question), Mode.SPEAK), candidate=candidate)


def test_completions_by_model_question_and_sample(written):
    path = written(
        row(completion="#### 1", model="a"),
        row(completion="#### 3", model="b", sample=1, generated_tokens=9),
        row(completion="well\n#### 2", model="b", sample=0, gold="2"),
        "",
        row("R", "none", model="b"),
    )
    speakers = load_replay(path, TASK)
    assert list(speakers) == ["a", "b"]
    first, second = speakers["b"].speak([ask(candidate=0), ask(candidate=1)])
    assert (first.text, first.answer, first.generated_tokens) == ("well\n#### 2", "2", 3)  # words, where not counted
    assert (second.answer, second.generated_tokens) == ("3", 9)
    assert speakers["b"].speak([ask("R")])[0].answer is None
    assert [speakers["a"].samples_of(question) for question in ("Q", "R")] == [1, 0]
    assert speakers["b"].completions["Q"][0].gold == "2"


def test_without_a_model_or_sample_the_order_counts(written):
    speakers = load_replay(written(row(completion="#### 1"), row(completion="#### 2")), TASK)
    assert [said.answer for said in speakers["recorded"].speak([ask(candidate=0), ask(candidate=1)])] == ["1", "2"]


def test_null_fields_are_absent_ones(written):
    speakers = load_replay(written(row(model=None, sample=None, gold=None, generated_tokens=None)), TASK)
    assert speakers["recorded"].completions["Q"] == [Completion(question="Q", completion="#### 1")]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not a JSON object"),
        ("[" * 100_000, "not a JSON object"),
        ("[1]", "not a JSON object but list"),
        ('"text"', "not a JSON object but str"),
        (json.dumps({"completion": "x"}), "field 'question' must be a string, got None"),
        (json.dumps({"question": "Q"}), "field 'completion' must be a string, got None"),
        (json.dumps(row(completion=3)), "field 'completion' must be a string, got 3"),  # pyright: ignore[reportArgumentType]
        (json.dumps(row(model=7)), "field 'model' must be a string without NUL or lone surrogates, got 7"),
        (json.dumps(row(sample="0")), "field 'sample' must be an integer ≥ 0, got '0'"),
        (json.dumps(row(sample=-1)), "field 'sample' must be an integer ≥ 0, got -1"),
        (json.dumps(row(sample=True)), "field 'sample' must be an integer ≥ 0, got True"),
        (json.dumps(row(sample=1.0)), "field 'sample' must be an integer ≥ 0, got 1.0"),
        (json.dumps(row(gold=1)), "field 'gold' must be a string"),
        (json.dumps(row(generated_tokens=-2)), "field 'generated_tokens' must be an integer ≥ 0"),
        (json.dumps(row(sample=0)), "sample 0 of 'recorded' for this question is there already"),
        (json.dumps(row(model="\ud800")), "field 'model' must be a string without NUL or lone surrogates"),
    ],
)
def test_malformed_lines_are_named(written, line, problem):
    path = written(row(), "", line)
    with pytest.raises(DataError) as error:
        load_replay(path, TASK)
    assert f"{path}:3: " in str(error.value)
    assert problem in str(error.value)


def test_samples_that_repeat_by_order_are_found_too(written):
    path = written(row(sample=1), row())
    with pytest.raises(DataError, match=":2: sample 1 of"):
        load_replay(path, TASK)


@pytest.mark.parametrize("rows", [(), ("", "  ")])
def test_empty_files(written, rows):
    with pytest.raises(DataError, match="no completions in it"):
        load_replay(written(*rows), TASK)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"absent\.jsonl: cannot be read"):
        load_replay(tmp_path / "absent.jsonl", TASK)
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"binary\.jsonl: cannot be read as UTF-8"):
        load_replay(binary, TASK)


def test_unruly_texts_become_usable(written):
    [said] = load_replay(written(row(completion="a\0b\ud800\n#### 5")), TASK)["recorded"].speak([ask()])
    assert (said.text, said.answer) == ("a\ufffdb\ufffd\n#### 5", "5")


def test_only_first_proposals_were_recorded():
    speaker = ReplaySpeaker(name="m", task=TASK, completions={"Q": [Completion(question="Q", completion="#### 1")]})
    state = transition(ask().state, Utterance(text="#### 1", answer="1"))
    for rounds in (1, 2):
        later = SpeakRequest(episode=ask().episode, state=transition(state, Mode.SPEAK))
        with pytest.raises(DataError, match="cannot review or revise"):
            speaker.speak([later])
        state = transition(state, Mode.SKIP)
        assert state.round == rounds + 2
    with pytest.raises(DataError, match="sample 1 of 'Q' was not recorded"):
        speaker.speak([ask(candidate=1)])
    with pytest.raises(DataError, match="sample 0 of 'S' was not recorded"):
        speaker.speak([ask("S")])
