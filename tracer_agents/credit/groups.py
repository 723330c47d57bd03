"""Samples groups of completions at the speak nodes of played dialogues, and pays each by its role.

A group is everything sampled for the same (question, agent, role, exact prompt); candidate 0 continued the
dialogue, the others are further samples of its prompt (DESIGN, section 4).
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from tracer_agents.credit.advantages import group_advantages, group_ids
from tracer_agents.credit.rewards import Penalties, credit_proposal, credit_review
from tracer_agents.rollout.tree import Grader, Tree
from tracer_agents.types import Speakers, SpeakRequest
from tracer_env.dialogue import Dialogue, FinishReason, Mode, Role, Utterance, transition
from tracer_env.rewards import proposer_reward
from tracer_env.tasks.base import Grade

_NOTHING_SAID = (FinishReason.FAILED, FinishReason.TOO_LONG)  # there are no tokens to learn from


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One completion of a group, paid."""

    request: SpeakRequest
    utterance: Utterance
    reward: float
    uplift: float = 0.0

    @property
    def role(self) -> Role:
        """The part in which it was spoken."""
        return self.request.state.role

    @property
    def agent(self) -> int:
        """Who spoke."""
        return self.request.state.agent


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
    dialogues: Sequence[Dialogue],
    speakers: Speakers,
    grade: Grader,
    *,
    group_size: int,
    penalties: Penalties,
    uplift: bool,
    normalise_std: bool,
    agents: Set[int] | None = None,
    reviews: bool = True,
) -> Groups:
    """Completes every spoken turn of the played dialogues ``group_size − 1`` more times, in one batched call.

    Args:
        trees, dialogues: the expanded questions and the dialogue played in each.
        speakers: say the further completions.
        grade: grades the further proposals, in one call.
        group_size: completions per spoken turn, the one played included.
        penalties: the prices of bad form.
        uplift: also pay reviews for what a proposal refreshed after them is worth (one more batched call).
        normalise_std: see ``group_advantages``.
        agents: whose turns are completed, those who learn; None: everybody's.
        reviews: whether reviews form groups, too.
    """
    spoken = [
        _Completion(tree, tree.request(dialogue.prefix[: turn.round - 1]), turn.utterance)
        for tree, dialogue in zip(trees, dialogues, strict=True)
        for turn in dialogue.turns
        if turn.utterance and turn.utterance.finish_reason not in _NOTHING_SAID and _learns(turn.agent, agents)
        if reviews or turn.role is Role.PROPOSER
    ]
    wanted = [
        (played.tree, replace(played.request, candidate=candidate))
        for played in spoken
        for candidate in range(1, group_size)
    ]
    answers = speakers.speak([request for _, request in wanted])
    further = [
        _Completion(tree, request, utterance)
        for (tree, request), utterance in zip(wanted, answers, strict=True)
        if utterance.finish_reason not in _NOTHING_SAID
    ]
    completions = spoken + further
    lifts = _uplifts(completions, speakers, grade) if uplift else [0.0] * len(completions)
    measured = [(completion, lift) for completion, lift in zip(completions, lifts, strict=True) if lift is not None]
    right = _right_proposals([completion for completion, _ in measured], grade)
    candidates = tuple(
        _paid(completion, is_right, lift, penalties)
        for (completion, lift), is_right in zip(measured, right, strict=True)
    )
    group = group_ids(_group_key(candidate) for candidate in candidates)
    reward = np.array([candidate.reward for candidate in candidates])
    advantage, signal = group_advantages(reward, group, normalise_std=normalise_std)
    missing = len(spoken) + len(wanted) - len(candidates)
    return Groups(candidates=candidates, group=group, advantage=advantage, signal=signal, n_failed=missing)


def _learns(agent: int, agents: Set[int] | None) -> bool:
    return agents is None or agent in agents


class _Completion(NamedTuple):
    tree: Tree
    request: SpeakRequest
    utterance: Utterance


def _paid(completion: _Completion, right: bool, lift: float, penalties: Penalties) -> Candidate:
    utterance = completion.utterance
    if completion.request.state.role is Role.PROPOSER:
        reward = credit_proposal(utterance, right, penalties)
    else:
        reward = credit_review(utterance, right, penalties, lift)
    return Candidate(request=completion.request, utterance=utterance, reward=reward, uplift=lift)


def _group_key(candidate: Candidate) -> tuple[str, int, Role, tuple[str, ...]]:
    """(question, agent, role, what determines the exact prompt)."""
    state = candidate.request.state
    shown: tuple[str, ...] = ()
    if state.role is Role.REVIEWER or (state.rules.revisions and state.reviews_of_pending()):
        turns = (state.pending, *state.reviews_of_pending()[-1:])
        shown = tuple(turn.utterance.text for turn in turns if turn and turn.utterance)
    return candidate.request.episode.question.id, state.agent, state.role, shown


def _right_proposals(completions: Sequence[_Completion], grade: Grader) -> list[bool]:
    """Whether each proposal is right; for a review, whether the solution it reviews is."""
    answers = [
        utterance.answer if request.state.role is Role.PROPOSER else request.state.answer
        for _, request, utterance in completions
    ]
    grades = grade(answers, [tree.episode.question.gold for tree, _, _ in completions])
    return [each is Grade.RIGHT for each in grades]


def _uplifts(completions: Sequence[_Completion], speakers: Speakers, grade: Grader) -> list[float | None]:
    """For each review: the value (±1) of a proposal refreshed after it minus that of the pending one; else 0.

    None where an engine did not deliver the refreshed proposal.
    """
    reviews = [index for index, (_, request, _) in enumerate(completions) if request.state.role is Role.REVIEWER]
    after = [
        SpeakRequest(
            episode=tree.episode,
            state=transition(transition(request.state, utterance), Mode.SPEAK),
            candidate=request.candidate,
        )
        for tree, request, utterance in (completions[index] for index in reviews)
    ]
    refreshed = speakers.speak(after)
    golds = [completions[index].tree.episode.question.gold for index in reviews]
    new = grade([utterance.answer for utterance in refreshed], golds)
    old = grade([completions[index].request.state.answer for index in reviews], golds)
    lifts: list[float | None] = [0.0] * len(completions)
    for index, utterance, grade_after, grade_before in zip(reviews, refreshed, new, old, strict=True):
        lift = proposer_reward(grade_after is Grade.RIGHT) - proposer_reward(grade_before is Grade.RIGHT)
        lifts[index] = None if utterance.finish_reason in _NOTHING_SAID else lift
    return lifts
