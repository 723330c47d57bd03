"""What is recorded of both branches of a dialogue's decisions: from an expanded question, or pieced together.

Utterances are a function of the episode and of the modes chosen before them, so the dialogues that different methods
played with the same speakers on the same question are paths of one tree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass

from tracer_agents.rollout.expanded import ExpandedRecord
from tracer_agents.rollout.records import DialogueRecord, Kind, TurnRecord, record_dialogues, turn_record
from tracer_agents.types import Episode
from tracer_env.dialogue import Mode, Rules, initial, transition
from tracer_env.tasks.base import Grade, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a finished dialogue of the tree ended; or, in the mean over several, how they end.

    ``right`` is 0 or 1, or a probability.
    """

    right: float
    tokens: float
    utility: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """Paths of one question's tree, by mode prefix (a character ``0`` or ``1`` per finished round).

    ``spoken`` holds the round of a speaker after a prefix, ``endings`` every finished dialogue, and ``speak``, where
    the tree is complete, P(SPEAK) at every free decision.
    """

    spoken: Mapping[str, TurnRecord]
    endings: Mapping[str, Ending]
    speak: Mapping[str, float] | None = None

    def after(self, prefix: str, mode: Mode) -> list[Ending]:
        """The recorded endings after a mode was chosen at a prefix."""
        return [ending for path, ending in self.endings.items() if path.startswith(f"{prefix}{mode:d}")]

    def outlook(self, prefix: str) -> Ending:
        """How the controllers end a dialogue from a prefix on, in the mean; the tree must be complete."""
        if prefix in self.endings:
            return self.endings[prefix]
        speak = (self.speak or {}).get(prefix, 1.0)
        spoken = self.outlook(f"{prefix}1")
        if speak == 1.0:
            return spoken
        silent = self.outlook(f"{prefix}0")
        mean = [
            (1 - speak) * without + speak * with_it
            for without, with_it in zip(astuple(silent), astuple(spoken), strict=True)
        ]
        return Ending(right=mean[0], tokens=mean[1], utility=mean[2])


def expanded_dialogue(tree: ExpandedRecord, rules: Rules, *, seed: int) -> tuple[DialogueRecord, Branches]:
    """The dialogue that the controllers played in an expanded question, and both branches of all its decisions.

    Args:
        tree: the question.
        rules: of its dialogues, with the belief that was known.
        seed: of the run.
    """
    states = {"": initial(rules, tree.question)}
    turns: dict[str, TurnRecord] = {}
    for prefix in sorted({path[:depth] for path in tree.leaves for depth in range(len(path))}, key=len):
        before = states[prefix]
        if prefix in tree.decisions:
            states[f"{prefix}0"] = transition(before, Mode.SKIP)
        if prefix in tree.spoken:
            after = transition(transition(before, Mode.SPEAK), tree.spoken[prefix])
            right = after.answer is not None and tree.grades[after.answer] is Grade.RIGHT
            states[f"{prefix}1"], turns[prefix] = after, turn_record(after.turns[-1], right)
    question = Question(id=tree.question_id, text=tree.question, gold=tree.gold)
    [record] = record_dialogues(
        [Episode(question=question, seed=tree.seed)],
        [states[tree.played]],
        _Graded(tree.grades),
        method="team",
        phase="expanded",
        seed=seed,
    )
    endings = {
        path: Ending(right=float(leaf.right), tokens=leaf.tokens, utility=leaf.utility)
        for path, leaf in tree.leaves.items()
    }
    speak = {prefix: decision.speak for prefix, decision in tree.decisions.items()}
    return record, Branches(spoken=turns, endings=endings, speak=speak)


class _Graded:
    """Grades that were given before."""

    def __init__(self, grades: Mapping[str, Grade]) -> None:
        self._grades = grades

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        return [Grade.WRONG if answer is None else self._grades[answer] for answer in answers]


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
