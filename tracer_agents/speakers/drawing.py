"""Draws pools: asks every member for independent proposals, and for reviews of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tracer_agents import progress
from tracer_agents.errors import GenerationFailed
from tracer_agents.rollout.pools import Draw, PooledQuestion
from tracer_agents.rollout.tree import grade_answers
from tracer_agents.speakers.model import View, ViewSpeakers
from tracer_agents.types import Episode
from tracer_env.dialogue import FinishReason, Role, Utterance
from tracer_env.seeding import pool_seed
from tracer_env.tasks.base import Task

_Place = tuple[int, int, int]  # (question, member, draw)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """How a pool is drawn.

    Args:
        agents: who speaks for each member.
        speakers: everybody's.
        task: grades the answers.
        draws: proposals per question and member.
        reviews: of each reviewed draw, per reviewer.
        reviewed_draws: how many of a member's draws are reviewed, the first ones; None: all.
        cross: every member reviews everybody's draws, not only its own.
    """

    agents: Sequence[int]
    speakers: ViewSpeakers
    task: Task
    draws: int
    reviews: int
    reviewed_draws: int | None = None
    cross: bool = False

    def questions(self, episodes: Sequence[Episode]) -> list[PooledQuestion]:
        """Some questions, in two calls of the speakers.

        Raises:
            GenerationFailed: an engine did not deliver an utterance.
        """
        members = range(len(self.agents))
        places = [(i, member, k) for i in range(len(episodes)) for member in members for k in range(self.draws)]
        proposals = dict(zip(places, self._said([self._view(episodes[i], m, k) for i, m, k in places]), strict=True))
        reviews = self._reviews(episodes, places, proposals)
        answers: list[dict[str | None, None]] = [{} for _ in episodes]  # the distinct ones, in order
        for (i, *_), proposal in proposals.items():
            answers[i][proposal.answer] = None
        graded = grade_answers(episodes, [list(distinct) for distinct in answers], self.task.grade)

        def draw(i: int, member: int, k: int) -> Draw:
            utterance = proposals[i, member, k]
            by_member = {by: tuple(given) for by, given in reviews.get((i, member, k), {}).items()}
            return Draw(
                utterance=utterance,
                right=utterance.answer is not None and graded[i][utterance.answer].value == "right",
                reviews=by_member.pop(member, ()),
                cross_reviews=by_member,
            )

        return [
            PooledQuestion(
                episode=episode,
                members=tuple(tuple(draw(i, member, k) for k in range(self.draws)) for member in members),
                grades=graded[i],
            )
            for i, episode in enumerate(episodes)
        ]

    def _reviews(
        self, episodes: Sequence[Episode], places: Sequence[_Place], proposals: dict[_Place, Utterance]
    ) -> dict[_Place, dict[int, list[Utterance]]]:
        """The reviews of each draw, by the member that gave them."""
        limit = self.draws if self.reviewed_draws is None else self.reviewed_draws
        asked = [
            ((i, member, k), reviewer, number)
            for i, member, k in places
            if k < limit
            for reviewer in (range(len(self.agents)) if self.cross else [member])
            for number in range(self.reviews)
        ]
        views = [
            self._view(episodes[place[0]], *place[1:], solution=proposals[place].text, reviewer=reviewer, review=number)
            for place, reviewer, number in asked
        ]
        reviews: dict[_Place, dict[int, list[Utterance]]] = {}
        for (place, reviewer, _), utterance in zip(asked, self._said(views), strict=True):
            reviews.setdefault(place, {}).setdefault(reviewer, []).append(utterance)
        return reviews

    def _view(
        self,
        episode: Episode,
        member: int,
        draw: int,
        *,
        solution: str | None = None,
        reviewer: int | None = None,
        review: int | None = None,
    ) -> View:
        """What a member sees for a draw, or, of a solution, for a review of it."""
        speaker, proposer = self.agents[member if reviewer is None else reviewer], self.agents[member]
        another = None if speaker == proposer else speaker
        return View(
            role=Role.PROPOSER if solution is None else Role.REVIEWER,
            agent=speaker,
            question=episode.question.text,
            solution=solution,
            review=None,
            seed=pool_seed(episode.seed, proposer, draw, review, another),
        )

    def _said(self, views: Sequence[View]) -> Sequence[Utterance]:
        progress.expect(len(views))
        with progress.call(len(views)):
            utterances = self.speakers.complete(views) if views else []
        failed = sum(utterance.finish_reason is FinishReason.FAILED for utterance in utterances)
        if failed:
            raise GenerationFailed(
                f"{failed} of {len(views)} utterances of a pool were not delivered; see to the server and run the same "
                "command to go on"
            )
        return utterances
