"""What a method may use in one cell: questions, speakers, trained speakers, and recorded trees."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from benchmarks.suite import recordings
from benchmarks.suite.drawing import record_drawn
from benchmarks.suite.plan import Plan
from benchmarks.suite.recordings import Recording
from tracer_agents.build import Parts, build, build_task
from tracer_agents.config import Config
from tracer_agents.controllers.calibration import fit_belief
from tracer_agents.errors import RunError
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.generation.gate import require
from tracer_agents.rollout.pools import PooledQuestion
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.pools import load_pool
from tracer_agents.training.schedule import Schedule
from tracer_agents.training.trainer import Trainer, train
from tracer_agents.types import Controller, Episode
from tracer_env.beliefs import Belief
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Split


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a method's speakers are trained; methods that name the same recipe share the trained speakers.

    Args:
        name: of the folder they are kept in.
        settings: dotted overrides of the plan's settings.
        behaviour: who plays the dialogues that speakers are trained on; by default regret-matching controllers that
            learn along with them.
    """

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    behaviour: Controller | None = None


@dataclass(frozen=True, kw_only=True)
class ExaminedParts(Parts):
    """Parts whose engines are examined as soon as they are open; entering raises what ``require`` does."""

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            super().__enter__()
            opened.push(super().__exit__)
            require(self.gate())
            opened.pop_all()
        return self


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One (task, seed) of a plan.

    Args:
        plan: the benchmark.
        out: its folder.
        label: of the evaluated task.
        seed: of every random choice.
    """

    plan: Plan
    out: Path
    label: str
    seed: int
    _drawn: dict[Split, list[Episode]] = field(default_factory=dict, repr=False, compare=False)
    _beliefs: dict[str | None, Belief] = field(default_factory=dict, repr=False, compare=False)

    @property
    def config(self) -> Config:
        """The settings, with the evaluated task."""
        return self.plan.config(self.label, self.seed)

    def rules(self, recipe: Recipe | None = None) -> Rules:
        """Those of dialogues; where the settings ask for a belief, with what recorded training questions teach.

        Raises:
            RunError: a belief is asked for, and the training questions were not recorded with these speakers.
        """
        rules, dialogue = self.config.rules, self.config.dialogue
        if not dialogue.believes:
            return rules
        if (name := recipe and recipe.name) not in self._beliefs:
            trees = self.recording("train", recipe).trees(rules)
            self._beliefs[name] = fit_belief(trees, bins=dialogue.belief_bins)
        return replace(rules, belief=self._beliefs[name])

    def infosets(self, recipe: Recipe | None = None) -> Infosets:
        """What controllers know, under ``rules``."""
        return Infosets(self.config.dialogue.infoset, self.rules(recipe))

    @property
    def train_label(self) -> str:
        """The label of the task that is trained on."""
        return self.plan.train_label(self.label)

    def parts(self, recipe: Recipe | None = None, split: Split = "test") -> Parts:
        """The task of a split with the initial speakers, or with those of a recipe that was trained before.

        To be used in a ``with``, at the beginning of which the engines are examined.

        Raises:
            RunError: the recipe has not been trained.
        """
        weights = None
        if recipe is not None:
            self.training_cost(recipe)
            weights = self.run(recipe).checkpoints.latest()
        config = self.plan.config(self._label_of(split), self.seed)
        parts = build(config, weights=weights)
        return ExaminedParts(**{each.name: getattr(parts, each.name) for each in fields(parts)})

    # training

    def train(self, recipe: Recipe, on_step: Callable[[int], None] = lambda step: None) -> None:
        """Trains a recipe's speakers, or goes on from the last checkpoint of a killed training."""
        config = self.training_config(recipe)
        folder = self.run(recipe).folder
        begun = (folder / "checkpoints").is_dir()
        opened = RunDirectory.resume(folder, config) if begun else RunDirectory.create(folder, config)
        with opened as run:
            done = run.checkpoints.steps()
            with build(config, weights=run.checkpoints.latest() if done else None) as parts:
                trainer = Trainer(config, parts, recipe.behaviour)
                step = trainer.load(run.checkpoints.latest()) if done else 0
                if not done:
                    run.checkpoints.save(0, lambda folder: trainer.save(folder, 0))
                run.keep_metrics(step)
                train(trainer, run, done=step, on_step=lambda report: on_step(report.step))
            tokens = sum(row["all_tokens"] for row in run.metrics())
            run.write_summary({"generated_tokens": tokens, "questions": Schedule.of(config).speaker_questions})

    def training_config(self, recipe: Recipe) -> Config:
        """The settings that a recipe's speakers are trained with; their controllers are fitted later, on recordings.

        So is their belief: until speakers are frozen a team counts who agrees.
        """
        base = self.plan.base.trainer
        settings = {
            "trainer.steps": base.steps - base.controller_steps,
            "trainer.controller_steps": 0,
            "evaluation.checkpoint_questions": 0,
        }
        if self.plan.base.dialogue.believes:
            settings |= {"dialogue.infoset": "consensus", "dialogue.answer_rule": "plurality"}
        return self.plan.config(self.train_label, self.seed, {**settings, **recipe.settings})

    def training_cost(self, recipe: Recipe) -> tuple[int, int]:
        """Tokens generated, and questions seen, to train a recipe's speakers.

        Raises:
            RunError: they have not been trained to the end, or the file that says so is damaged.
        """
        run = self.run(recipe)
        try:
            summary = run.summary()
            return summary["generated_tokens"], summary["questions"]
        except (ValueError, TypeError, KeyError) as error:
            raise RunError(
                f"{run.folder / 'summary.json'}: not what a finished training leaves ({error}); remove the folder to "
                "train again"
            ) from error

    # recordings

    def episodes(self, split: Split) -> list[Episode]:
        """The questions of a split: ``test`` of the evaluated task, ``train`` and ``validation`` of the other.

        Training questions follow those that training of ordinary length has met; none comes twice.
        """
        if split not in self._drawn:
            self._drawn[split] = self._draw(split)
        return self._drawn[split]

    def _draw(self, split: Split) -> list[Episode]:
        plan, config = self.plan, self.plan.config(self._label_of(split), self.seed)
        start = Schedule.of(config).speaker_questions if split == "train" else 0
        count = {"train": plan.fit_questions, "validation": plan.validation_questions, "test": plan.questions}[split]
        drawn = draw_episodes(build_task(config), split, start, count, seed=self.seed, phase=f"benchmark {split}")
        return list({episode.question.id: episode for episode in reversed(drawn)}.values())[::-1]

    def record(self, split: Split, recipe: Recipe | None) -> None:
        """Expands a split's questions with the initial speakers or a recipe's, and keeps everything said."""
        path, rules = self.recording_path(split, recipe), self.config.rules
        with self.parts(recipe, split) as parts:
            recordings.record(
                path, self.episodes(split), rules, parts.speakers, parts.task, chunk=self.plan.chunk, voices=self.voices
            )

    def recording(self, split: Split, recipe: Recipe | None = None) -> Recording:
        """A recording that was made before.

        Raises:
            RunError: it was not, or not to its end.
        """
        return recordings.load(self.recording_path(split, recipe), self.episodes(split), self.voices)

    @property
    def voices(self) -> tuple[str, ...]:
        """The model that each agent speaks with, by its label; empty where all speak with one."""
        models = self.config.models
        labels = {agent: use.label for use in models for agent in use.agents}
        return tuple(labels[agent] for agent in sorted(labels)) if len(models) > 1 else ()

    # pools

    def draw_pool(self, split: Split) -> None:
        """Draws independent proposals of every voice for a split's questions, with the initial speakers."""
        plan = self.plan
        with self.parts(split=split) as parts:
            record_drawn(
                self.pool_path(split),
                plan.config(self._label_of(split), self.seed),
                self.episodes(split),
                parts,
                split=split,
                draws=plan.draws,
                reviews=plan.reviews,
                reviewed_draws=min(plan.reviewed_draws, plan.draws),
                chunk=plan.chunk,
            )

    def pool(self, split: Split) -> tuple[PooledQuestion, ...]:
        """A pool that was drawn before.

        Raises:
            RunError: it was not, or not to its end.
        """
        return load_pool(self.pool_path(split), self.episodes(split)).questions

    def pool_path(self, split: Split) -> Path:
        """Where a pool is kept."""
        return self.out / "pools" / self._label_of(split) / f"seed-{self.seed}" / split / "pool.jsonl"

    def recording_path(self, split: Split, recipe: Recipe | None) -> Path:
        """Where a recording is kept; those of training questions serve every task evaluated after the training."""
        speakers = recipe.name if recipe else "initial"
        return self.out / "recordings" / speakers / self._label_of(split) / f"seed-{self.seed}" / split / "trees.jsonl"

    def _label_of(self, split: Split) -> str:
        return self.label if split == "test" else self.train_label

    def run(self, recipe: Recipe) -> RunDirectory:
        """The run directory of a recipe's training."""
        return RunDirectory(self.out / "speakers" / recipe.name / self.train_label / f"seed-{self.seed}")
