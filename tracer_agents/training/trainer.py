"""Trains a team: expand, value, play, group, GSPO, sync, regret, report — one readable step.

Glossary. *Tree*: one question with all binary choices of the controllers expanded. *Line*: the dialogue played
in a tree. *Group*: completions of one prompt. *Profile*: the strategies of all controllers together.
"""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tracer_agents.build import Parts
from tracer_agents.config import Config, policy_of
from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import PLAYS, Play, TabularController
from tracer_agents.credit.groups import Candidate, Groups, sample_groups
from tracer_agents.credit.rewards import Penalties
from tracer_agents.errors import ParityFailed
from tracer_agents.evaluation.certificate import Certificate
from tracer_agents.evaluation.certify import certify_checkpoint
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.run_regret import RunRegret
from tracer_agents.game.values import expected_utility
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policies import pooled
from tracer_agents.learners.policy import GSPOStats
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree, expand, expand_external, play, set_apart
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.speakers.model import ModelUtterance
from tracer_agents.types import Controller
from tracer_env.dialogue import Dialogue, Role
from tracer_env.infosets import Infosets
from tracer_env.seeding import stream


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What one training step saw and did; the profile's figures are on new questions, before it learned from them."""

    step: int
    questions: int
    failed_questions: tuple[str, ...]  # ids of questions whose dialogues an engine did not finish; nothing else is kept
    failed_candidates: int  # completions of groups that an engine did not deliver
    accuracy: float  # of the played lines' dialogues
    utility: float
    generated_tokens: float  # a question, on the played line
    speak_rate: float | None
    first_proposal_accuracy: float  # of single answers, over all candidates of round 1
    proposer_reward: float | None  # mean over the group's candidates
    reviewer_reward: float | None
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

    def as_json(self) -> dict[str, Any]:
        """A line of ``metrics.jsonl``: wall times in ``timing`` and nowhere else."""
        row = asdict(self)
        return {**{name: value for name, value in row.items() if name != "seconds"}, "timing": row["seconds"]}


