"""Pools: independent proposals of every member, with reviews of its first one, from which rivals are replayed.

A pool holds, for each question and each member, K proposals drawn from the question alone, each with its answer's
grade, its tokens and its mean log-probability, and the member's own reviews of its first proposal. Any rule that stops,
votes or passes a question on is replayed on it in seconds, at any price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.suite import per_question
from benchmarks.suite.per_question import damaged, grow, read_whole
from tracer_agents.rollout.records import utterance_as_json, utterance_from_json
from tracer_agents.rollout.tree import grade_answers
from tracer_agents.speakers.model import View, ViewSpeakers
from tracer_agents.types import Episode
from tracer_env.dialogue import Role, Utterance
from tracer_env.seeding import pool_seed
from tracer_env.tasks.base import Grade, Task

_FIELDS, _WHAT = ("question_id", "members", "grades"), "a question of a pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One independent proposal; ``reviews`` are its proposer's own."""

    utterance: Utterance
    right: bool
    reviews: tuple[Utterance, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledQuestion:
    """One question with the draws of every member, by agent."""

    episode: Episode
    members: tuple[tuple[Draw, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a pool is drawn.

    Args:
        agents: whose proposals, one agent for each voice.
        speakers: everybody's.
        task: grades the answers.
        draws: proposals per question and agent.
        reviews: of each agent's first proposal, by itself.
    """

    agents: Sequence[int]
    speakers: ViewSpeakers
    task: Task
    draws: int
    reviews: int

    def rows(self, episodes: Sequence[Episode]) -> list[dict[str, Any]]:
        """The rows of some questions, in two calls of the speakers."""
        places = [(i, agent, k) for i in range(len(episodes)) for agent in self.agents for k in range(self.draws)]
        views = [_view(episodes[i], agent, k) for i, agent, k in places]
        proposals = dict(zip(places, self.speakers.complete(views), strict=True))
        asked = [
            (i, agent, number)
            for i, agent, k in places
            if k == 0 and proposals[i, agent, 0].answer is not None
            for number in range(self.reviews)
        ]
        views = [_view(episodes[i], agent, 0, proposals[i, agent, 0].text, number) for i, agent, number in asked]
        reviews = dict(zip(asked, self.speakers.complete(views) if views else [], strict=True))
        answers: list[dict[str | None, None]] = [{} for _ in episodes]  # the distinct ones, in order
        for (i, *_), proposal in proposals.items():
            answers[i][proposal.answer] = None
        graded = grade_answers(episodes, [list(distinct) for distinct in answers], self.task.grade)

        def row(i: int, agent: int, k: int) -> dict[str, Any]:
            of_draw = [reviews[i, agent, n] for n in range(self.reviews) if k == 0 and (i, agent, n) in reviews]
            return {
                **utterance_as_json(proposals[i, agent, k]),
                "reviews": [utterance_as_json(each) for each in of_draw],
            }

        return [
            {
                "question_id": episode.question.id,
                "members": {str(agent): [row(i, agent, k) for k in range(self.draws)] for agent in self.agents},
                "grades": {answer: grade.value for answer, grade in graded[i].items()},
            }
            for i, episode in enumerate(episodes)
        ]


def _view(episode: Episode, agent: int, draw: int, solution: str | None = None, review: int | None = None) -> View:
    """What an agent sees for a draw, or, of a solution, for a review of it."""
    return View(
        role=Role.PROPOSER if solution is None else Role.REVIEWER,
        agent=agent,
        question=episode.question.text,
        solution=solution,
        review=None,
        seed=pool_seed(episode.seed, agent, draw, review),
    )


def record(path: Path, episodes: Sequence[Episode], drawing: Drawing, *, chunk: int) -> None:
    """Draws for the questions that the file does not hold yet, a chunk at a time; a killed recording is continued.

    Raises:
        RunError: the file holds other questions, or a line is damaged.
    """
    grow(path, episodes, _FIELDS, _WHAT, drawing.rows, chunk=chunk)


def load(path: Path, episodes: Sequence[Episode]) -> tuple[PooledQuestion, ...]:
    """Reads a complete pool of exactly these questions.

    Raises:
        RunError: it is missing, incomplete, damaged, or of other questions.
    """
    rows = read_whole(path, episodes, _FIELDS, _WHAT)
    pool: list[PooledQuestion] = []
    for number, (row, episode) in enumerate(zip(rows, episodes, strict=False), start=1):
        try:
            members = (row["members"][str(agent)] for agent in sorted(map(int, row["members"])))
            pool.append(
                PooledQuestion(
                    episode=episode,
                    members=tuple(tuple(_draw(each, row["grades"]) for each in draws) for draws in members),
                )
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise damaged(path, number, _WHAT, error) from error
    return tuple(pool)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The whole rows of a pool, a question each; a torn last line is left out.

    Raises:
        RunError: another line is damaged.
    """
    return per_question.read_rows(path, _FIELDS, _WHAT)


def _draw(row: Mapping[str, Any], grades: Mapping[str, str]) -> Draw:
    utterance = utterance_from_json({name: value for name, value in row.items() if name != "reviews"})
    return Draw(
        utterance=utterance,
        right=utterance.answer is not None and Grade(grades[utterance.answer]) is Grade.RIGHT,
        reviews=tuple(utterance_from_json(review) for review in row["reviews"]),
    )


def tokens_of(pool: Sequence[PooledQuestion]) -> int:
    """What drawing a pool cost, generated tokens."""
    return sum(
        utterance.generated_tokens
        for question in pool
        for draws in question.members
        for draw in draws
        for utterance in (draw.utterance, *draw.reviews)
    )
