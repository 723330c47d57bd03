"""A second, independent grader's opinion of every recorded answer."""

from dataclasses import dataclass

import pandas as pd

from tracer_agents.rollout.records import Outcome
from tracer_env.grading.base import Grade, Grader


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What the second grader says of one task's answers; an answer that was not read is no matter of opinion.

    Args:
        answers: graded by both.
        pairs: distinct pairs of answer and gold among them.
        unread: answers on which the second has no opinion.
        disputed: one row a pair that one calls right and the other wrong, the most frequent first, with the columns
            ``answer``, ``gold``, ``first``, ``second`` (grades) and ``answers`` (how many).
    """

    answers: int
    pairs: int
    unread: int
    disputed: pd.DataFrame

    @property
    def disagreement(self) -> float:
        """Share of the answers on which both have an opinion that is disputed; NaN if there are none."""
        judged = self.answers - self.unread
        return float(self.disputed["answers"].sum()) / judged if judged else float("nan")


def second_opinion(answers: pd.DataFrame, grader: Grader) -> Opinion:
    """Grades a task's recorded answers again.

    Args:
        answers: rows of ``Results.answers``.
        grader: the second one.
    """
    read = answers[answers["answer"].notna() & ~answers["grade"].isin([Outcome.FAILED, Outcome.UNGRADABLE])]
    pairs = read.groupby(["answer", "gold", "grade"], sort=True).size().reset_index(name="answers")
    pairs = pairs.rename(columns={"grade": "first"})
    second = [grade.value for grade in grader.grade(pairs["answer"].to_list(), pairs["gold"].to_list())]
    pairs.insert(3, "second", second)
    judged = pairs["second"] != Grade.UNGRADABLE
    disputed = pairs[judged & (pairs["first"] != pairs["second"])]
    return Opinion(
        answers=len(read),
        pairs=len(pairs),
        unread=int(pairs.loc[~judged, "answers"].sum()),
        disputed=disputed.sort_values(["answers", "answer", "gold"], ascending=[False, True, True]),
    )
