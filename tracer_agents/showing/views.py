"""Recorded dialogues as they are read in a terminal: a list to choose from, and one of them whole."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tracer_agents.rollout.records import DialogueRecord, Kind, Outcome, TurnRecord
from tracer_agents.showing.branches import Branches, Ending
from tracer_env.dialogue import Mode, Role, Verdict
from tracer_env.rendering import escape
from tracer_env.rewards import Utility
from tracer_env.screen import MOST_CHARACTERS, ShownTurn, answer_line, aside, question_panel, said_by, turn_block

_KINDS = {
    Kind.BALLOT: "independent answers, of which the most frequent counts",
    Kind.MULTI_AGENT_DEBATE: "a debate of several agents",
}


def list_view(title: str, dialogues: Sequence[tuple[int, DialogueRecord]]) -> RenderableType:
    """A row per dialogue: its number, what became of the answer, tokens, who spoke, the question."""
    table = Table(title=escape(title), title_justify="left", box=None, header_style="bold dim", padding=(0, 1))
    arrows = any(record.kind is Kind.DIALOGUE for _, record in dialogues)
    for name in ("number", "first → team" if arrows else "answer", "gold", "tokens", "spoke"):
        counted = name in ("number", "gold", "tokens")
        table.add_column(name, justify="right" if counted else "left", no_wrap=True)
    table.add_column("question")  # may be narrowed, unlike the others
    for number, record in dialogues:
        table.add_row(
            str(number),
            _course(record),
            Text(_short(record.gold, 12)),
            str(record.generated_tokens),
            "".join("x" if turn.mode is Mode.SPEAK else "." for turn in record.turns),
            Text(_short(record.question, 200), style="dim", no_wrap=True, overflow="ellipsis"),
        )
    return table


def _course(record: DialogueRecord) -> Text:
    """The first answer and the team's, in the colours of right and wrong."""
    last = Text(_short(record.answer or "none", 12), style="green" if record.correct else "red")
    first = record.turns[0] if record.turns else None
    if record.kind is not Kind.DIALOGUE or first is None:
        return last
    begun = Text(_short(first.answer or "none", 12), style="green" if record.first_correct else "red")
    return Text.assemble(begun, (" → ", "dim"), last)


def _short(text: str, most: int) -> str:
    flat = " ".join(escape(text[: 2 * most]).split())
    return flat if len(flat) <= most else f"{flat[: most - 1]}…"


def dialogue_view(
    record: DialogueRecord,
    *,
    number: int,
    speak: Sequence[float | None],
    utility: Utility,
    answer_rule: str = "pending",
    branches: Branches | None = None,
    whole: bool = False,
) -> Iterator[RenderableType]:
    """One recorded dialogue from its question to the team's answer.

    Args:
        record: the dialogue.
        number: of the dialogue in the run.
        speak: P(SPEAK) of every round, None where it is not known.
        utility: of the run's settings.
        answer_rule: what the team answers (``Rules.answer_rule``).
        branches: what is recorded beside the dialogue; None: do not show it.
        whole: show long texts to their end.
    """
    most = None if whole else MOST_CHARACTERS
    title = f"{number}  {record.question_id}  {record.method} ({record.phase})"
    yield question_panel(record.question, title, most=most)
    if record.kind in _KINDS:
        yield Text(_KINDS[record.kind], style="dim")
    prefix, votes = "", 0
    for index, (turn, chance) in enumerate(zip(record.turns, speak, strict=True), 1):
        votes = _votes(votes, turn)
        dialogue = record.kind is Kind.DIALOGUE
        shown = _shown(turn, chance, votes if dialogue else None, turn.round if dialogue else index)
        further = [_beside(turn, prefix, branches, most)] if branches is not None and not turn.forced else ()
        yield turn_block(shown, most=most, further=further)
        prefix += f"{turn.mode:d}"
    yield from _ending(record, utility, answer_rule)


def _votes(votes: int, turn: TurnRecord) -> int:
    """The score of the pending solution after a round."""
    if turn.mode is Mode.SKIP:
        return votes
    if turn.role is Role.PROPOSER:
        return 0
    return votes + (0 if turn.verdict is None else 1 if turn.verdict is Verdict.RIGHT else -1)


def _shown(turn: TurnRecord, speak: float | None, votes: int | None, number: int) -> ShownTurn:
    return ShownTurn(
        round=number,
        agent=turn.agent,
        role=turn.role,
        mode=turn.mode,
        forced=turn.forced,
        text=turn.text,
        reading=turn.answer if turn.role is Role.PROPOSER else turn.verdict,
        tokens=turn.generated_tokens,
        finish_reason=turn.finish_reason,
        right=turn.right,
        reward=turn.reward,
        speak=speak,
        votes=votes,
    )


def _beside(turn: TurnRecord, prefix: str, branches: Branches, most: int | None) -> RenderableType:
    """Both branches of a decision: how their recorded dialogues ended, and what the silent speaker would have said."""
    if branches.speak is None:
        counts = [f"{name}: {_endings(branches.after(prefix, mode))}" for name, mode in _BRANCHES]
    else:
        counts = [f"{name}: {_outlook(branches.outlook(f'{prefix}{mode:d}'))}" for name, mode in _BRANCHES]
    parts: list[RenderableType] = [Text("\n".join(counts), style="yellow")]
    if turn.mode is Mode.SKIP and prefix in branches.spoken:
        other = branches.spoken[prefix]
        parts.append(Text(f"had it spoken ({other.generated_tokens} tokens):", style="yellow"))
        parts.append(aside(said_by(_shown(other, None, None, other.round), most=most)))
    return Group(*parts)


_BRANCHES = (("silent", Mode.SKIP), ("speaking", Mode.SPEAK))


def _outlook(mean: Ending) -> str:
    return f"right with probability {mean.right:.2f}, {mean.tokens:.0f} tokens, utility {mean.utility:+.3f}"


def _endings(endings: Sequence[Ending]) -> str:
    if not endings:
        return "not recorded"
    tokens = sum(ending.tokens for ending in endings) / len(endings)
    right = sum(int(ending.right) for ending in endings)
    return f"{right} of {len(endings)} recorded endings right, {tokens:.0f} tokens"


def _ending(record: DialogueRecord, utility: Utility, answer_rule: str) -> Iterator[RenderableType]:
    """The team's answer, the votes it comes from, the right one, and what all of it was worth."""
    value = float(utility(record.correct, utility.prices.cost(record.turns)))
    details = f"right answer {record.gold}, {record.generated_tokens} tokens, utility {value:+.3f}"
    if record.grade not in (Outcome.RIGHT, Outcome.WRONG):
        details += f", graded {record.grade}"
    yield answer_line(record.answer, right=record.correct, details=details)
    given = Counter(turn.answer for turn in record.turns if turn.answer is not None)
    if sum(given.values()) > 1:
        votes = ", ".join(f"{_short(answer, 40)} ×{count}" for answer, count in given.most_common())
        rule = answer_rule if record.kind is Kind.DIALOGUE else "plurality"
        how = {"pending": "the pending solution's counts", "plurality": "the most frequent counts"}
        yield Text(f"proposed: {votes}; {how.get(rule, 'the most probable counts')}", style="dim")
