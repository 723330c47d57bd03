"""Quoted text is never a speaker's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.grading.quotes import own_lines


def test_text_without_quotes_is_all_own():
    assert own_lines("a\nb\n\nc") == ["a", "b", "", "c"]


def test_tagged_and_marked_lines_are_not():
    assert own_lines("a\n<solution>\nb\n</solution>\n> c\n  > d\ne") == ["a", "", "", "e"]


def test_nested_tags_end_with_the_outermost():
    assert "".join(own_lines("a<review>b<solution>c</solution>d</review>e")) == "ae"


def test_an_unclosed_quote_runs_to_the_end():
    assert own_lines("a\n<Review>\nb") == ["a"]


def test_an_unopened_quote_starts_at_the_beginning():
    assert own_lines("a</solution>b") == ["b"]


def test_only_the_end_of_a_long_text_is_read():
    assert own_lines("first\n" + "x" * 50, limit=20) == ["x" * 20]


def test_a_quote_cut_by_the_limit_stays_quoted():
    assert own_lines("<solution>" + "q" * 100 + "</solution>own", limit=40) == ["own"]


@given(st.lists(st.sampled_from(["<solution>", "</solution>", "<review>", "</review>", "\n", "> ", "<", "/"])))
def test_any_nesting_is_survived(pieces):
    assert all("solution>" not in line and "review>" not in line for line in own_lines("".join(pieces)))


@pytest.mark.parametrize(
    "mention",
    [
        "The <solution> says 9.",
        "In <solution>, step 2 fails.",
        "I looked at step 2 in <solution>",
        "<solution> is wrong.",
        "`<solution>` is fine.",
        'The tag "<review>" opens one.',
    ],
)
def test_a_tag_that_is_only_mentioned_quotes_nothing(mention):
    assert own_lines(f"{mention}\n#### 7")[-1] == "#### 7"


@pytest.mark.parametrize("opening", ["<solution>\n", "<review>", "It wrote: <solution>\n", "<solution>#### 9\n"])
def test_an_unclosed_quote_is_not_taken_for_a_mention(opening):
    assert "#### 7" not in own_lines(f"{opening}#### 7")


def test_a_mention_before_a_quote_leaves_the_quote_one():
    assert own_lines("The <solution> was:\n<solution>\n#### 9\n</solution>\n#### 7")[-1] == "#### 7"
    assert "#### 9" not in own_lines("The <solution> was:\n<solution>\n#### 9\n</solution>\n#### 7")


@pytest.mark.parametrize("quote", ['"#### 9"', "'the answer is 9'", "“Verdict: RIGHT”", "`#### 9`", "«Answer: 9»"])
def test_an_answer_in_quotation_marks_is_not_said(quote):
    assert own_lines(f"The other wrote {quote}, wrongly") == ["The other wrote …, wrongly"]


def test_quotation_marks_around_other_words_stay():
    assert own_lines('He said "seven". It\'s 7" long') == ['He said "seven". It\'s 7" long']


@pytest.mark.parametrize("end", ["<|im_end|>", "</s>", "<eos>", "<end_of_turn>", "<｜end▁of▁sentence｜>", "[INST]"])
def test_a_turn_ends_at_its_end_token(end):
    assert own_lines(f"#### 7{end}\nuser\n#### 9") == ["#### 7"]


def test_tokens_that_begin_a_turn_are_left_out():
    assert own_lines("<|start_header_id|>assistant<|end_header_id|>\n\n#### 7<|eot_id|>")[-1] == "#### 7"
