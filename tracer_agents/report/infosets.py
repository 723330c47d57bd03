"""Heat maps of when controllers speak: a grid per round, by what they know."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracer_agents.report.blocks import Heat, HeatMap
from tracer_agents.report.values import InfosetFigures
from tracer_agents.rollout.records import DialogueRecord, Kind
from tracer_env.beliefs import Belief
from tracer_env.dialogue import Dialogue, Mode, Posterior, Rules, Utterance, initial, is_forced, transition
from tracer_env.infosets import UNPARSED, InfosetKey, Infosets

_VOTES = ("≤ −2", "−1", "0", "+1", "≥ +2", "no answer")
_CORNERS = {"paper": "votes", "consensus": "proposals \\ votes", "belief": "proposals \\ belief"}
KNOWN = {  # by the kind of infosets: what a controller goes by
    "paper": "what reviews said",
    "consensus": "how many proposals agree, and what reviews said",
    "belief": "how many proposals gave the team's answer, and how probable it is that this answer is right",
    "recall": "which answers and verdicts were given before, and which rounds were silent",
}
_RARE = 0.005  # of the dialogues: 0% as shown
_MOST_ROWS = 40  # of a grid: a reader sees no more, and recall has hundreds


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an infoset stands: its round, its row and its column, in words and in order."""

    round: int
    row: str
    column: str
    order: tuple[int, int]  # of the row and of the column


def place_of(kind: str, key: InfosetKey, belief: Posterior | None = None) -> Place:
    """Where an infoset of ``tracer_env.infosets`` stands in the grids; bins are named by the limits of the belief."""
    if kind in ("paper", "consensus"):
        stage, status, _, cycle = key[:4]
        row, order = "any", 0
        if kind == "consensus":
            proposals, agreeing = key[4:]
            row = f"{'2+' if agreeing == 2 and proposals > 2 else agreeing} of {proposals} agree"
            order = 10 * proposals + agreeing
        column = -1 if status == UNPARSED else status
        return Place(round=2 * cycle + stage + 1, row=row, column=_VOTES[column], order=(order, column))
    if kind == "belief":
        _, done, agreeing, bin_ = key
        row = f"{('none', '1', '2+')[agreeing]} agree"
        return Place(round=done + 1, row=row, column=_bin(bin_, belief), order=(agreeing, bin_))
    words = ", ".join(_code(index, code) for index, code in enumerate(key))
    return Place(round=len(key) + 1, row=words or "nothing", column="P(speak)", order=(0, 0))


def _bin(number: int, belief: Posterior | None) -> str:
    """Which beliefs are in a bin: from its lower limit up to, and without, the next bin's."""
    if not isinstance(belief, Belief) or not belief.edges:
        return f"bin {number + 1}"
    written = [[f"{edge:.{digits}f}" for edge in belief.edges] for digits in range(2, 7)]
    edges = next((texts for texts in written if len({*texts}) == len(texts)), None)
    if edges is None:
        return f"bin {number + 1}"
    if number == 0:
        return f"< {edges[0]}"
    return f"≥ {edges[-1]}" if number == len(edges) else f"{edges[number - 1]}–{edges[number]}"


def _code(index: int, code: int) -> str:
    """A finished round of a recall key in words."""
    if code == 0:
        return "–"
    if index % 2:
        return ("right", "wrong", "unread")[code - 1]
    return "unread" if code == 1 else "ABCDEFGHIJ"[min(code - 2, 9)]


def heat_maps(kind: str, figures: Mapping[InfosetKey, InfosetFigures], rules: Rules, *, gains: bool) -> list[HeatMap]:
    """A grid for every round in which somebody chooses.

    Args:
        kind: which infosets these are.
        figures: of each.
        rules: the dialogue's, with its belief if it has one.
        gains: whether to show what speech gains.
    """
    by_round: dict[int, list[tuple[Place, InfosetFigures]]] = {}
    for key, each in figures.items():
        place = place_of(kind, key, rules.belief)
        by_round.setdefault(place.round, []).append((place, each))
    return [_grid(kind, number, met, rules, gains=gains) for number, met in sorted(by_round.items())]


def _grid(kind: str, number: int, met: Sequence[tuple[Place, InfosetFigures]], rules: Rules, *, gains: bool) -> HeatMap:
    agent, role = rules.seats[number - 1]
    shown = [pair for pair in met if kind != "recall" or pair[1].met >= _RARE]
    often = sorted(shown or met, key=lambda pair: -pair[1].met)[:_MOST_ROWS]
    rows = dict(sorted({place.row: place.order[0] for place, _ in often}.items(), key=lambda item: (item[1], item[0])))
    columns = dict(sorted({place.column: place.order[1] for place, _ in often}.items(), key=lambda item: item[1]))
    cells = {(place.row, place.column): _heat(figures, gains=gains) for place, figures in often}
    left_out = f"; the {len(often)} most frequent of {len(met)}" if len(met) > len(often) else ""
    verb = "proposes again" if role == "proposer" else "reviews"
    return HeatMap(
        caption=f"Round {number}: whether agent {agent} {verb}{left_out}",
        corner=_CORNERS.get(kind, "so far"),
        columns=[*columns],
        rows=[(row, [cells.get((row, column)) for column in columns]) for row in rows],
    )


def _heat(figures: InfosetFigures, *, gains: bool) -> Heat:
    gain = "" if figures.gain is None else f"{figures.gain:+.2f}".replace("-", "−")
    return Heat(
        share=figures.speak,
        text=f"{figures.speak:.2f}",
        gain=gain if gains else "",
        met=f"met {figures.met:.0%}",
        rare=figures.met < _RARE,
    )


def choices(record: DialogueRecord, rules: Rules) -> Iterator[tuple[Dialogue, bool]]:
    """Replays a recorded dialogue through the rules: every state with a free choice, and whether somebody spoke.

    Raises:
        IllegalMove: the record is no dialogue under these rules.
    """
    state = initial(rules, record.question)
    for turn in record.turns:
        if not is_forced(state):
            yield state, bool(turn.mode)
        state = transition(state, Mode(turn.mode))
        if state.speaking:
            utterance = Utterance(text=turn.text or "", answer=turn.answer, verdict=turn.verdict)
            state = transition(state, utterance)


def observed(records: Sequence[DialogueRecord], infosets: Infosets) -> dict[InfosetKey, InfosetFigures]:
    """How often somebody spoke at each infoset, in recorded dialogues."""
    dialogues = [record for record in records if record.kind is Kind.DIALOGUE]
    key: Callable[[Dialogue], InfosetKey] = infosets.key
    counts: dict[InfosetKey, list[int]] = {}
    for record in dialogues:
        for state, spoke in choices(record, infosets.rules):
            row = counts.setdefault(key(state), [0, 0])
            row[0] += spoke
            row[1] += 1
    return {
        infoset: InfosetFigures(speak=spoken / met, met=met / len(dialogues), gain=None)
        for infoset, (spoken, met) in sorted(counts.items())
    }
