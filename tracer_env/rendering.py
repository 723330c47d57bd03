"""Draws a dialogue as text for a terminal; the gold answer is not part of a dialogue, so it never shows."""

import sys
import unicodedata

from tracer_env.dialogue import Dialogue, Role, Turn, is_terminal


def escape(text: str) -> str:
    r"""``text`` without power over a terminal: all but printable characters, spaces and line feeds as ``\x1b`` etc.

    Escaped are control and format characters (escape sequences, carriage returns, bidirectional overrides),
    surrogates, private-use and unassigned code points, and the exotic line separators.
    """
    if text.isprintable():
        return text
    return "".join(
        char
        if char == "\n" or char.isprintable() or unicodedata.category(char) == "Zs"
        else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def render_turn(turn: Turn) -> str:
    """One finished round: who, what was chosen, the text, and what was read from it."""
    head = f"[{turn.round}] agent {turn.agent} {turn.role}"
    if turn.utterance is None:
        return f"{head}: skip"
    utterance = turn.utterance
    label = "answer" if turn.role is Role.PROPOSER else "verdict"
    reading = utterance.answer if turn.role is Role.PROPOSER else utterance.verdict
    outcome = f"{label} {escape(reading)}" if reading is not None else f"no {label}"
    forced = ", forced" if turn.forced else ""
    body = escape(utterance.text).replace("\n", "\n    ")
    return f"{head}: speak{forced} ({outcome}; {utterance.generated_tokens} tokens)\n    {body}"


def render_dialogue(state: Dialogue) -> str:
    """The question, every finished round, and who is to act or the team's answer."""
    lines = [f"Question: {escape(state.question)}", *map(render_turn, state.turns)]
    if is_terminal(state):
        answer = "none" if state.answer is None else escape(state.answer)
        lines.append(f"Team's answer: {answer} ({state.generated_tokens} tokens)")
    else:
        awaited = f"{state.role}'s text" if state.speaking else "controller's mode"
        lines.append(f"[{state.round}] awaiting agent {state.agent} {awaited}")
    return "\n".join(lines)


def show(text: str) -> None:
    """Prints ``text``, with escapes for what the terminal's encoding lacks: ``render_mode="human"`` asks for it."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
