"""Thoughts are told from what is said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric
from tracer_env.grading.symbolic import Symbolic
from tracer_env.grading.thoughts import spoken
from tracer_env.grading.verdict import parse_verdict
from tracer_env.tasks.arithmetic import Arithmetic

SAID = [
    ("no thought", "no thought"),
    ("<think>a</think>b", "b"),
    ("<think>\n\n</think>\n\nb", "\n\nb"),
    ("a <think>b</think> c <think>d</think> e", "a  c  e"),
    ("a</think>b", "b"),
    ("<think>a</think>b</think>c", "c"),
    ("<think>a <think> b</think>c", "c"),
    ("<THINKING>a</Thinking>b", "b"),
    ("<reasoning>a</reasoning>\n<answer>5</answer>", "\n<answer>5</answer>"),
    ("[THINK]a[/THINK]b", "b"),
    ("◁think▷a◁/think▷b", "b"),
    ("<|begin_of_thought|>a<|end_of_thought|>b", "b"),
    ("<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>b", "b"),
    ("the tag `<think>` opens a thought", "the tag `<think>` opens a thought"),
    ("<think>", ""),
    ("<think>a", ""),
    ("a <think>b", ""),
    ("<think>a</think>b<think>c", ""),
    ("[THINK]a", ""),
    ("a</think>", ""),
    ("I think 2 < 3", "I think 2 < 3"),
]
PIECES = st.sampled_from(["<think>", "</think>", "[THINK]", "[/THINK]", "a", " ", "\n", "`", "<", "/think>"])


@pytest.mark.parametrize(("text", "kept"), SAID)
def test_thoughts_are_left_out(text, kept):
    assert spoken(text) == kept


@given(st.lists(PIECES, max_size=30).map("".join))
def test_what_is_said_is_part_of_the_text_and_longer_thoughts_change_nothing(text):
    kept = spoken(text)
    assert len(kept) <= len(text)
    assert spoken(f"<think>hm</think>{text}") == kept or "</think>" in text or "[/THINK]" in text


@pytest.mark.parametrize("grader", [Numeric(), Symbolic(), Arithmetic(level=1)])
def test_an_answer_in_a_thought_does_not_count(grader):
    assert grader.parse("<think>\n#### 7\n</think>\n#### 8") == "8"
    assert grader.parse("<think>\n#### 7\n</think>\nI am not sure") is None
    assert grader.parse("<think>\n#### 7") is None
    assert grader.parse("<think>" + "hm. " * 10_000 + "\n#### 7") is None


def test_a_letter_in_a_thought_does_not_count():
    assert Choice().parse("<think>Answer: A</think>Answer: B") == "B"
    assert Choice().parse("<think>Answer: A") is None


def test_a_verdict_in_a_thought_does_not_count():
    assert parse_verdict("<think>\nVerdict: RIGHT\n</think>\nVerdict: WRONG") == "WRONG"
    assert parse_verdict("<think>\nVerdict: RIGHT") is None
    assert parse_verdict("<think>\nVerdict: RIGHT\n</think>\nhard to say") is None
