"""How often controllers speak at each thing they can know, from recorded dialogues alone."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

from benchmarks.report.load import Results
from benchmarks.report.scores import Scores
from tracer_agents.report.infosets import choices
from tracer_agents.rollout.records import DialogueRecord, Kind
from tracer_env.dialogue import Rules
from tracer_env.infosets import UNPARSED, Infosets

_VOTES = ("votes ≤ −2", "votes −1", "votes 0", "votes +1", "votes ≥ +2")


class Decision(NamedTuple):
    """A choice that a controller had: what it knew, in the words of the heat map, and what it chose."""

    known: tuple[int, int]  # (proposals that agree with the pending one, vote status)
    round: int
    proposals: int
    spoke: bool


def headline_dialogues(results: Results, scores: Scores, method: str) -> list[DialogueRecord]:
    """The dialogues of a method's headline on a task, over the scored seeds; none where it has no headline."""
    column = scores.headline(method)
    if column is None:
        return []
    return [
        record
        for cell, points in results.records(method, scores.label)
        if cell.seed in scores.seeds
        for record in points[scores.points[column]]
        if record.kind is Kind.DIALOGUE
    ]


def decisions(record: DialogueRecord, rules: Rules) -> Iterator[Decision]:
    """Replays a recorded dialogue through the rules and gives every choice that was not forced.

    Raises:
        IllegalMove: the record is no dialogue under these rules.
    """
    key = Infosets("consensus", rules).key
    for state, spoke in choices(record, rules):
        _, status, _, _, proposals, agreeing = key(state)
        yield Decision(known=(agreeing, status), round=state.round, proposals=proposals, spoke=spoke)


def speak_rates(records: Iterable[DialogueRecord], rules: Rules) -> pd.DataFrame:
    """How often somebody spoke at each infoset of ``"consensus"`` that was met, one row each.

    Columns: ``known`` (what is pending, in words), ``round``, ``proposals`` (so far), ``rate`` and ``n``. Stage and
    cycle of the infoset's key follow from the round. Rows are ordered: no answer first, then more agreement and votes.
    """
    met = pd.DataFrame([made for record in records for made in decisions(record, rules)], columns=Decision._fields)
    grouped = met.groupby(["known", "round", "proposals"], sort=True)["spoke"].agg(["mean", "size"]).reset_index()
    frame = grouped.set_axis(["known", "round", "proposals", "rate", "n"], axis=1)
    return frame.assign(known=[in_words(known) for known in frame["known"]])


def in_words(known: tuple[int, int]) -> str:
    """What is pending: whether it has an answer, how many proposals gave it, and what reviews said."""
    agreeing, status = known
    if status == UNPARSED:
        return "no answer"
    return f"{'1 proposal' if agreeing == 1 else '2+ agree'}, {_VOTES[status]}"
