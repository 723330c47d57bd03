"""What is recorded of both branches of a dialogue's decisions, pieced together from dialogues of the same question.

Utterances are a function of the episode and of the modes chosen before them, so the dialogues that different methods
played with the same speakers on the same question are paths of one tree.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tracer_agents.rollout.records import DialogueRecord, Kind, TurnRecord
from tracer_env.dialogue import Mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a finished dialogue of the tree ended."""

    right: bool
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """Paths of one question's tree, by mode prefix (a character ``0`` or ``1`` per finished round).

    ``spoken`` holds the round of a speaker after a prefix, ``endings`` every finished dialogue.
    """

    spoken: Mapping[str, TurnRecord]
    endings: Mapping[str, Ending]

    def after(self, prefix: str, mode: Mode) -> list[Ending]:
        """The recorded endings after a mode was chosen at a prefix."""
        return [ending for path, ending in self.endings.items() if path.startswith(f"{prefix}{mode:d}")]


def recorded_branches(record: DialogueRecord, others: Iterable[DialogueRecord]) -> Branches:
    """The tree around a dialogue.

    Args:
        record: the dialogue that is read.
        others: dialogues of the same question, played with the same speakers; what is no path of its tree, since
            something else was said where the same was to be said, is passed over.
    """
    spoken: dict[str, TurnRecord] = {}
    endings: dict[str, Ending] = {}
    for each in (record, *others):
        path = _path(each)
        if each.kind is not Kind.DIALOGUE or len(path) != len(record.turns):
            continue
        said_there = {path[:index]: turn for index, turn in enumerate(each.turns) if turn.mode is Mode.SPEAK}
        if any(spoken[prefix].text != turn.text for prefix, turn in said_there.items() if prefix in spoken):
            continue
        spoken |= said_there
        endings[path] = Ending(right=each.correct, tokens=each.generated_tokens)
    return Branches(spoken=spoken, endings=endings)


def _path(record: DialogueRecord) -> str:
    return "".join(f"{turn.mode:d}" for turn in record.turns)
