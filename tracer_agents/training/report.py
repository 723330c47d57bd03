"""What one training step saw and did, as a record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from tracer_agents.credit.groups import Groups
from tracer_agents.evaluation.certificate import Certificate
from tracer_agents.learners.policy import GSPOStats
from tracer_agents.learners.verdicts import VerdictStats
from tracer_agents.rollout.tree import Tree
from tracer_env.dialogue import Dialogue, FinishReason, Role, Turn
from tracer_env.rendering import render_dialogue
from tracer_env.rewards import Utility


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """The dialogues of a step: what the behaviour chose in each expanded question, before anything was learned.

    ``lost`` are the questions whose dialogues an engine did not finish.
    """

    trees: Sequence[Tree]
    dialogues: Sequence[Dialogue]
    lost: Sequence[Tree]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one training step saw and did; the profile's figures are on new questions, before it learned from them."""

    step: int
    questions: int
    failed_questions: tuple[str, ...]  # ids of questions whose dialogues an engine did not finish; nothing else is kept
    failed_candidates: int  # completions of groups that an engine did not deliver
    accuracy: float  # of the dialogues played
    utility: float
    generated_tokens: float  # per dialogue played
    speak_rate: float | None
    speak_rate_by_role: dict[str, float | None]
    first_proposal_accuracy: float  # of single answers, over all candidates of round 1
    proposer_reward: float | None  # mean over the group's candidates
    reviewer_reward: float | None
    truncation_rate: float  # of all utterances generated this step: cut by the token limit
    utterances: int  # generated this step, all of them
    all_tokens: int  # generated this step, in trees and groups
    groups: int
    groups_dropped: int
    gspo: GSPOStats | None  # over all policies
    gspo_by_policy: dict[str, GSPOStats]  # where there are several
    infosets: int
    regret_iterations: int
    policy_version: int
    certificate: Certificate | None  # of the team after the step, on validation questions; only at checkpoints
    seconds: dict[str, float]
    verdicts: dict[str, VerdictStats] = field(default_factory=dict)  # by policy, where reviews are one token
    sample: str = ""  # a dialogue that was played, as plain text; in no file but those for people who watch

    def as_json(self) -> dict[str, Any]:
        """A line of ``metrics.jsonl``: wall times in ``timing`` and nowhere else."""
        left_out = {"seconds", "sample"} if self.verdicts else {"seconds", "sample", "verdicts"}
        row = {name: value for name, value in asdict(self).items() if name not in left_out}
        certificate = self.certificate.as_json() if self.certificate else None
        return {**row, "certificate": certificate, "timing": self.seconds}


def play_figures(played: Played, utility: Utility) -> dict[str, Any]:
    """The report's fields about the dialogues played."""
    right = np.array([tree.right(state) for tree, state in zip(played.trees, played.dialogues, strict=True)])
    tokens = np.array([dialogue.generated_tokens for dialogue in played.dialogues])
    cost = np.array([utility.prices.dialogue(dialogue) for dialogue in played.dialogues])
    free = [turn for dialogue in played.dialogues for turn in dialogue.turns if not turn.forced]
    return {
        "questions": len(played.trees),
        "failed_questions": tuple(tree.episode.question.id for tree in played.lost),
        "accuracy": float(right.mean()),
        "utility": float(np.mean(utility(right, cost))),
        "generated_tokens": float(tokens.mean()),
        "speak_rate": _speak_rate(free),
        "speak_rate_by_role": {role.value: _speak_rate([turn for turn in free if turn.role is role]) for role in Role},
        "sample": _sample(played),
    }


def _speak_rate(free: Sequence[Turn]) -> float | None:
    return float(np.mean([turn.mode for turn in free])) if free else None


def _sample(played: Played) -> str:
    """The first dialogue that was played, and whether its answer is right."""
    if not played.dialogues:
        return ""
    tree, dialogue = played.trees[0], played.dialogues[0]
    return f"{render_dialogue(dialogue)}\n{'right' if tree.right(dialogue) else 'wrong'}"


def credit_figures(trees: Sequence[Tree], groups: Groups | None) -> dict[str, Any]:
    """The report's fields about everything generated, and what was paid for it."""
    candidates = groups.candidates if groups else ()
    utterances = [utterance for tree in trees for _, utterance in tree.spoken()]
    utterances += [candidate.utterance for candidate in candidates if candidate.request.candidate > 0]
    return {
        "failed_candidates": groups.n_failed if groups else 0,
        "first_proposal_accuracy": _first_proposal_accuracy(trees, groups),
        "proposer_reward": _mean_reward(groups, Role.PROPOSER),
        "reviewer_reward": _mean_reward(groups, Role.REVIEWER),
        "truncation_rate": sum(each.finish_reason is FinishReason.LENGTH for each in utterances) / len(utterances),
        "utterances": len(utterances),
        "all_tokens": sum(utterance.generated_tokens for utterance in utterances),
        "groups": groups.n_groups if groups else 0,
        "groups_dropped": groups.n_dropped if groups else 0,
    }


def _first_proposal_accuracy(trees: Sequence[Tree], groups: Groups | None) -> float:
    if groups is None:
        return float(np.mean([tree.right(tree.states["1"]) for tree in trees]))
    first = [candidate for candidate in groups.candidates if candidate.request.state.round == 1]
    return float(np.mean([candidate.reward > 0 for candidate in first]))  # a penalty is less than the reward


def _mean_reward(groups: Groups | None, role: Role) -> float | None:
    rewards = [candidate.reward for candidate in groups.candidates if candidate.role is role] if groups else []
    return float(np.mean(rewards)) if rewards else None
