"""Trains a team: expand, value, play, group, GSPO, sync, regret, report — one readable step.

Glossary. *Tree*: one question with all binary choices of the controllers expanded. *Behaviour*: the controller that
plays while others learn. *Group*: completions of one prompt. *Profile*: the strategies of all controllers together.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracer_agents.build import Parts
from tracer_agents.config import Config
from tracer_agents.controllers.calibration import Diagnostics, diagnose, fit_belief
from tracer_agents.controllers.regret import MINIMISERS
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import PLAYS, Play, TabularController
from tracer_agents.credit.groups import Candidate, Groups, sample_groups
from tracer_agents.credit.rewards import Penalties
from tracer_agents.credit.verdicts import graded_solutions
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
from tracer_agents.learners.verdicts import VerdictStats
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree, expand, expand_external, play, set_apart
from tracer_agents.runs.beliefs import load_belief, save_belief
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import read_json, reading, write_json
from tracer_agents.speakers.model import ModelUtterance
from tracer_agents.training.report import Played, StepReport, credit_figures, play_figures
from tracer_agents.training.schedule import Schedule
from tracer_agents.training.stages import Laps
from tracer_agents.types import Controller, Episode
from tracer_env.beliefs import Belief
from tracer_env.dialogue import Dialogue, Rules
from tracer_env.infosets import Infosets
from tracer_env.seeding import minibatch_stream, verdict_stream


class Trainer:
    """Owns what changes during training: regret tables, the policy's weights and its optimiser.

    Args:
        config: the settings.
        parts: what they were built into.
        behaviour: who plays the dialogues that speakers are trained on; by default the learned controllers, exploring.
    """

    def __init__(self, config: Config, parts: Parts, behaviour: Controller | None = None) -> None:
        self.config = config
        self.parts = parts
        self.schedule = Schedule.of(config)
        self.rules = config.rules
        self.tables = RegretTables.empty()
        self.regret = RunRegret(self.rules.n_agents)
        self.version = 0
        self._behaviour = behaviour
        self._minimiser = MINIMISERS[config.controllers.minimiser]()

    @property
    def infosets(self) -> Infosets:
        """What the controllers know, with the belief that was fitted, if one was."""
        return Infosets(self.config.dialogue.infoset, self.rules)

    def step(self, number: int) -> StepReport:
        """Step ``number`` ≥ 1: a pure function of the settings and of what was learned before it."""
        laps, schedule = Laps(), self.schedule
        behaviour = self._behaviour or self.explorer()
        trees, lost = set_apart(self._expand(number, behaviour))
        played = Played(trees=trees, dialogues=play(trees, behaviour), lost=lost)
        laps.end("expand")
        groups = self._sample_groups(played, number) if schedule.speakers_learn(number) else None
        laps.end("groups")
        gspo = self._train_speakers(groups, number) if groups else {}
        laps.end("gspo")
        verdicts = self._train_verdicts(trees, groups, number) if groups else {}
        laps.end("verdicts")
        if groups:
            self._label(self.version + 1)
        laps.end("sync")
        if self.config.dialogue.believes and schedule.controllers_start_afresh(number):
            trees = self._believe(trees)
        if schedule.controllers_learn(number):
            self.tables = self._train_controllers(number, self.game(trees))
        laps.end("regret")
        certificate = self._certificate() if self._certifies(number) else None
        laps.end("certify")
        return StepReport(
            step=number,
            **play_figures(played, self.config.utility),
            **credit_figures(trees, groups),
            gspo=pooled(gspo.values()) if gspo else None,
            gspo_by_policy=gspo if len(gspo) > 1 else {},
            verdicts=verdicts,
            infosets=len(self.tables.keys),
            regret_iterations=self.tables.iterations,
            policy_version=self.version,
            certificate=certificate,
            seconds=laps.seconds,
        )

    def game(self, trees: Sequence[Tree]) -> EmpiricalGame:
        """The empirical game of expanded questions."""
        utility = self.config.utility
        return empirical_game(trees, self.infosets, token_budget=utility.budget, prices=utility.prices)

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

    def _believe(self, trees: Sequence[Tree]) -> list[Tree]:
        """Fits a belief to the first questions with frozen speakers, and gives them back under it."""
        belief = fit_belief(trees, bins=self.config.dialogue.belief_bins)
        self.rules = replace(self.rules, belief=belief)
        return [tree.under(self.rules) for tree in trees]

    def belief_figures(self, trees: Sequence[Tree]) -> Diagnostics | None:
        """How well the belief does on questions that it was not fitted to; None: there is no belief."""
        return diagnose(self.rules.belief, trees) if isinstance(self.rules.belief, Belief) else None

    def validation_trees(self) -> list[Tree]:
        """Validation questions, which nobody trains on, expanded with the present speakers."""
        count, seed = self.config.controllers.validation_questions, self.config.seed
        episodes = draw_episodes(self.parts.task, "validation", 0, count, seed=seed, phase="validation")
        return set_apart(expand(episodes, self.rules, self.parts.speakers, self.parts.task.grade))[0]

    def save(self, folder: Path, step: int) -> None:
        """Writes everything that ``load`` needs to go on to the same bits."""
        for model in self.parts.models:
            model.save(folder)
        self.tables.save(folder / "controllers.npz")
        self.regret.save(folder / "regret.npz")
        if isinstance(self.rules.belief, Belief):
            save_belief(folder, self.rules.belief)
        state = {
            "step": step,
            "policy_version": self.version,
            "questions_drawn": self.schedule.first_question(step + 1),
        }
        write_json(folder / "state.json", state)

    def load(self, folder: Path) -> int:
        """Takes up a checkpoint's tables, optimiser and counters (its weights are already loaded); returns its step."""
        state = read_json(folder / "state.json")
        with reading(folder):
            for model in self.parts.models:
                model.load(folder)
            self.tables = RegretTables.load(folder / "controllers.npz")
            self.regret = RunRegret.load(folder / "regret.npz")
            step, version = int(state["step"]), int(state["policy_version"])
        self.rules = replace(self.rules, belief=load_belief(folder))
        self._label(version)
        return step

    # the parts of a step

    def _expand(self, number: int, behaviour: Controller) -> list[Tree]:
        """The step's questions; with external sampling one agent's choices, the others' as ``behaviour`` plays them."""
        speakers, grade, episodes = self.parts.training_speakers, self.parts.task.grade, self._episodes(number)
        rules = self._lone_answer(number) if self.schedule.answers_alone(number) else self.rules
        if self.config.controllers.expansion == "full":
            return expand(episodes, rules, speakers, grade)
        return expand_external(episodes, rules, speakers, grade, behaviour, player=number % rules.n_agents)

    def _lone_answer(self, number: int) -> Rules:
        """Of a step in which proposers answer alone: the first trained agents of each model take turns."""
        proposers = [model.use.trained[0] for model in self.parts.models if model.use.trained] or [0]
        return replace(self.rules, rounds=1, first_agent=proposers[(number - 1) % len(proposers)])

    def _episodes(self, number: int) -> list[Episode]:
        start, count = self.schedule.first_question(number), self.schedule.questions(number)
        return draw_episodes(self.parts.task, "train", start, count, seed=self.config.seed, phase="train")

    def _sample_groups(self, played: Played, number: int) -> Groups:
        credit = self.config.credit
        size = credit.answer_group_size if self.schedule.answers_alone(number) else None
        return sample_groups(
            played.trees,
            played.dialogues,
            self.parts.training_speakers,
            self.parts.task.grade,
            agents=frozenset(agent for model in self.parts.models for agent in model.use.trained),
            group_size=size or credit.group_size,
            penalties=Penalties(format=credit.format_penalty, truncation=credit.truncation_penalty),
            uplift=credit.reviewer == "uplift",
            normalise_std=credit.normalise_std,
            reviews=self.config.speakers.review == "worked",
        )

    def _train_speakers(self, groups: Groups, number: int) -> dict[str, GSPOStats]:
        """What each policy's steps did."""
        paid = [
            (candidate, advantage)
            for candidate, advantage, signal in zip(groups.candidates, groups.advantage, groups.signal, strict=True)
            if signal
        ]
        stats: dict[str, GSPOStats] = {}
        for model in self.parts.models:  # one after the other
            if model.learner is None:
                continue
            samples = [
                _sample(candidate, advantage, model.use.policy(candidate.role, candidate.agent))
                for candidate, advantage in paid
                if candidate.agent in model.use.trained
            ]
            learned = model.learner.update(samples, lambda: minibatch_stream(self.config.seed, number))
            named = {model.use.qualified(policy): each for policy, each in learned.items()}
            self._check_parity(named, number, model.use.backend.parity_tolerance)
            stats |= named
        return stats

    def _train_verdicts(self, trees: Sequence[Tree], groups: Groups, number: int) -> dict[str, VerdictStats]:
        """Reviews of one token learn from every proposal that was graded: what that did, by policy."""
        epochs = self.config.credit.verdict_epochs
        if self.config.speakers.review == "worked" or not epochs:
            return {}
        solutions = graded_solutions(trees, groups)
        return self.parts.train_verdicts(solutions, lambda: verdict_stream(self.config.seed, number), epochs=epochs)

    def _check_parity(self, stats: dict[str, GSPOStats], number: int, tolerance: float) -> None:
        """Stops at utterances that are not the policy's, before a checkpoint keeps what was learned from them."""
        limit = 10 * tolerance
        for policy, figures in stats.items():
            if not figures.engine_logp_difference <= limit:  # not a number, too
                raise ParityFailed(
                    f"step {number}, policy {policy!r}: log-probabilities of the engine and of the learner differ by "
                    f"{figures.engine_logp_difference:.2g} per token, at most by "
                    f"{figures.engine_logp_difference_max:.2g}; {limit:.2g} is allowed. The last checkpoint is intact. "
                    "If rounding explains it (half precision, quantised servers), raise backend.parity_tolerance; if "
                    "not, the engine does not sample the policy"
                )

    def _train_controllers(self, number: int, game: EmpiricalGame) -> RegretTables:
        settings = self.config.controllers
        if self.schedule.controllers_start_afresh(number):
            self.tables = RegretTables.empty()
        priced = game.priced(self.config.dialogue.price_of_speech)
        return solve(
            priced,
            self.tables.discounted(regret=settings.discount, average=settings.discount),
            self._minimiser,
            iterations=settings.inner_iterations,
            weighting=self.config.weighting,
            on_update=self.regret.watch(priced) if settings.expansion == "full" else None,
        )

    def _certifies(self, number: int) -> bool:
        return self.config.evaluation.checkpoint_questions > 0 and self.schedule.has_checkpoint(number)

    def _certificate(self) -> Certificate:
        play = self.config.controllers.play
        controller = self.controller("current" if play == "validated" else play)
        return certify_checkpoint(self.config, self.parts, controller, self.regret)

    def _best_on(self, trees: Sequence[Tree]) -> Play:
        game = self.game(trees)
        priced = game.priced(self.config.dialogue.price_of_speech)
        return max(PLAYS, key=lambda play: expected_utility(priced, self.controller(play).profile(game.trie.keys)))

    def _label(self, version: int) -> None:
        self.version = version
        for model in self.parts.models:
            model.sync(version)


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


def train(trainer: Trainer, run: RunDirectory, *, done: int, on_step: Callable[[StepReport], None]) -> None:
    """Takes the steps after ``done``; every line is on disk before the next step begins."""
    for number in range(done + 1, trainer.schedule.steps + 1):
        report = trainer.step(number)
        run.add_metrics(report.as_json())
        on_step(report)
        if trainer.schedule.has_checkpoint(number):
            run.checkpoints.save(number, lambda folder, step=number: trainer.save(folder, step))
