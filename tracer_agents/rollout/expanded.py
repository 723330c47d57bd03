"""The record of an expanded question: both branches of every choice, what they lead to, and which were played."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tracer_agents.rollout.records import utterance_as_json, utterance_from_json
from tracer_agents.rollout.tree import Tree, play
from tracer_agents.types import Controller
from tracer_env.dialogue import Dialogue, Utterance, is_forced, is_terminal
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """A free choice: what the controller knew, and the chance that it speaks."""

    infoset: InfosetKey
    speak: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A finished dialogue of the tree: the team's answer, whether it is right, its generated tokens, its utility."""

    answer: str | None
    right: bool
    tokens: int
    utility: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpandedRecord:
    """One question with all choices of its dialogue, by mode prefix (a character ``0`` or ``1`` per finished round).

    Args:
        question_id, question, gold, seed: of the episode.
        grades: of every answer proposed anywhere.
        spoken: what is said after a prefix if its controller speaks; paths that share an utterance hold the same one.
        decisions: the free choices.
        leaves: the finished dialogues.
        played: the modes that the controller chose.
    """

    question_id: str
    question: str
    gold: str
    seed: int
    grades: Mapping[str, Grade]
    spoken: Mapping[str, Utterance]
    decisions: Mapping[str, Decision]
    leaves: Mapping[str, Leaf]
    played: str

    def as_json(self) -> dict[str, Any]:
        """Plain data, a line of ``trees.jsonl``; an utterance that several paths share is written once."""
        distinct = list(dict.fromkeys(self.spoken.values()))
        place = {utterance: number for number, utterance in enumerate(distinct)}
        return {
            **{name: getattr(self, name) for name in ("question_id", "question", "gold", "seed", "played")},
            "grades": {answer: grade.value for answer, grade in self.grades.items()},
            "utterances": [utterance_as_json(utterance) for utterance in distinct],
            "spoken": {prefix: place[utterance] for prefix, utterance in self.spoken.items()},
            "decisions": {prefix: asdict(decision) for prefix, decision in self.decisions.items()},
            "leaves": {prefix: asdict(leaf) for prefix, leaf in self.leaves.items()},
        }


def expanded_from_json(row: Mapping[str, Any]) -> ExpandedRecord:
    """Reads back what ``as_json`` gave.

    Raises:
        AttributeError, IndexError, KeyError, TypeError, ValueError: the row is no such record.
    """
    utterances = [utterance_from_json(each) for each in row["utterances"]]
    return ExpandedRecord(
        **{name: str(row[name]) for name in ("question_id", "question", "gold", "played")},
        seed=int(row["seed"]),
        grades={answer: Grade(grade) for answer, grade in row["grades"].items()},
        spoken={prefix: utterances[number] for prefix, number in row["spoken"].items()},
        decisions={
            prefix: Decision(infoset=tuple(each["infoset"]), speak=float(each["speak"]))
            for prefix, each in row["decisions"].items()
        },
        leaves={prefix: Leaf(**each) for prefix, each in row["leaves"].items()},
    )


def record_trees(
    trees: Sequence[Tree], infosets: Infosets, controller: Controller, utility: Utility
) -> list[ExpandedRecord]:
    """The records of fully expanded questions, and what ``controller`` plays in them; nothing is generated."""
    finals = play(trees, controller)
    return [_record(tree, final, infosets, controller, utility) for tree, final in zip(trees, finals, strict=True)]


def _record(
    tree: Tree, final: Dialogue, infosets: Infosets, controller: Controller, utility: Utility
) -> ExpandedRecord:
    free = {prefix: state for prefix, state in tree.states.items() if not is_terminal(state) and not is_forced(state)}
    chances = controller.speak_probability([*free.values()]) if free else ()
    asked = tree.episode.question
    return ExpandedRecord(
        question_id=asked.id,
        question=asked.text,
        gold=asked.gold,
        seed=tree.episode.seed,
        grades=tree.grades,
        spoken=dict(tree.spoken()),
        decisions={
            prefix: Decision(infoset=infosets.key(state), speak=float(chance))
            for (prefix, state), chance in zip(free.items(), chances, strict=True)
        },
        leaves={state.prefix: _leaf(tree, state, utility) for state in tree.leaves()},
        played=final.prefix,
    )


def _leaf(tree: Tree, state: Dialogue, utility: Utility) -> Leaf:
    right = tree.right(state)
    return Leaf(
        answer=state.team_answer,
        right=right,
        tokens=state.generated_tokens,
        utility=float(utility(right, utility.prices.dialogue(state))),
    )