class Trainer:
    """Owns what changes during training: regret tables, the policy's weights and its optimiser.

    Args:
        config: the settings.
        parts: what they were built into.
        line: who plays the dialogues that speakers are trained on; by default the learned controllers, exploring.
    """

    def __init__(self, config: Config, parts: Parts, line: Controller | None = None) -> None:
        self.config = config
        self.parts = parts
        self._line = line
        self.rules = config.dialogue.rules
        self.infosets = Infosets(config.dialogue.infoset, self.rules)
        self.tables = RegretTables.empty()
        self.regret = RunRegret(self.rules.n_agents)
        self.version = 0
        self._minimiser = MINIMISERS[config.controllers.minimiser]()

    def step(self, number: int) -> StepReport:
        """Step ``number`` ≥ 1: a pure function of the settings and of what was learned before it."""
        clock = _Clock()
        line = self._line or self.explorer()
        trees, lost = set_apart(self._expand(number, line))
        lines = play(trees, line)
        clock.lap("expand")
        groups = self._sample_groups(trees, lines, number) if self._trains_speakers(number) else None
        clock.lap("groups")
        gspo = self._train_speakers(groups, number) if groups else {}
        clock.lap("gspo")
        if groups:
            self._label(self.version + 1)
        clock.lap("sync")
        if self.config.controllers.train and not self._answers_alone(number):
            self.tables = self._train_controllers(number, self.game(trees))
        clock.lap("regret")
        certificate = self._certificate() if self._certifies(number) else None
        clock.lap("certify")
        return self._report(number, trees, lost, lines, groups, gspo, certificate, clock.seconds)

    def game(self, trees: Sequence[Tree]) -> EmpiricalGame:
        """The empirical game of expanded questions."""
        return empirical_game(trees, self.infosets, token_budget=self.config.token_budget)

    def controller(self, play: Play = "current") -> TabularController:
        """The learned controllers."""
        return TabularController(self.infosets, self.tables, play)

    def explorer(self) -> Controller:
        """The learned controllers with some uniform play, so that every speaker keeps being trained."""
        return Explorer(self.controller(), self.config.controllers.exploration)

    def deployed(self, trees: Sequence[Tree]) -> TabularController:
        """The controllers under the strategy that plays, chosen on expanded validation questions if so configured."""
        play = self.config.controllers.play
        return self.controller(self._best_on(trees) if play == "validated" else play)

    def validation_trees(self) -> list[Tree]:
        """Validation questions, which nobody trains on, expanded with the present speakers."""
        count, seed = self.config.controllers.validation_questions, self.config.seed
        episodes = draw_episodes(self.parts.task, "validation", 0, count, seed=seed, phase="validation")
        return set_apart(expand(episodes, self.rules, self.parts.speakers, self.parts.task.grade))[0]

    def save(self, folder: Path, step: int) -> None:
        """Writes everything that ``load`` needs to go on to the same bits."""
        self.parts.policy.weights.save(folder)
        self.parts.policy.tokenizer.save_pretrained(folder)
        self.parts.learner.save(folder)
        self.tables.save(folder / "controllers.npz")
        self.regret.save(folder / "regret.npz")
        state = {"step": step, "policy_version": self.version, "questions_drawn": self._first_question(step + 1)}
        (folder / "state.json").write_text(json.dumps(state) + "\n")

    def load(self, folder: Path) -> int:
        """Takes up a checkpoint's tables, optimiser and counters (its weights are already loaded); returns its step."""
        state = json.loads((folder / "state.json").read_text())
        self.parts.learner.load(folder)
        self.tables = RegretTables.load(folder / "controllers.npz")
        self.regret = RunRegret.load(folder / "regret.npz")
        self._label(state["policy_version"])
        return state["step"]

    # the parts of a step

    def _expand(self, number: int, line: Controller) -> list[Tree]:
        """The step's questions; with external sampling one agent's choices, the others' as ``line`` plays them."""
        speakers, grade, episodes = self.parts.training_speakers, self.parts.task.grade, self._episodes(number)
        rules = replace(self.rules, rounds=1) if self._answers_alone(number) else self.rules
        if self.config.controllers.expansion == "full":
            return expand(episodes, rules, speakers, grade)
        return expand_external(episodes, rules, speakers, grade, line, player=number % rules.n_agents)

    def _episodes(self, number: int) -> list:
        start, count = self._first_question(number), self._questions(number)
        return draw_episodes(self.parts.task, "train", start, count, seed=self.config.seed, phase="train")

    def _questions(self, number: int) -> int:
        trainer = self.config.trainer
        frozen = number >= self._first_frozen
        return trainer.controller_questions_per_step if frozen else trainer.questions_per_step

    def _first_question(self, number: int) -> int:
        return sum(self._questions(earlier) for earlier in range(1, number))

    def _answers_alone(self, number: int) -> bool:
        """Whether dialogues end with the first proposal: only proposers are trained, in groups of their own size."""
        return number <= self.config.trainer.answer_steps

    def _trains_speakers(self, number: int) -> bool:
        return self.config.credit.train and number < self._first_frozen

    @property
    def _first_frozen(self) -> int:
        """The first step in which only controllers learn."""
        return self.config.trainer.steps - self.config.trainer.controller_steps + 1

    def _sample_groups(self, trees: Sequence[Tree], lines: Sequence[Dialogue], number: int) -> Groups:
        credit = self.config.credit
        size = credit.answer_group_size if self._answers_alone(number) else None
        return sample_groups(
            trees,
            lines,
            self.parts.training_speakers,
            self.parts.task.grade,
            group_size=size or credit.group_size,
            penalties=Penalties(format=credit.format_penalty, truncation=credit.truncation_penalty),
            uplift=credit.reviewer == "uplift",
            normalise_std=credit.normalise_std,
        )

    def _train_speakers(self, groups: Groups, number: int) -> dict[str, GSPOStats]:
        """What each policy's steps did."""
        scheme = self.config.speakers.policy
        samples = [
            _sample(candidate, advantage, policy_of(scheme, candidate.role, candidate.request.state.agent))
            for candidate, advantage, signal in zip(groups.candidates, groups.advantage, groups.signal, strict=True)
            if signal
        ]
        stats = self.parts.learner.update(samples, lambda: stream(self.config.seed, "minibatches", number))
        self._check_parity(stats, number)
        return stats

    def _check_parity(self, stats: dict[str, GSPOStats], number: int) -> None:
        """Stops at utterances that are not the policy's, before a checkpoint keeps what was learned from them."""
        limit = 10 * self.config.backend.parity_tolerance
        for policy, one in stats.items():
            if not one.engine_logp_difference <= limit:  # not a number, too
                raise ParityFailed(
                    f"step {number}, policy {policy!r}: log-probabilities of the engine and of the learner differ by "
                    f"{one.engine_logp_difference:.2g} a token, at most by {one.engine_logp_difference_max:.2g}; "
                    f"{limit:.2g} is allowed. The last checkpoint is intact. If rounding explains it (half precision, "
                    "quantised servers), raise backend.parity_tolerance; if not, the engine does not sample the policy"
                )

    def _train_controllers(self, number: int, game: EmpiricalGame) -> RegretTables:
        settings = self.config.controllers
        if number == self._first_frozen:  # the speakers will not change again: what was learned about others is void
            self.tables = RegretTables.empty()
        priced = game.at(self.config.dialogue.price_of_speech)
        return solve(
            priced,
            self.tables.discounted(regret=settings.discount, average=settings.discount),
            self._minimiser,
            iterations=settings.inner_iterations,
            weighting=self.config.weighting,
            on_update=self.regret.watch(priced) if settings.expansion == "full" else None,
        )

    def _certifies(self, number: int) -> bool:
        return self.config.evaluation.checkpoint_questions > 0 and self.config.trainer.checkpoint_at(number)

    def _certificate(self) -> Certificate:
        play = self.config.controllers.play
        controller = self.controller("current" if play == "validated" else play)
        return certify_checkpoint(self.config, self.parts, controller, self.regret)

    def _best_on(self, trees: Sequence[Tree]) -> Play:
        game = self.game(trees)
        priced = game.at(self.config.dialogue.price_of_speech)
        return max(PLAYS, key=lambda play: expected_utility(priced, self.controller(play).profile(game.trie.keys)))

    def _label(self, version: int) -> None:
        self.version = version
        self.parts.backend.sync(version)

    def _report(
        self,
        number: int,
        trees: Sequence[Tree],
        lost: Sequence[Tree],
        lines: Sequence[Dialogue],
        groups: Groups | None,
        gspo: dict[str, GSPOStats],
        certificate: Certificate | None,
        seconds: dict[str, float],
    ) -> StepReport:
        right = np.array([tree.right(line) for tree, line in zip(trees, lines, strict=True)])
        tokens = np.array([line.generated_tokens for line in lines])
        free = [turn.mode for line in lines for turn in line.turns if not turn.forced]
        said = [utterance for tree in trees for _, utterance in tree.spoken()]
        said += [c.utterance for c in groups.candidates if c.request.candidate > 0] if groups else []
        return StepReport(
            step=number,
            questions=len(trees),
            failed_questions=tuple(tree.episode.question.id for tree in lost),
            failed_candidates=groups.n_failed if groups else 0,
            accuracy=float(right.mean()),
            utility=float(np.mean(self.config.utility(right, tokens))),
            generated_tokens=float(tokens.mean()),
            speak_rate=float(np.mean(free)) if free else None,
            first_proposal_accuracy=_first_proposals(trees, groups),
            proposer_reward=_mean_reward(groups, Role.PROPOSER),
            reviewer_reward=_mean_reward(groups, Role.REVIEWER),
            utterances=len(said),
            all_tokens=sum(utterance.generated_tokens for utterance in said),
            groups=groups.n_groups if groups else 0,
            groups_dropped=groups.n_dropped if groups else 0,
            gspo=pooled(gspo.values()) if gspo else None,
            gspo_by_policy=gspo if len(gspo) > 1 else {},
            infosets=len(self.tables.keys),
            regret_iterations=self.tables.iterations,
            policy_version=self.version,
            certificate=certificate,
            seconds=seconds,
        )


