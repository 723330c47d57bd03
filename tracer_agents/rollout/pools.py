"""What a pool holds: independent proposals to each question with their reviews and grades, as records and plain data.

Independent proposals depend on how many there are, not on the modes that were played. So from one pool any controller,
stopping rule or vote is replayed, at any price and in any order, without a model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer_agents.rollout.records import utterance_as_json, utterance_from_json
from tracer_agents.types import Episode
from tracer_env.dialogue import Utterance
from tracer_env.tasks.base import Grade, Question

SCHEMA_VERSION = 1  # of the file
_SAID = {"text": "", "verdict": None, "finish_reason": "stop"}  # where a file made by hand does not say it


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One independent proposal.

    Args:
        utterance: the proposal.
        right: whether its answer is right; one that cannot be read is not.
        reviews: by its proposer's own model, each made without sight of the others.
        cross_reviews: by other members of the pool, by their place in it.
    """

    utterance: Utterance
    right: bool
    reviews: tuple[Utterance, ...] = ()
    cross_reviews: Mapping[int, tuple[Utterance, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PooledQuestion:
    """One question with the draws of every member, in the order in which they were drawn.

    ``grades`` are those of all answers.
    """

    episode: Episode
    members: tuple[tuple[Draw, ...], ...]
    grades: Mapping[str, Grade] = field(default_factory=dict)

    def reviews(self, proposer: int, draw: int, reviewer: int) -> tuple[Utterance, ...]:
        """The reviews by one member of a draw of another, or of its own."""
        drawn = self.members[proposer][draw]
        return drawn.reviews if proposer == reviewer else drawn.cross_reviews.get(reviewer, ())

    def utterances(self) -> Iterator[Utterance]:
        """Everything that was generated for the question."""
        for draws in self.members:
            for draw in draws:
                yield draw.utterance
                yield from draw.reviews
                for reviews in draw.cross_reviews.values():
                    yield from reviews


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolHeader:
    """What a pool is of: the first row of its file.

    Args:
        members: a name for each model that proposes.
        task, split, seed: where the questions are from; None: not known.
        questions: how many the whole file has; None: as many as there are.
        draws: proposals per question and member; None: not noted.
        reviews: of each reviewed draw, by each reviewer.
        reviewed_draws: how many of a member's draws are reviewed, the first ones.
        about: models, digests of weights and prompts, and whatever else tells how it was made.
    """

    members: tuple[str, ...]
    task: str | None = None
    split: str | None = None
    seed: int | None = None
    questions: int | None = None
    draws: int | None = None
    reviews: int | None = None
    reviewed_draws: int | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Plain data, the first row of the file."""
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in ("members", "about")}
        return {
            "schema_version": SCHEMA_VERSION,
            "members": list(self.members),
            **fields,
            "about": dict(self.about),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A pool: its header and its questions, in the order of the file."""

    header: PoolHeader
    questions: tuple[PooledQuestion, ...]

    @property
    def generated_tokens(self) -> int:
        """What drawing it cost."""
        return tokens_of(self.questions)


def tokens_of(questions: Sequence[PooledQuestion]) -> int:
    """What drawing some questions of a pool cost, generated tokens."""
    return sum(utterance.generated_tokens for question in questions for utterance in question.utterances())


def header_from_json(row: Mapping[str, Any]) -> PoolHeader:
    """Reads back what ``PoolHeader.as_json`` gave; only ``members`` is required beside the version.

    Raises:
        KeyError, TypeError, ValueError: the row is no header of this version.
    """
    fields = dict(row)
    version = fields.pop("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(f"its schema_version is {version!r}, this program reads {SCHEMA_VERSION}")
    members = fields.pop("members")
    if not isinstance(members, list) or not members or not all(isinstance(name, str) and name for name in members):
        raise ValueError(f"members: must be a list of names, got {members!r}")
    if len(set(members)) != len(members):
        raise ValueError(f"members: a name comes twice in {members}")
    return PoolHeader(members=tuple(members), **fields)


def question_as_json(question: PooledQuestion, members: Sequence[str]) -> dict[str, Any]:
    """A row of the file."""
    asked = question.episode.question
    return {
        "question_id": asked.id,
        "question": asked.text,
        "gold": asked.gold,
        "seed": question.episode.seed,
        "members": {
            name: [_draw_as_json(draw, member, members) for draw in question.members[member]]
            for member, name in enumerate(members)
        },
        "grades": {answer: grade.value for answer, grade in question.grades.items()},
    }


def _draw_as_json(draw: Draw, proposer: int, members: Sequence[str]) -> dict[str, Any]:
    by_member = {proposer: draw.reviews, **draw.cross_reviews}
    reviews = {
        members[reviewer]: [utterance_as_json(each) for each in by_member[reviewer]]
        for reviewer in sorted(by_member)
        if by_member[reviewer]
    }
    return {**utterance_as_json(draw.utterance), "reviews": reviews}


def question_from_json(row: Mapping[str, Any], members: Sequence[str], number: int) -> PooledQuestion:
    """Reads a row of the file.

    A row made by hand needs ``question``, ``gold`` and ``members``; a draw needs ``answer`` and ``generated_tokens``, a
    review ``verdict`` or ``p_right``. Without ``grades`` an answer is right where it equals gold.

    Args:
        row: the row.
        members: the names of the header.
        number: of the row, which stands for an id and a seed that are not given.

    Raises:
        KeyError, TypeError, ValueError: the row is no question of such a pool.
    """
    question = Question(
        id=_text(row, "question_id", f"row/{number}"), text=_text(row, "question"), gold=_text(row, "gold")
    )
    if set(row["members"]) != set(members):
        raise ValueError(f"members: the header names {list(members)}, this row {list(row['members'])}")
    grades = {answer: Grade(grade) for answer, grade in row["grades"].items()} if "grades" in row else None
    read = tuple(
        tuple(_draw_from_json(each, place, members, question.gold, grades) for each in row["members"][name])
        for place, name in enumerate(members)
    )
    answers = (draw.utterance.answer for draws in read for draw in draws)
    if grades is None:
        grades = {
            answer: Grade.RIGHT if answer == question.gold else Grade.WRONG for answer in answers if answer is not None
        }
    return PooledQuestion(
        episode=Episode(question=question, seed=int(row.get("seed", number))), members=read, grades=grades
    )


def _text(row: Mapping[str, Any], name: str, default: str | None = None) -> str:
    value = row[name] if default is None else row.get(name, default)
    if not isinstance(value, str):
        raise TypeError(f"{name}: must be a string, got {value!r:.60}")
    return value


def _draw_from_json(
    row: Mapping[str, Any], proposer: int, members: Sequence[str], gold: str, grades: Mapping[str, Grade] | None
) -> Draw:
    fields = dict(row)
    given = fields.pop("reviews", {})
    unknown = set(given) - set(members)
    if unknown:
        raise ValueError(f"reviews: by {sorted(unknown)}, who are not among the members {list(members)}")
    utterance = _utterance(fields)
    answer = utterance.answer
    if grades is not None and answer is not None and answer not in grades:
        raise ValueError(f"grades: there is none of the answer {answer!r}")
    grade = Grade.RIGHT if answer == gold else Grade.WRONG
    reviews = {members.index(name): tuple(_utterance(each) for each in texts) for name, texts in given.items()}
    return Draw(
        utterance=utterance,
        right=answer is not None and (grade if grades is None else grades[answer]) is Grade.RIGHT,
        reviews=reviews.pop(proposer, ()),
        cross_reviews=reviews,
    )


def _utterance(row: Mapping[str, Any]) -> Utterance:
    """An utterance whose counts are counts and whose chances are chances."""
    utterance = utterance_from_json({**_SAID, **row})
    for name in ("generated_tokens", "prompt_tokens"):
        count = getattr(utterance, name)
        if type(count) is not int or count < 0:
            raise ValueError(f"{name}: must be an integer ≥ 0, got {count!r}")
    if utterance.p_right is not None and not 0 <= utterance.p_right <= 1:
        raise ValueError(f"p_right: must lie in [0, 1], got {utterance.p_right!r}")
    if utterance.mean_logp is not None and not utterance.mean_logp <= 0:
        raise ValueError(f"mean_logp: must be ≤ 0, got {utterance.mean_logp!r}")
    if utterance.answer is not None and not isinstance(utterance.answer, str):
        raise TypeError(f"answer: must be a string or null, got {utterance.answer!r}")
    return utterance
