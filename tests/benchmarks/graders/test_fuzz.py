"""Whatever is written, a grader comes back with a grade, and only what it read can be right."""

import pytest

from benchmarks.graders.fuzz import GRADERS, fuzz, fuzz_all, texts
from tracer_env.grading.base import Grade
from tracer_env.grading.numeric import Numeric


def test_the_texts_are_the_same_every_time():
    assert list(texts(50, 3)) == list(texts(50, 3))
    assert list(texts(50, 3)) != list(texts(50, 4))


def test_the_texts_are_varied():
    fuzzed = list(texts(2000, 0))
    assert len(set(fuzzed)) > 1900
    assert max(map(len, fuzzed)) >= 20_000
    assert any("\\boxed" in text for text in fuzzed)
    assert any(not text.isascii() for text in fuzzed)


@pytest.mark.parametrize("name", ["numeric", "choice", "value"])
def test_two_thousand_texts_are_graded(name):
    result = fuzz(GRADERS[name](), list(texts(2000, 0)))
    assert sum(result.grades.values()) == result.texts == 2000
    assert result.read >= result.grades[Grade.RIGHT]
    assert 0 < result.read < 2000


def test_fuzzed_texts_do_not_crash_the_child():
    [result] = fuzz_all(["symbolic"], 40, 1, 5.0)
    assert sum(result.grades.values()) == 40


def test_the_slowest_text_is_named_and_a_child_is_made_ready_before_each():
    calls = []
    result = fuzz(Numeric(), ["#### 1", "#### " + "1," * 1000], lambda: calls.append(1))
    assert len(calls) == 2
    assert result.slowest_text in ("#### 1", "#### " + "1," * 1000)
    assert result.as_json()["slowest_text"] == result.slowest_text[:200]


def test_a_grader_that_raises_is_not_hidden():
    class Broken(Numeric):
        def parse(self, completion):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        fuzz(Broken(), ["1"])
