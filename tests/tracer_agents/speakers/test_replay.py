"""Recorded completions: read, said, and every malformed line named."""

import json
from typing import ClassVar

import pytest

from tracer_agents.speakers.replay import Completion, ReplaySpeaker, load_replay
from tracer_agents.types import Episode, SpeakRequest
from tracer_env.dialogue import Mode, Rules, Utterance, initial, transition
from tracer_env.errors import DataError
from tracer_env.grading.choice import Choice
from tracer_env.tasks.arithmetic import Arithmetic
from tracer_env.tasks.base import Question
from tracer_env.tasks.rows import question_hash

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


def asked(question: str) -> Question:
    return Question(id="q", text=question, gold="1")


def ask(question: str = "Q", candidate: int = 0) -> SpeakRequest:
    episode = Episode(question=asked(question), seed=0)
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
    assert [len(speakers["a"].samples_of(asked(question))) for question in ("Q", "R")] == [1, 0]


def test_without_a_model_or_sample_the_order_counts(written):
    speakers = load_replay(written(row(completion="#### 1"), row(completion="#### 2")), TASK)
    assert [said.answer for said in speakers["recorded"].speak([ask(candidate=0), ask(candidate=1)])] == ["1", "2"]


def test_null_fields_are_absent_ones(written):
    speakers = load_replay(written(row(model=None, sample=None, gold=None, generated_tokens=None)), TASK)
    [sample] = speakers["recorded"].samples_of(asked("Q"))
    assert sample == Completion(question="Q", completion="#### 1", where=sample.where)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON in UTF-8"),
        ("[" * 100_000, "not JSON in UTF-8"),
        ("[1]", "a list; each line must be one JSON object"),
        ('"text"', "a str; each line must be one JSON object"),
        (json.dumps({"completion": "x"}), "field 'question' must be a string, got None"),
        (json.dumps({"question": "Q"}), "field 'completion' must be a string, got None"),
        (json.dumps(row(completion=3)), "field 'completion' must be a string, got 3"),  # pyright: ignore[reportArgumentType]
        (json.dumps(row(model=7)), "field 'model' must be a string without NUL or lone surrogates, got 7"),
        (json.dumps(row(sample="0")), "field 'sample' must be an integer ≥ 0, got '0'"),
        (json.dumps(row(sample=-1)), "field 'sample' must be an integer ≥ 0, got -1"),
        (json.dumps(row(sample=True)), "field 'sample' must be an integer ≥ 0, got True"),
        (json.dumps(row(sample=1.0)), "field 'sample' must be an integer ≥ 0, got 1.0"),
        (json.dumps(row(choices="AB")), "field 'choices' must be a list of strings, got 'AB'"),
        (json.dumps(row(generated_tokens=-2)), "field 'generated_tokens' must be an integer ≥ 0"),
        (json.dumps(row(model="\ud800")), "field 'model' must be a string without NUL or lone surrogates"),
    ],
)
def test_malformed_lines_are_named(written, line, problem):
    path = written(row(), "", line)
    with pytest.raises(DataError) as error:
        load_replay(path, TASK)
    assert f"{path}, line 3: " in str(error.value)
    assert problem in str(error.value)


def test_samples_without_a_number_take_the_free_ones(written):
    rows = [row(completion=f"#### {n}", **({} if n in (2, 4) else {"sample": n})) for n in (1, 2, 0, 4)]
    [speaker] = load_replay(written(*rows), TASK).values()
    assert [utterance.answer for utterance in speaker.speak([ask(candidate=c) for c in range(4)])] == [*"0124"]


def test_a_sample_that_is_there_already_is_named(written):
    with pytest.raises(DataError, match=r"line 3: sample 0 of 'recorded' for this question is there already"):
        load_replay(written(row(sample=0), row(), row("q ", sample=0)), TASK)


def test_a_gold_of_any_type_is_ignored(written):
    path = written(row(gold=1), row(gold=None), row(gold=["x"]), row(gold="\ud800"))
    assert len(load_replay(path, TASK)["recorded"].samples_of(asked("Q"))) == 4


def test_a_byte_order_mark_is_no_fault(written):
    path = written(row())
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load_replay(path, TASK)["recorded"].speak([ask()])[0].answer == "1"


def test_questions_are_matched_whatever_their_spacing_and_case(written):
    [speaker] = load_replay(written(row("How  many\n eggs? "), row("HOW many eggs?"), row("Who?")), TASK).values()
    assert len(speaker.samples_of(asked("How many eggs?"))) == 2
    assert speaker.unmatched([asked("How many eggs?"), asked("Why?")]) == 1


class TestLetters:
    """A multiple-choice question that another program showed in an order of its own."""

    TASK = Choice()
    SHOWN = "Which is red?\n\n(A) grass\n(B) blood\n(C) the sky"
    CHOICES: ClassVar = ["the sky", "grass ", "Blood"]

    def answers(self, path) -> list[str | None]:
        [speaker] = load_replay(path, self.TASK).values()  # pyright: ignore[reportArgumentType]  # it parses
        count = len(speaker.samples_of(asked(self.SHOWN)))
        return [utterance.answer for utterance in speaker.speak([ask(self.SHOWN, c) for c in range(count)])]

    def test_stand_for_the_choices_in_the_row(self, written):
        rows = [row("Which is red?", f"#### {letter}", choices=self.CHOICES) for letter in "ABCD"]
        assert self.answers(written(*rows)) == ["C", "A", "B", None]

    def test_are_the_questions_own_where_its_whole_text_was_recorded(self, written):
        assert self.answers(written(row(self.SHOWN, "#### C", choices=self.CHOICES))) == ["C"]

    def test_without_choices_say_nothing(self, written):
        path = written(row("Which is red?", "#### C"))
        assert self.answers(path) == []
        assert load_replay(path, self.TASK)["recorded"].unmatched([asked(self.SHOWN)]) == 1  # pyright: ignore[reportArgumentType]

    def test_of_other_choices_are_refused_by_name(self, written):
        with pytest.raises(DataError, match=r"line 2: choice C .'rust'. is none of the question's"):
            self.answers(written("", row("Which is red?", "#### C", choices=["grass", "blood", "rust"])))


@pytest.mark.parametrize("rows", [(), ("", "  ")])
def test_empty_files(written, rows):
    with pytest.raises(DataError, match="no completions in it"):
        load_replay(written(*rows), TASK)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match=r"absent\.jsonl: cannot be read"):
        load_replay(tmp_path / "absent.jsonl", TASK)
    binary = tmp_path / "binary.jsonl"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match=r"binary\.jsonl, line 1: not JSON in UTF-8"):
        load_replay(binary, TASK)


def test_unruly_texts_become_usable(written):
    [said] = load_replay(written(row(completion="a\0b\ud800\n#### 5")), TASK)["recorded"].speak([ask()])
    assert (said.text, said.answer) == ("a\ufffdb\ufffd\n#### 5", "5")


def test_only_first_proposals_were_recorded():
    speaker = ReplaySpeaker(
        name="m", task=TASK, completions={question_hash("Q"): [Completion(question="Q", completion="#### 1")]}
    )
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
