"""Quoted text is never a speaker's own."""

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
