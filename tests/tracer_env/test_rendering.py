"""What a terminal is shown."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env.dialogue import Mode, Rules, Utterance, Verdict, initial, transition
from tracer_env.rendering import escape, render_dialogue, show


@given(st.text(alphabet=st.characters(exclude_categories=())))
def test_escaped_text_has_no_power_over_a_terminal(text):
    assert all(char == "\n" or char.isprintable() or char.isspace() for char in escape(text))
    assert not set(escape(text)) & {"\x1b", "\r", "\0", "\x9b", "\u202e", "\u2028", "\u2066", "\x07", "\x08"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 日本 😀", "plain é 日本 😀"),
        ("two\nlines", "two\nlines"),
        ("\x1b[2J\r", "\\x1b[2J\\r"),
        ("\u202egnirts", "\\u202egnirts"),
        ("\ud800", "\\ud800"),
        ("narrow\u00a0space", "narrow\u00a0space"),
    ],
)
def test_escape(text, shown):
    assert escape(text) == shown


def test_dialogue_under_way_says_who_is_awaited():
    state = initial(Rules(rounds=3), "How many\x07?")
    assert render_dialogue(state) == "Question: How many\\x07?\n[1] awaiting agent 0 controller's mode"
    state = transition(state, Mode.SPEAK)
    assert render_dialogue(state).endswith("[1] awaiting agent 0 proposer's text")
    state = transition(state, Utterance(text="first\nsecond", generated_tokens=2))
    state = transition(transition(state, Mode.SPEAK), Utterance(text="Fine.", verdict=Verdict.RIGHT))
    assert render_dialogue(state).splitlines()[1:] == [
        "[1] agent 0 proposer: speak, forced (no answer; 2 tokens)",
        "    first",
        "    second",
        "[2] agent 1 reviewer: speak (verdict RIGHT; 0 tokens)",
        "    Fine.",
        "[3] awaiting agent 1 controller's mode",
    ]
    assert render_dialogue(transition(state, Mode.SKIP)).endswith("Team's answer: none (2 tokens)")


def test_show_survives_a_terminal_without_unicode(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    show("é 😀")
    sys.stdout.flush()
    assert raw.getvalue().split() == [b"\\xe9", b"\\U0001f600"]
