"""Controllers learned for speakers that stay as they are: record, solve, certify, evaluate, with no gradient anywhere.

A fit is a training of one step: its questions are expanded, part by part, with every utterance on disk, and the regret
minimiser then runs on the game of all of them. What it leaves behind is a run like any other.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from tracer_agents.build import build, check_keys
from tracer_agents.config import Config
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.evaluation.summary import Summary
from tracer_agents.rollout.tree import expand
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.utterances import RecordedSpeakers
from tracer_agents.training.experiment import QUESTIONS_PER_PART, Training, expansion_notes, pass_gate
from tracer_agents.training.stages import Display, Stages
from tracer_agents.training.trainer import Trainer
from tracer_env.errors import ConfigError

QUESTIONS = 256
_SETTLED = {  # what makes a training a fit
    "credit.train": False,
    "controllers.train": True,
    "trainer.steps": 1,
    "trainer.controller_steps": 1,
    "trainer.answer_share": 0.0,
    "trainer.checkpoint_every": 1,
}
_PREFERRED = {  # what suits a fit where nothing else is said
    "controllers.play": "validated",
    "controllers.inner_iterations": 1000,
    "trainer.controller_questions_per_step": QUESTIONS,
    "evaluation.checkpoint_questions": 0,
}


def fit_settings(config: Config, given: Mapping[str, Any], questions: int | None = None) -> Config:
    """The settings of a fit.

    Args:
        config: as preset, file and command line have them.
        given: what the command line alone said, by dotted names.
        questions: that controllers learn from; None: as the settings say, or 256.

    Raises:
        ConfigError: a setting contradicts what a fit is.
    """
    for name, value in _SETTLED.items():
        if given.get(name, value) != value:
            raise ConfigError(
                f"{name}: a fit has {value!r}, since its speakers stay as they are and its questions are one step; "
                f"drop {given[name]!r}, choose how many questions with --questions, or use tracer train"
            )
    if config.controllers.expansion != "full":
        raise ConfigError("controllers.expansion: a fit expands everybody's choices: set it to full, with fewer rounds")
    changes = dict(_SETTLED)
    for name, value in _PREFERRED.items():
        section, _, field = name.partition(".")
        if field not in getattr(config, section).model_fields_set:
            changes[name] = value
    if questions is not None:
        changes["trainer.controller_questions_per_step"] = questions
    sections = config.model_dump(exclude_unset=True)
    for name, value in changes.items():
        section, _, field = name.partition(".")
        sections.setdefault(section, {})[field] = value
    return Config.model_validate(sections)


def run_fit(config: Config, out: Path, *, resume: bool, display: Display) -> Summary:
    """``tracer fit``: returns what it wrote to ``summary.json``.

    Args:
        config: the settings, of ``fit_settings``.
        out: the run's folder.
        resume: go on with the run that it holds; what was said is not asked for again.
        display: shows how the fit gets on.

    Raises:
        RunError: the folder holds a run already, or none to resume, or a damaged one.
        LeakageError: the task is for evaluation only.
        SpendingLimitReached: of completions that are bought.
    """
    check_keys(config)
    opened = RunDirectory.resume(out, config) if resume else RunDirectory.create(out, config)
    with opened as run, ExitStack() as resources:
        for note in (*run.notes, *expansion_notes(config)):
            display.note(note)
        stages = Stages(display)
        with stages("load"):
            parts = resources.enter_context(build(config))
            parts.task.draw("train", 0, 1, seed=config.seed)  # refuses evaluation-only tasks before any work
        pass_gate(parts, stages)
        recorded = RecordedSpeakers(parts.speakers, run.folder)
        trainer = Trainer(config, replace(parts, speakers=recorded, training_speakers=recorded))
        if not run.checkpoints.steps() or run.checkpoints.steps()[-1] < 1:
            with stages("record"):
                _record(config, trainer, recorded, display)
        training = Training(config=config, run=run, stages=stages, parts=trainer.parts, trainer=trainer)
        return training.summary(display)


def _record(config: Config, trainer: Trainer, recorded: RecordedSpeakers, display: Display) -> None:
    """Expands the questions that controllers learn from; the step that follows finds all of it on disk."""
    total, tokens = config.trainer.controller_questions_per_step, 0
    for start in range(0, total, QUESTIONS_PER_PART):
        count = min(QUESTIONS_PER_PART, total - start)
        episodes = draw_episodes(trainer.parts.task, "train", start, count, seed=config.seed, phase="train")
        trees = expand(episodes, trainer.rules, recorded, trainer.parts.task.grade)
        tokens += sum(utterance.generated_tokens for tree in trees for _, utterance in tree.spoken())
        display.questions(start + count, total, tokens)
