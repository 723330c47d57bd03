"""Speakers that read from a pool instead of generating, and a task whose questions and grades are the pool's."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from tracer_agents.errors import RunError
from tracer_agents.rollout.pools import PooledQuestion
from tracer_agents.speakers.model import View
from tracer_agents.types import SpeakRequest
from tracer_env.dialogue import Dialogue, Role, Rules, Utterance, Verdict
from tracer_env.errors import ConfigError, DataError
from tracer_env.seeding import generator, pool_seed
from tracer_env.tasks.base import Grade, Question, Split

_NO_REVISIONS = (
    "dialogue.revisions: a pool holds proposals made from the question alone; set dialogue.revisions: false, so that "
    "no proposer sees reviews"
)


@dataclass(frozen=True, kw_only=True)
class PoolSpeakers:
    """Everybody's speakers, reading from a pool; along one path no draw and no review is used twice.

    The n-th proposal of a member in a dialogue is its n-th draw, the n-th review of a draw by a member its n-th review
    of that draw. Different paths share draws, which leaves the mean value of every profile what it is with fresh
    utterances and makes differences between profiles less noisy. Of a draw whose reviews are all used, a verdict of
    known probability can be had again: another verdict with the same chance, for as many tokens. In a pool that holds
    no review of anything, reviewers say nothing, for no tokens, and whether they speak changes nothing.

    Args:
        questions: of one or several pools of the same members, by their ids.
        voices: the member that each agent speaks as.
    """

    questions: Mapping[str, PooledQuestion] = field(repr=False)
    voices: tuple[int, ...]

    def require(self, rules: Rules) -> None:
        """Refuses rules whose dialogues ask for more than the pool holds, before any is played.

        Raises:
            ConfigError: revisions are asked for, or an agent without a voice, or some question has too few draws or
                reviews.
        """
        if rules.revisions and rules.rounds > 1:
            raise ConfigError(_NO_REVISIONS)
        if rules.n_agents > len(self.voices):
            raise ConfigError(f"dialogue.n_agents: {rules.n_agents} agents, and the pool speaks for {len(self.voices)}")
        draws, reviews = most_used(rules, self.voices)
        if self._silent:
            reviews.clear()
        for question in self.questions.values():
            name = question.episode.question.id
            for member, count in draws.items():
                if len(question.members[member]) < count:
                    raise ConfigError(
                        f"dialogue.rounds: a dialogue has up to {count} proposals of member {member}, and the pool "
                        f"holds {len(question.members[member])} of question {name!r}; draw more (--draws {count}), or "
                        "choose fewer rounds"
                    )
            for (proposer, draw, reviewer), count in reviews.items():
                reviews_held = question.reviews(proposer, draw, reviewer)
                held = len(reviews_held)
                if held < count and not _repeatable(reviews_held):
                    cross = " --cross" if proposer != reviewer else ""
                    raise ConfigError(
                        f"dialogue.rounds: a dialogue has up to {count} reviews by member {reviewer} of draw {draw} of "
                        f"member {proposer}, and the pool holds {held} of question {name!r}; draw more (--reviews "
                        f"{count} --reviewed-draws {draw + 1}{cross}), or choose fewer rounds"
                    )

    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        """The next draw, or the next review of the pending draw, of each request; further candidates are those after.

        Raises:
            ConfigError: revisions are asked for.
            DataError: the pool does not hold the question, or not enough draws or reviews of it.
        """
        return [self._say(request) for request in requests]

    def complete(self, views: Sequence[View]) -> list[Utterance]:
        """Nothing: a pool answers its own questions only.

        Raises:
            DataError: always.
        """
        raise DataError(
            "a pool holds proposals and their reviews, and answers nothing else; use speakers that generate"
        )

    def _say(self, request: SpeakRequest) -> Utterance:
        state, name = request.state, request.episode.question.id
        if state.rules.revisions and state.role is Role.PROPOSER and state.reviews_of_pending():
            raise ConfigError(_NO_REVISIONS)
        question = self.questions.get(name)
        if question is None:
            raise DataError(f"the pool holds no question {name!r}; draw it, or ask only what the pool holds")
        member = self.voices[state.agent]
        if state.role is Role.PROPOSER:
            held, place = tuple(draw.utterance for draw in question.members[member]), self._proposals(state, member)
            what = f"{len(held)} draws of member {member}"
        else:
            if self._silent:
                return Utterance(text="")
            proposer, draw = self._pending(state)
            held, place = question.reviews(proposer, draw, member), self._reviews(state, member)
            what = f"{len(held)} reviews by member {member} of draw {draw} of member {proposer}"
            if place + request.candidate >= len(held) and _repeatable(held):
                return _again(
                    held[0], pool_seed(question.episode.seed, proposer, draw, place + request.candidate, member)
                )
        place += request.candidate
        if place >= len(held):
            raise DataError(f"the pool holds {what} for question {name!r}, and number {place + 1} is asked for")
        return held[place]

    @cached_property
    def _silent(self) -> bool:
        """Whether nothing was reviewed."""
        draws = (draw for question in self.questions.values() for member in question.members for draw in member)
        return not any(draw.reviews or draw.cross_reviews for draw in draws)

    def _proposals(self, state: Dialogue, member: int, before: int | None = None) -> int:
        """How many proposals a member has made, before a round."""
        turns = state.turns if before is None else state.turns[: before - 1]
        return sum(
            turn.utterance is not None and turn.role is Role.PROPOSER and self.voices[turn.agent] == member
            for turn in turns
        )

    def _pending(self, state: Dialogue) -> tuple[int, int]:
        """The member that proposed the pending solution, and which of its draws that is."""
        assert state.pending is not None  # the first round is a proposal and forced
        member = self.voices[state.pending.agent]
        return member, self._proposals(state, member, before=state.pending.round)

    def _reviews(self, state: Dialogue, member: int) -> int:
        return sum(self.voices[turn.agent] == member for turn in state.reviews_of_pending())


def _repeatable(reviews: Sequence[Utterance]) -> bool:
    """Whether what a further review would say is known in distribution."""
    return bool(reviews) and reviews[0].p_right is not None


def _again(review: Utterance, seed: int) -> Utterance:
    """Another verdict with the chance of the first."""
    assert review.p_right is not None
    verdict = Verdict.RIGHT if generator(seed).random() < review.p_right else Verdict.WRONG
    return replace(review, text=f"{verdict}", verdict=verdict)


def most_used(rules: Rules, voices: Sequence[int]) -> tuple[Counter[int], Counter[tuple[int, int, int]]]:
    """The most that any dialogue under some rules takes from a pool.

    Args:
        rules: the shape of the dialogues.
        voices: the member that each agent speaks as.

    Returns:
        member -> draws; (proposing member, draw, reviewing member) -> reviews.
    """
    draws: Counter[int] = Counter()
    reviews: Counter[tuple[int, int, int]] = Counter()
    for place, (agent, role) in enumerate(rules.seats):
        if role is not Role.PROPOSER:
            continue
        member = voices[agent]
        forced = place > 0 and voices[rules.seats[0][0]] == member  # the first proposal is always made
        after = Counter(voices[reviewer] for reviewer, part in rules.seats[place:] if part is Role.REVIEWER)
        for draw in range(int(forced), draws[member] + 1):
            for reviewer, count in after.items():
                key = member, draw, reviewer
                reviews[key] = max(reviews[key], count)
        draws[member] += 1
    return draws, reviews


@dataclass(frozen=True, kw_only=True)
class PoolTask:
    """A task over the questions of pools: a finite list in each split, graded as the pools say.

    Args:
        name: of the task that the questions are from.
        splits: the questions of each split, in the order of their pool; no question is in two.

    Raises:
        DataError: a question is in two splits.
    """

    name: str
    splits: Mapping[Split, Sequence[PooledQuestion]] = field(repr=False)
    trainable: bool = True
    answer_format: str = ""

    def __post_init__(self) -> None:
        seen: dict[str, Split] = {}
        for split, questions in self.splits.items():
            for question in questions:
                name = question.episode.question.id
                if name in seen:
                    raise DataError(
                        f"question {name!r} is in the pools of {seen[name]!r} and of {split!r}; what is learned from "
                        "is not to be tested on: give pools of different questions"
                    )
                seen[name] = split

    @property
    def questions(self) -> dict[str, PooledQuestion]:
        """All questions by their ids."""
        return {each.episode.question.id: each for questions in self.splits.values() for each in questions}

    def draw(self, split: Split, start: int, count: int, *, seed: int) -> list[Question]:
        """Questions ``start … start+count−1`` of a split's pool, as far as it goes; ``seed`` changes nothing."""
        return [each.episode.question for each in self.splits.get(split, ())[start : start + count]]

    def parse(self, completion: str) -> str | None:
        """Nothing: the answers of a pool are read already.

        Raises:
            RunError: always.
        """
        raise RunError("the answers of a pool are read already; parse new texts with the task that they are from")

    def grade(self, answers: Sequence[str | None], golds: Sequence[str]) -> list[Grade]:
        """The recorded grades; an answer that could not be read is wrong.

        Raises:
            DataError: an answer that was never graded.
        """
        return [self._grade(answer, gold) for answer, gold in zip(answers, golds, strict=True)]

    def _grade(self, answer: str | None, gold: str) -> Grade:
        if answer is None:
            return Grade.WRONG
        if (answer, gold) not in self._grades:
            raise DataError(f"the pools hold no grade of the answer {answer!r} where {gold!r} is right")
        return self._grades[answer, gold]

    @cached_property
    def _grades(self) -> dict[tuple[str, str], Grade]:
        return {
            (answer, each.episode.question.gold): grade
            for questions in self.splits.values()
            for each in questions
            for answer, grade in each.grades.items()
        }
