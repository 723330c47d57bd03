"""A dialogue on a terminal: what is shown, and that what speakers say has no power over the terminal."""

import io
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracer_env import debate_v0
from tracer_env.dialogue import FinishReason, Mode, Role, Rules, Utterance, Verdict, initial, transition
from tracer_env.screen import ShownTurn, bounded, dialogue_view, display, painted, shown_turn, turn_block

HOSTILE = [
    "\x1b[2J\x1b[31mred",  # CSI
    "\x1b]0;title\x07",  # OSC, ended by BEL
    "\x1b]8;;http://evil\x1b\\link\x1b]8;;\x1b\\",  # OSC, ended by ST
    "\x9b2J\x9d0;title\x9c\x90q\x9c",  # C1
    "\u202egnirts\u202c \u2066isolate\u2069 \u200f",  # bidirectional overrides
    "\rover\x08\x7f\x00\x0c\v",
    "\u2028\u2029\x85",  # exotic line separators
    "[bold red]markup[/] :smile:",
]


def harmless(shown: str) -> bool:
    return all(char == "\n" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for char in shown)


def spoken(text: str, **fields) -> ShownTurn:
    return ShownTurn(
        round=1, agent=0, role=Role.PROPOSER, mode=Mode.SPEAK, forced=False, text=text, tokens=3,
        **{"reading": text, "finish_reason": FinishReason.STOP, **fields},
    )  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_has_no_power_over_the_terminal(text):
    state = transition(transition(initial(Rules(rounds=1), text), Mode.SPEAK), Utterance(text=text, answer=text))

    shown = painted(*dialogue_view(state))

    assert harmless(shown)
    assert shown.count(text) == (4 if text.startswith("[bold") else 0)  # markup stays as it was written


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=60))
def test_whatever_is_said_is_harmless(text):
    assert harmless(painted(turn_block(spoken(text))))


def test_colours_are_the_only_escape_sequences_of_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")

    shown = painted(turn_block(spoken("\x1b[2Jwhole")))

    assert "\x1b[" in shown
    assert "\x1b[2J" not in shown
    assert "\\x1b[2Jwhole" in shown


def test_long_texts_are_bounded_unless_all_is_wanted():
    assert bounded("x" * 10, 4) == "xxxx\n(6 more characters)"
    assert bounded("x" * 10, None) == "x" * 10
    assert painted(turn_block(spoken("y" * 5000, reading=None))).count("y") == 4000
    assert painted(turn_block(spoken("y" * 5000, reading=None), most=None)).count("y") == 5000


def test_a_round_says_who_how_probably_and_what_came_of_it():
    turn = spoken("17+3=20\n#### 20", reading="20", right=True, reward=1.0, speak=0.254)
    assert painted(turn_block(turn)).splitlines() == [
        " 1 ┃ proposer 0 speaks, P(speak) 0.25  3 tokens",
        "   ┃ 17+3=20",
        "   ┃ #### 20",
        "   ┃ answer 20, right, reward +1",
    ]
    cut = spoken("17", reading=None, right=False, finish_reason=FinishReason.LENGTH)
    assert painted(turn_block(cut)).splitlines()[-1] == "   ┃ no answer, wrong, cut off by the token limit"


def test_a_dialogue_ends_with_the_answer():
    state = initial(Rules(rounds=3), "How many?")
    for action in (Mode.SPEAK, Utterance(text="#### 7", answer="7", generated_tokens=4), Mode.SPEAK):
        state = transition(state, action)
    state = transition(state, Utterance(text="Fine.", verdict=Verdict.RIGHT, generated_tokens=2))
    assert not painted(*dialogue_view(state)).endswith("tokens)")

    *_, skipped, last = painted(*dialogue_view(transition(state, Mode.SKIP))).splitlines()

    assert skipped == " 3 ┃ proposer 1 stays silent"
    assert last == "team's answer: 7  6 tokens"
    assert shown_turn(state.turns[1]).reading == "RIGHT"


def test_a_terminal_of_few_characters_shows_what_it_can(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    display(turn_block(spoken("é 😀")))
    sys.stdout.flush()
    assert b"\\xe9 \\U0001f600" in raw.getvalue()
    assert b" 1 | proposer 0" in raw.getvalue()


def test_human_mode_shows_the_question_every_round_and_the_answer(capsys):
    env = debate_v0.env(render_mode="human", rounds=1)
    env.reset(seed=0, options={"question": "What is 3 + 4?\x1b[2J", "gold": "7"})
    shown = capsys.readouterr().out
    assert "What is 3 + 4?\\x1b[2J" in shown
    assert "7" not in shown

    env.step(1)
    assert capsys.readouterr().out == ""
    env.step("#### 7")
    rounds = capsys.readouterr().out
    assert rounds.splitlines() == [
        " 1 ┃ proposer 0 must speak  2 tokens",
        "   ┃ #### 7",
        "   ┃ answer 7",
        "team's answer: 7  2 tokens",
    ]

    assert env.render() is None
    assert capsys.readouterr().out == shown + rounds
