"""What reviews of one token learn from: the distinct proposals of a batch, each graded already."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracer_agents.credit.groups import Groups
from tracer_agents.rollout.tree import Tree
from tracer_env.dialogue import FinishReason, Role
from tracer_env.tasks.base import Grade

_NOTHING_SAID = (FinishReason.FAILED, FinishReason.TOO_LONG)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedSolution:
    """A question, a proposed solution's text, and whether it is right."""

    question: str
    solution: str
    right: bool


def graded_solutions(trees: Sequence[Tree], groups: Groups | None = None) -> list[GradedSolution]:
    """Every distinct proposal to every question, in trees and in groups, in the order in which they were made.

    Args:
        trees: the expanded questions.
        groups: further completions that were graded; None: there are none.
    """
    known: dict[tuple[str, str], GradedSolution] = {}

    def add(question: str, solution: str, right: bool) -> None:
        known.setdefault((question, solution), GradedSolution(question=question, solution=solution, right=right))

    for tree in trees:
        for prefix, utterance in tree.spoken():
            if tree.states[prefix].role is Role.PROPOSER and utterance.finish_reason not in _NOTHING_SAID:
                right = utterance.answer is not None and tree.grades[utterance.answer] is Grade.RIGHT
                add(tree.episode.question.text, utterance.text, right)
    for candidate in groups.candidates if groups else ():
        if candidate.role is Role.PROPOSER:  # a penalty is less than the reward
            add(candidate.request.episode.question.text, candidate.utterance.text, candidate.reward > 0)
    return list(known.values())
