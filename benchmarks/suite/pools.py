"""Pools: independent proposals of every member, with reviews of its first one, from which rivals are replayed.

A pool holds, for each question and each member, K proposals drawn from the question alone, each with its answer's
grade, its tokens and its mean log-probability, and the member's own reviews of its first proposal. Any rule that stops,
votes or passes a question on is replayed on it in seconds, at any price.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from benchmarks.suite import per_question
from benchmarks.suite.per_question import damaged, grow, read_whole
from tracer_agents.rollout.tree import grade_answers
from tracer_agents.speakers.model import View, ViewSpeakers
from tracer_agents.types import Episode
from tracer_env.dialogue import FinishReason, Role, Utterance, Verdict
from tracer_env.seeding import pool_seed
from tracer_env.tasks.base import Grade, Task

_FIELDS, _WHAT = ("question_id", "members", "grades"), "a question of a pool"
_NAMES = [field.name for field in fields(Utterance)]


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


def record(
    path: Path,
    episodes: Sequence[Episode],
    agents: Sequence[int],
    speakers: ViewSpeakers,
    task: Task,
    *,
    draws: int,
    reviews: int,
    chunk: int,
) -> None:
    """Draws for the questions that the file does not hold yet, a chunk at a time; a killed recording is continued.

    Args:
        path: a JSONL file, one question per line.
        episodes: the questions.
        agents: whose proposals, one agent for each voice.
        speakers: everybody's.
        task: grades the answers.
        draws: proposals per question and agent.
        reviews: of each agent's first proposal, by itself.
        chunk: questions that are drawn, and put on disk, together.

    Raises:
        RunError: the file holds other questions, or a line is damaged.
    """

    def drawn(part: Sequence[Episode]) -> list[dict[str, Any]]:
        return _drawn(part, agents, speakers, task, draws=draws, reviews=reviews)

    grow(path, episodes, _FIELDS, _WHAT, drawn, chunk=chunk)


def _drawn(
    episodes: Sequence[Episode],
    agents: Sequence[int],
    speakers: ViewSpeakers,
    task: Task,
    *,
    draws: int,
    reviews: int,
) -> list[dict[str, Any]]:
    places = [(index, agent, draw) for index in range(len(episodes)) for agent in agents for draw in range(draws)]
    proposals = dict(zip(places, speakers.complete([_fresh(episodes[i], a, k) for i, a, k in places]), strict=True))
    asked = [
        (index, agent, review)
        for index, agent, draw in places
        if draw == 0 and proposals[index, agent, 0].answer is not None
        for review in range(reviews)
    ]
    views = [_review(episodes[i], a, proposals[i, a, 0].text, number) for i, a, number in asked]
    reviewed = dict(zip(asked, speakers.complete(views) if views else [], strict=True))
    answers = [
        [each.answer for (question, *_), each in proposals.items() if question == index]
        for index in range(len(episodes))
    ]
    graded = grade_answers(episodes, [list(dict.fromkeys(of_question)) for of_question in answers], task.grade)
    return [
        {
            "question_id": episode.question.id,
            "members": {
                str(agent): [
                    {
                        **_row(proposals[index, agent, draw]),
                        "reviews": [
                            _row(reviewed[index, agent, number])
                            for number in range(reviews)
                            if draw == 0 and (index, agent, number) in reviewed
                        ],
                    }
                    for draw in range(draws)
                ]
                for agent in agents
            },
            "grades": {answer: grade.value for answer, grade in graded[index].items()},
        }
        for index, episode in enumerate(episodes)
    ]


def _fresh(episode: Episode, agent: int, draw: int) -> View:
    return View(
        role=Role.PROPOSER,
        agent=agent,
        question=episode.question.text,
        solution=None,
        review=None,
        seed=pool_seed(episode.seed, agent, draw),
    )


def _review(episode: Episode, agent: int, solution: str, number: int) -> View:
    return View(
        role=Role.REVIEWER,
        agent=agent,
        question=episode.question.text,
        solution=solution,
        review=None,
        seed=pool_seed(episode.seed, agent, 0, number),
    )


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


def _row(utterance: Utterance) -> dict[str, Any]:
    return {name: getattr(utterance, name) for name in _NAMES}


def _draw(row: Mapping[str, Any], grades: Mapping[str, str]) -> Draw:
    utterance = _utterance({name: value for name, value in row.items() if name != "reviews"})
    return Draw(
        utterance=utterance,
        right=utterance.answer is not None and Grade(grades[utterance.answer]) is Grade.RIGHT,
        reviews=tuple(_utterance(review) for review in row["reviews"]),
    )


def _utterance(row: Mapping[str, Any]) -> Utterance:
    verdict = Verdict(row["verdict"]) if row["verdict"] else None
    return Utterance(**{**row, "verdict": verdict, "finish_reason": FinishReason(row["finish_reason"])})


def tokens_of(pool: Sequence[PooledQuestion]) -> int:
    """What drawing a pool cost, generated tokens."""
    return sum(
        utterance.generated_tokens
        for question in pool
        for draws in question.members
        for draw in draws
        for utterance in (draw.utterance, *draw.reviews)
    )
