"""Text spaces and spoken texts."""

import copy
import pickle

import numpy as np
import pytest
from gymnasium.spaces import Dict
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.dialogue import FinishReason
from tracer_env.errors import ConfigError, InvalidAction
from tracer_env.spaces import SAMPLE_CHARS, SpokenText, UnicodeText, count_words, usable_text

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=30)  # surrogates and NUL included


@given(text=ANY_TEXT, max_length=st.integers(0, 20))
def test_usable_text_is_in_the_space_and_leaves_members_alone(text, max_length):
    space = UnicodeText(max_length)
    made = usable_text(text, max_length)
    assert space.contains(made)
    assert type(made) is str
    assert (made == text) == space.contains(text)


@pytest.mark.parametrize("max_length", [1, 2, 5, 7, 99, 100, 60_000])
def test_a_long_text_keeps_its_beginning_and_its_end(max_length):
    made = usable_text("<think>" + "x" * 70_000 + "#### 7", max_length)
    assert len(made) == max_length
    assert made.endswith("#### 7"[-((max_length + 1) // 2) :])
    assert max_length < 100 or made.startswith("<think>")


@pytest.mark.parametrize("text", ["", "abc", "é😀日本語", "\n\t\x1b", "x" * 10])
def test_real_text_is_a_member(text):
    assert text in UnicodeText(10)


@pytest.mark.parametrize("text", ["x" * 11, "a\0", "\ud800", "a\udfffb", b"abc", None, 3])
def test_what_no_file_or_tokenizer_takes_is_not_a_member(text):
    assert text not in UnicodeText(10)


def test_samples_are_short_members_repeatable_by_seed():
    space, twin, other = UnicodeText(seed=3), UnicodeText(), UnicodeText(seed=4)
    twin.seed(3)
    samples = [space.sample() for _ in range(500)]
    assert samples == [twin.sample() for _ in range(500)]
    assert samples != [other.sample() for _ in range(500)]
    assert all(map(space.contains, samples))
    assert {0, SAMPLE_CHARS} <= set(map(len, samples)) <= set(range(SAMPLE_CHARS + 1))
    assert max(map(max, filter(None, samples))) > "\U000e0000"
    assert {len(UnicodeText(2, seed=s).sample()) for s in range(50)} == {0, 1, 2}
    for sample in samples:
        assert sample.encode("utf-8").decode("utf-8") == sample


def test_space_compares_by_bound_and_works_inside_others():
    assert UnicodeText(5) == UnicodeText(5) != UnicodeText(6)
    assert UnicodeText(5) != "UnicodeText(5)"
    assert repr(UnicodeText(5)) == "UnicodeText(5)"
    assert not UnicodeText(5).is_np_flattenable
    space = Dict({"a": UnicodeText(5), "b": UnicodeText(5)}, seed=1)
    assert space.contains(space.sample())
    assert space.from_jsonable(space.to_jsonable([{"a": "x", "b": "é"}])) == [{"a": "x", "b": "é"}]


@pytest.mark.parametrize("bound", [-1, 2.5, True, None])
def test_wrong_bound_is_refused(bound):
    with pytest.raises(ConfigError, match="max_length"):
        UnicodeText(bound)


@pytest.mark.parametrize("how", ["mask", "probability"])
def test_there_are_no_masks(how):
    with pytest.raises(ConfigError, match="mask"):
        UnicodeText().sample(**{how: (1, None)})


def test_spoken_text_is_text_and_keeps_its_counts_through_copies():
    said = SpokenText("hi", generated_tokens=3, prompt_tokens=5, finish_reason="length")
    assert said == "hi"
    for twin in (copy.deepcopy(said), pickle.loads(pickle.dumps(said))):
        assert (twin, twin.generated_tokens, twin.prompt_tokens, twin.finish_reason) == ("hi", 3, 5, "length")


def test_spoken_text_knows_the_reasons_why_an_utterance_ends():
    assert SpokenText("hi", finish_reason="stop").finish_reason is FinishReason.STOP
    with pytest.raises(InvalidAction, match=r"finish_reason must be one of .*'length'.* got 'tired'"):
        SpokenText("hi", finish_reason="tired")


@pytest.mark.parametrize("counts", [{"generated_tokens": -1}, {"prompt_tokens": 1.5}, {"generated_tokens": True}])
def test_wrong_counts_are_refused(counts):
    with pytest.raises(InvalidAction, match=next(iter(counts))):
        SpokenText("hi", **counts)


def test_spoken_text_carries_signals_which_are_unknown_unless_given():
    said = SpokenText("hi", mean_logp=-0.5, p_right=1)
    for twin in (said, copy.deepcopy(said), pickle.loads(pickle.dumps(said))):
        assert (twin.mean_logp, twin.p_right) == (-0.5, 1.0)
    assert (SpokenText("hi").mean_logp, SpokenText("hi").p_right) == (None, None)
    assert SpokenText("hi", mean_logp=np.float32(-0.5)).mean_logp == -0.5


@pytest.mark.parametrize(
    "signal",
    [
        {"mean_logp": 0.1},
        {"mean_logp": float("-inf")},
        {"mean_logp": float("nan")},
        {"mean_logp": "-1"},
        {"p_right": 1.1},
        {"p_right": -0.1},
        {"p_right": float("nan")},
        {"p_right": True},
    ],
)
def test_signals_outside_their_range_are_refused(signal):
    [(name, value)] = signal.items()
    with pytest.raises(InvalidAction, match=rf"{name} must be a .*number .* got {value!r}"):
        SpokenText("hi", **signal)


def test_words_stand_in_for_tokens():
    assert [count_words(text) for text in ("", "one", " two  words\n")] == [0, 1, 2]