class Explorer:
    """A controller with uniform play mixed in: P(SPEAK) = (1 − ε)·p + ε/2."""

    def __init__(self, controller: Controller, epsilon: float) -> None:
        self._controller = controller
        self._epsilon = epsilon

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, shape (len(states),)."""
        return (1 - self._epsilon) * self._controller.speak_probability(states) + self._epsilon / 2


def _sample(candidate: Candidate, advantage: float, policy: str) -> Sample:
    assert isinstance(candidate.utterance, ModelUtterance)  # the speakers being trained are models
    generation = candidate.utterance.generation
    return Sample(
        prompt_ids=generation.prompt_ids,
        output_ids=generation.output_ids,
        logps_engine=generation.logps,
        role=candidate.role,
        advantage=float(advantage),
        policy=policy,
    )


def _first_proposals(trees: Sequence[Tree], groups: Groups | None) -> float:
    if groups is None:
        return float(np.mean([tree.right(tree.states["1"]) for tree in trees]))
    first = [candidate for candidate in groups.candidates if candidate.request.state.round == 1]
    return float(np.mean([candidate.reward > 0 for candidate in first]))  # a penalty is less than the reward


def _mean_reward(groups: Groups | None, role: Role) -> float | None:
    rewards = [candidate.reward for candidate in groups.candidates if candidate.role is role] if groups else []
    return float(np.mean(rewards)) if rewards else None


class _Clock:
    """Seconds by the name of what just ended."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self._last = now()
        self.seconds: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = self._now()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


def train(trainer: Trainer, run: RunDirectory, *, done: int, on_step: Callable[[StepReport], None]) -> None:
    """Takes the steps after ``done``; every line is on disk before the next step begins."""
    for number in range(done + 1, trainer.config.trainer.steps + 1):
        report = trainer.step(number)
        run.add_metrics(report.as_json())
        on_step(report)
        if trainer.config.trainer.checkpoint_at(number):
            run.checkpoints.save(number, lambda folder, step=number: trainer.save(folder, step))
