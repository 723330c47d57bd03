"""Dialogues as they are read in a terminal: with colours, margins and line breaks that fit the window.

What speakers and data files say is escaped first, so that it has no power over the terminal.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.panel import Panel
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from tracer_env.dialogue import Dialogue, FinishReason, Mode, Role, Turn, is_terminal
from tracer_env.rendering import escape, show

MOST_CHARACTERS = 4000  # of an utterance that are shown, unless a reader wants all
_WIDTH = 100  # where the output is no terminal and COLUMNS says nothing
_COLOURS = {Role.PROPOSER: "cyan", Role.REVIEWER: "magenta"}
_UNTIMELY = {
    FinishReason.LENGTH: "cut off by the token limit",
    FinishReason.FAILED: "never delivered by the engine",
    FinishReason.TOO_LONG: "the question does not fit into the model's context",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownTurn:
    """One round as a reader sees it; what is None is not known, and not shown.

    ``reading`` is the answer or verdict that was read from the text, ``right`` whether the answer is right or the
    verdict true, ``speak`` the controller's probability of speaking, ``votes`` the score of the pending solution after
    the round.
    """

    round: int
    agent: int
    role: Role
    mode: Mode
    forced: bool
    text: str | None
    reading: str | None
    tokens: int
    finish_reason: FinishReason | None
    right: bool | None = None
    reward: float | None = None
    speak: float | None = None
    votes: int | None = None


def shown_turn(turn: Turn) -> ShownTurn:
    """What is public of a finished round."""
    utterance = turn.utterance
    proposing = turn.role is Role.PROPOSER
    return ShownTurn(
        round=turn.round,
        agent=turn.agent,
        role=turn.role,
        mode=turn.mode,
        forced=turn.forced,
        text=utterance.text if utterance else None,
        reading=(utterance.answer if proposing else utterance.verdict) if utterance else None,
        tokens=utterance.generated_tokens if utterance else 0,
        finish_reason=utterance.finish_reason if utterance else None,
    )


def bounded(text: str, most: int | None = MOST_CHARACTERS) -> str:
    """The first ``most`` characters of a text, escaped, and how many are left out; all of it where ``most`` is None."""
    if most is None or len(text) <= most:
        return escape(text)
    return f"{escape(text[:most])}\n({len(text) - most:,} more characters)"


def question_panel(question: str, title: str = "question", *, most: int | None = MOST_CHARACTERS) -> RenderableType:
    """The question in a frame."""
    heading = Text(escape(title).replace("\n", " "), style="bold")
    return Panel(Text(bounded(question, most)), title=heading, title_align="left", box=ROUNDED, padding=(0, 1))


def turn_block(
    turn: ShownTurn, *, most: int | None = MOST_CHARACTERS, further: Sequence[RenderableType] = ()
) -> RenderableType:
    """One round: who, what was decided and how probably, the text, what was read from it, and ``further`` parts."""
    colour = _COLOURS[turn.role]
    head = Text()
    head.append(f"{turn.role} {turn.agent}", style=f"bold {colour}")
    head.append(" must speak" if turn.forced else " speaks" if turn.mode is Mode.SPEAK else " stays silent")
    if turn.speak is not None and not turn.forced:
        head.append(f", P(speak) {turn.speak:.2f}")
    if turn.mode is Mode.SKIP:
        head.stylize("dim")
        return _Barred(f"{turn.round:>2}", "dim", Group(head, *further))
    head.append(f"  {turn.tokens} tokens", style="dim")
    return _Barred(f"{turn.round:>2}", colour, Group(head, said_by(turn, most=most), *further))


def said_by(turn: ShownTurn, *, most: int | None = MOST_CHARACTERS) -> RenderableType:
    """The text of a round, and what was read from it."""
    return Group(Text(bounded(turn.text or "", most)), _reading(turn))


def aside(part: RenderableType) -> RenderableType:
    """A part that was not played, set apart from those that were."""
    return _Barred("", "yellow", part)


def _reading(turn: ShownTurn) -> Text:
    """The answer or verdict, whether it is right, what it earned, and what went wrong."""
    name = "answer" if turn.role is Role.PROPOSER else "verdict"
    text = Text("no " + name if turn.reading is None else f"{name} {_flat(turn.reading)}", style="bold")
    if turn.right is not None:
        words = ("wrong", "right") if turn.role is Role.PROPOSER else ("false", "true")
        text.append(", ")
        text.append(words[turn.right], style="bold green" if turn.right else "bold red")
    if turn.reward is not None:
        text.append(f", reward {turn.reward:+g}", style="not bold dim")
    if turn.votes is not None and turn.role is Role.REVIEWER:
        text.append(f", votes {turn.votes:+d}", style="not bold dim")
    if turn.finish_reason is not None and turn.finish_reason in _UNTIMELY:
        text.append(f", {_UNTIMELY[turn.finish_reason]}", style="not bold yellow")
    return text


def answer_line(answer: str | None, *, right: bool | None = None, details: str = "") -> RenderableType:
    """What the team answers, and whether it is right where that is known."""
    text = Text("team's answer: ", style="bold")
    text.append("none" if answer is None else _flat(answer))
    if right is not None:
        text.append(", ")
        text.append("right" if right else "wrong", style="green" if right else "red")
    if details:
        text.append(f"  {_flat(details)}", style="not bold dim")
    return text


def dialogue_view(state: Dialogue) -> Iterator[RenderableType]:
    """The question, every finished round and, at the end, the team's answer."""
    yield question_panel(state.question)
    yield from (turn_block(shown_turn(turn)) for turn in state.turns)
    if is_terminal(state):
        yield ending_view(state)


def ending_view(state: Dialogue) -> RenderableType:
    """The team's answer to a dialogue that is over."""
    return answer_line(state.team_answer, details=f"{state.generated_tokens} tokens")


def display(*parts: RenderableType) -> None:
    """Prints what is to be read, as wide as the terminal, in colour where the terminal has some."""
    show(painted(*parts))


def painted(*parts: RenderableType) -> str:
    """What a terminal is sent for some parts, one below the other, without the last line feed."""
    wide = Console().is_terminal or os.environ.get("COLUMNS", "").isdigit()
    console = Console(width=None if wide else _WIDTH, highlight=False, markup=False, emoji=False)
    with console.capture() as captured:
        for part in parts:
            console.print(part)
    return "\n".join(row.rstrip() for row in captured.get().removesuffix("\n").split("\n"))


def _flat(text: str) -> str:
    """A text from outside within one line."""
    return bounded(text, 200).replace("\n", " ")


class _Barred:
    """A part beside a number and a bar in the colour of a role."""

    def __init__(self, label: str, style: str, part: RenderableType) -> None:
        self._label, self._style, self._part = label, style, part

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        bar = "|" if options.ascii_only else "┃"
        label, width = self._label, max(options.max_width - len(self._label) - 3, 1)
        for row in console.render_lines(self._part, options.update(width=width, height=None), pad=False):
            yield Segment(f"{label} {bar} ", Style.parse(self._style))
            yield from row
            yield Segment.line()
            label = " " * len(label)
