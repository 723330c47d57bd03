"""Samples groups of completions at the speak nodes of played lines, and pays each by its role.

A group is everything sampled for the same (question, agent, role, exact prompt); candidate 0 continued the
dialogue, the others are further samples of its prompt (DESIGN, section 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tracer_agents.credit.advantages import group_advantages, group_ids
from tracer_agents.credit.rewards import Penalties, credit_proposal, credit_review
from tracer_agents.rollout.tree import Grader, Tree
from tracer_agents.types import Speakers, SpeakRequest, mode_prefix
from tracer_env.dialogue import Dialogue, FinishReason, Mode, Role, Utterance, transition
from tracer_env.rewards import proposer_reward
from tracer_env.tasks.base import Grade


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One completion of a group, paid."""

    request: SpeakRequest
    utterance: Utterance
    reward: float
    uplift: float = 0.0

    @property
    def role(self) -> Role:
        """Who spoke."""
        return self.request.state.role


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """All candidates of a batch with their group numbers and advantages, arrays of shape (candidates,)."""

    candidates: tuple[Candidate, ...]
    group: np.ndarray
    advantage: np.ndarray
    signal: np.ndarray  # bool: the group's rewards differ
    n_failed: int = 0  # candidates that an engine did not deliver, or whose uplift it left unknown; in no group

    @property
    def n_groups(self) -> int:
        """How many groups were sampled."""
        return int(self.group.max(initial=-1)) + 1

    @property
    def n_dropped(self) -> int:
        """How many groups carry no signal, all their rewards being equal."""
        return self.n_groups - len(np.unique(self.group[self.signal]))


def sample_groups(
    trees: Sequence[Tree],
    lines: Sequence[Dialogue],
    speakers: Speakers,
    grade: Grader,
    *,
    group_size: int,
    penalties: Penalties,
    uplift: bool,
    normalise_std: bool,
) -> Groups:
    """Completes every spoken turn of the played lines ``group_size − 1`` more times, in one batched call.

    Args:
        trees, lines: the expanded questions and the dialogue played in each.
        speakers: say the further completions.
        grade: grades the further proposals, in one call.
        uplift: also pay reviews for what a proposal refreshed after them is worth (one more batched call).
    """
    first: list[tuple[Tree, SpeakRequest, Utterance]] = []
    for tree, line in zip(trees, lines, strict=True):
        modes = mode_prefix(line)
        first += [
            (tree, tree.request(modes[: turn.round - 1]), turn.utterance) for turn in line.turns if turn.utterance
        ]
    further = [(tree, replace(request, candidate=c)) for tree, request, _ in first for c in range(1, group_size)]
    said = speakers.speak([request for _, request in further])
    came = [
        (*where, one) for where, one in zip(further, said, strict=True) if one.finish_reason is not FinishReason.FAILED
    ]
    everything = first + came
    lifts = _uplifts(everything, speakers, grade) if uplift else [0.0] * len(everything)
    measured = [lift is not None for lift in lifts]
    everything = [one for one, known in zip(everything, measured, strict=True) if known]
    lifts = [lift for lift in lifts if lift is not None]
    rewards = _right_proposals(everything, grade)
    candidates = tuple(
        Candidate(
            request=request,
            utterance=utterance,
            reward=(
                credit_proposal(utterance, right, penalties)
                if request.state.role is Role.PROPOSER
                else credit_review(utterance, right, penalties, lift)
            ),
            uplift=lift,
        )
        for (_, request, utterance), right, lift in zip(everything, rewards, lifts, strict=True)
    )
    group = group_ids(_group_key(candidate) for candidate in candidates)
    reward = np.array([candidate.reward for candidate in candidates])
    advantage, signal = group_advantages(reward, group, normalise_std=normalise_std)
    missing = len(first) + len(further) - len(candidates)
    return Groups(candidates=candidates, group=group, advantage=advantage, signal=signal, n_failed=missing)


def _group_key(candidate: Candidate) -> tuple:
    """(question, agent, role, what determines the exact prompt)."""
    state = candidate.request.state
    shown: tuple = ()
    if state.role is Role.REVIEWER or state.reviews_of_pending():
        turns = (state.pending, *state.reviews_of_pending()[-1:])
        shown = tuple(turn.utterance.text for turn in turns if turn and turn.utterance)
    return candidate.request.episode.question.id, state.agent, state.role, shown


def _right_proposals(spoken: Sequence[tuple[Tree, SpeakRequest, Utterance]], grade: Grader) -> list[bool]:
    """Whether each proposal is right; for a review, whether the solution it reviews is."""
    answers = [
        utterance.answer if request.state.role is Role.PROPOSER else request.state.answer
        for _, request, utterance in spoken
    ]
    grades = grade(answers, [tree.episode.question.gold for tree, _, _ in spoken])
    return [one is Grade.RIGHT for one in grades]


def _uplifts(
    spoken: Sequence[tuple[Tree, SpeakRequest, Utterance]], speakers: Speakers, grade: Grader
) -> list[float | None]:
    """For each review: the value (±1) of a proposal refreshed after it minus that of the pending one; else 0.

    None where an engine did not deliver the refreshed proposal.
    """
    reviews = [index for index, (_, request, _) in enumerate(spoken) if request.state.role is Role.REVIEWER]
    after = [
        SpeakRequest(
            episode=tree.episode,
            state=transition(transition(request.state, utterance), Mode.SPEAK),
            candidate=request.candidate,
        )
        for tree, request, utterance in (spoken[index] for index in reviews)
    ]
    refreshed = speakers.speak(after)
    golds = [spoken[index][0].episode.question.gold for index in reviews]
    new = grade([utterance.answer for utterance in refreshed], golds)
    old = grade([spoken[index][1].state.answer for index in reviews], golds)
    lifts: list[float | None] = [0.0] * len(spoken)
    for index, said, after_, before in zip(reviews, refreshed, new, old, strict=True):
        lift = proposer_reward(after_ is Grade.RIGHT) - proposer_reward(before is Grade.RIGHT)
        lifts[index] = None if said.finish_reason is FinishReason.FAILED else lift
    return lifts
