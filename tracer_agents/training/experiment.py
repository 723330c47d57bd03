"""One whole run: measure the team before, train it, measure it after, and compare it with the baselines."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from tracer_agents.build import Parts, build, build_task
from tracer_agents.config import Config
from tracer_agents.controllers.fixed import AlwaysSpeak, best_fixed
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.certify import certify_run
from tracer_agents.evaluation.metrics import METRIC_NAMES, Metrics, compare, summarise
from tracer_agents.evaluation.play import draw_episodes, majority, play_baselines, play_team, sample_answers
from tracer_agents.generation.gate import require
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.rollout.remembering import RememberingSpeakers
from tracer_agents.runs.curves import draw_gaps
from tracer_agents.runs.directory import RunDirectory, describe
from tracer_agents.runs.tensorboard import TensorBoardLog
from tracer_agents.speakers.replay import load_replay
from tracer_agents.team import load_controller
from tracer_agents.training.trainer import StepReport, Trainer, train
from tracer_agents.types import Controller, Episode, Speakers
from tracer_env.errors import DataError

_TEAM, _GREEDY = "team", "team@greedy"


class Display(Protocol):
    """Shows how a run gets on."""

    def stage(self, name: str) -> None:
        """A new stage has begun."""
        ...

    def step(self, report: StepReport, steps: int) -> None:
        """A training step has ended."""
        ...


class Silent:
    """Shows nothing."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def step(self, report: StepReport, steps: int) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examiner:
    """Puts teams to the same held-out questions with the same seeds."""

    config: Config
    parts: Parts
    episodes: Sequence[Episode]
    speakers: Speakers

    @classmethod
    def on_test(cls, config: Config, parts: Parts) -> "Examiner":
        """Examines the present weights on the first questions of the task's test split."""
        count, seed = config.evaluation.questions, config.seed
        episodes = draw_episodes(parts.task, "test", 0, count, seed=seed, phase="test")
        return cls(config=config, parts=parts, episodes=episodes, speakers=RememberingSpeakers(parts.speakers))

    def team(self, controller: Controller, *, phase: str) -> dict[str, list[DialogueRecord]]:
        """The team's dialogues, and those at temperature 0 if wanted, by method."""
        speakers: dict[str, Speakers] = {_TEAM: self.speakers}
        if self.config.evaluation.greedy:
            speakers[_GREEDY] = self.parts.greedy_speakers
        return {
            method: play_team(
                self.episodes,
                self.config.dialogue.rules,
                voice,
                controller,
                self.parts.task,
                method=method,
                phase=phase,
                seed=self.config.seed,
            )
            for method, voice in speakers.items()
        }

    def baselines(
        self, *, phase: str, tokens: float, further: Mapping[str, tuple[str, Controller]] | None = None
    ) -> dict[str, list[DialogueRecord]]:
        """The baselines' dialogues with the same speakers, by the name of the baseline.

        ``further`` adds fixed controllers: the baseline's name -> (the method it turned out to be, the controller).
        """
        return play_baselines(
            self.episodes,
            self.config.dialogue.rules,
            self.speakers,
            self.parts.task,
            token_budget=tokens,
            further=further or {},
            phase=phase,
            seed=self.config.seed,
        )

    def metrics(self, records: Sequence[DialogueRecord], greedy: Sequence[DialogueRecord] | None = None) -> Metrics:
        """The figures of one method."""
        return _figures(self.config, records, greedy)

    def comparison_figures(self, methods: Mapping[str, Sequence[DialogueRecord]]) -> list[dict[str, Any]]:
        """The trained team against every other method, on every metric."""
        return [
            compare(
                methods["after"],
                records,
                metric,
                self.config.utility,
                names=("after", name),
                resamples=self.config.evaluation.bootstrap,
                seed=self.config.seed,
            ).as_json()
            for name, records in methods.items()
            if name != "after"
            for metric in METRIC_NAMES
        ]


def run_training(config: Config, out: Path, *, resume: bool, display: Display) -> dict[str, Any]:
    """``tracer train``: returns what it wrote to ``summary.json``.

    Raises:
        RunError: the folder holds a run already, or none to resume.
        LeakageError: the task is for evaluation only.
    """
    opened = RunDirectory.resume(out, config) if resume else RunDirectory.create(out, config)
    clock = _Stages(display)
    with opened as run, ExitStack() as resources:
        done = run.checkpoints.steps()
        with clock("load"):
            parts = resources.enter_context(build(config, weights=run.checkpoints.latest() if done else None))
            parts.task.draw("train", 0, 1, seed=config.seed)  # refuses evaluation-only tasks before any work
        _pass_gate(config, parts, clock)
        trainer = Trainer(config, parts)
        records = run.keep_records({"before"} if done else set())
        if done:
            step = trainer.load(run.checkpoints.latest())
        else:
            step = 0
            with clock("before"):
                examiner = Examiner.on_test(config, parts)
                for dialogues in examiner.team(TabularController.uniform(trainer.infosets), phase="before").values():
                    run.add_records(dialogues)
            records = run.records()
            run.checkpoints.save(0, lambda folder: trainer.save(folder, 0))
        rows = run.keep_metrics(step)
        with clock("train"), TensorBoardLog.open(out / "tb", rows) as log:

            def on_step(report: StepReport) -> None:
                log.add(report.as_json())
                display.step(report, config.trainer.steps)

            train(trainer, run, done=step, on_step=on_step)
        with clock("validate"):
            trees = trainer.validation_trees()
            controller = trainer.deployed(trees)
            fixed = best_fixed(trees, config.utility)
        examiner = Examiner.on_test(config, parts)
        with clock("after"):
            played = examiner.team(controller, phase="after")
            for dialogues in played.values():
                run.add_records(dialogues)
        after = examiner.metrics(played[_TEAM], played.get(_GREEDY))
        baselines: dict[str, list[DialogueRecord]] = {}
        if config.evaluation.baselines:
            with clock("baselines"):
                baselines = examiner.baselines(
                    phase="after", tokens=after.generated_tokens_per_question, further={"best_fixed": fixed}
                )
                for dialogues in baselines.values():
                    run.add_records(dialogues)
        certificate = None
        if config.evaluation.certificate_questions:
            with clock("certify"):
                count = config.evaluation.certificate_questions
                certificate = certify_run(run, config, parts, controller, questions=count).as_json()
                draw_gaps(run.metrics(), certificate, out / "certificate.png")
        before = records["before", _TEAM]
        summary = {
            **describe(config),
            "train_seconds": round(sum(sum(row["timing"].values()) for row in run.metrics()), 1),
            "stage_seconds": clock.seconds,
            "before": examiner.metrics(before, records.get(("before", _GREEDY))).as_json(),
            "after": after.as_json(),
            "baselines": _baseline_figures(examiner, baselines),
            "comparisons": examiner.comparison_figures({"after": played[_TEAM], "before": before, **baselines}),
            "controllers": {"play": controller.play, "infosets": len(trainer.tables.keys)},
            "certificate": certificate,
        }
        run.write_summary(summary)
    return summary


def run_evaluation(config: Config, out: Path, *, run: Path | None, display: Display) -> dict[str, Any]:
    """``tracer eval``: the team of a trained ``run``, or a bare model that always speaks, on held-out questions.

    Raises:
        RunError: ``out`` holds a run already, or ``run`` holds none.
    """
    clock = _Stages(display)
    with RunDirectory.create(out, config) as directory, ExitStack() as resources:
        with clock("load"):
            weights = None if run is None else RunDirectory(run).checkpoints.latest()
            parts = resources.enter_context(build(config, weights=weights))
            if run is None:
                controller, play = AlwaysSpeak(), "always_speak"
            else:
                controller = load_controller(RunDirectory(run))
                play = controller.play
            examiner = Examiner.on_test(config, parts)
        _pass_gate(config, parts, clock)
        with clock("after"):
            played = examiner.team(controller, phase="after")
            for dialogues in played.values():
                directory.add_records(dialogues)
        after = examiner.metrics(played[_TEAM], played.get(_GREEDY))
        with clock("baselines"):
            baselines = examiner.baselines(phase="after", tokens=after.generated_tokens_per_question)
            for dialogues in baselines.values():
                directory.add_records(dialogues)
        summary = {
            **describe(config),
            "train_seconds": None,
            "stage_seconds": clock.seconds,
            "before": None,
            "after": after.as_json(),
            "baselines": _baseline_figures(examiner, baselines),
            "comparisons": examiner.comparison_figures({"after": played[_TEAM], **baselines}),
            "controllers": {"play": play},
            "certificate": None,
        }
        directory.write_summary(summary)
    return summary


def run_replay(config: Config, out: Path, *, completions: Path, display: Display) -> dict[str, Any]:
    """``tracer eval --speaker replay``: grades recorded completions of one or several models.

    Each model's figures are those of its first samples, on the questions it answered; with several samples a
    question also ``self_consistency`` and ``pass_at_k``, over as many samples as every question has.
    """
    clock = _Stages(display)
    with RunDirectory.create(out, config) as directory:
        with clock("load"):
            task = build_task(config)
            speakers = load_replay(completions, task)
            asked = draw_episodes(task, "test", 0, config.evaluation.questions, seed=config.seed, phase="test")
        models: dict[str, Any] = {}
        with clock("grade"):
            for name, speaker in speakers.items():
                episodes = [episode for episode in asked if speaker.samples_of(episode.question.text)]
                if not episodes:
                    raise DataError(
                        f"{completions}: no completion of {name!r} answers a question of {config.task.name}; "
                        "the 'question' field must hold the question's text as the data set has it"
                    )
                votes = min(speaker.samples_of(episode.question.text) for episode in episodes)
                ballots = sample_answers(
                    episodes, config.dialogue.rules, speaker, task, votes=votes, phase="after", seed=config.seed
                )
                first = [replace(majority(ballot, 1), method=name) for ballot in ballots]
                directory.add_records([replace(ballot, method=name) for ballot in ballots])
                models[name] = {
                    **_figures(config, first).as_json(),
                    "samples": votes,
                    "unanswered": len(asked) - len(episodes),
                    "self_consistency": _figures(config, [majority(b, votes) for b in ballots]).accuracy,
                    "pass_at_k": sum(any(t.right for t in b.turns) for b in ballots) / len(ballots),
                }
        summary = {**describe(config), "model": None, "stage_seconds": clock.seconds, "models": models}
        directory.write_summary(summary)
    return summary


def _figures(
    config: Config, records: Sequence[DialogueRecord], greedy: Sequence[DialogueRecord] | None = None
) -> Metrics:
    return summarise(
        records,
        config.utility,
        temperature=config.speakers.temperature,
        resamples=config.evaluation.bootstrap,
        seed=config.seed,
        greedy=greedy,
    )


def _baseline_figures(examiner: Examiner, baselines: Mapping[str, Sequence[DialogueRecord]]) -> dict[str, Any]:
    return {
        name: {**examiner.metrics(dialogues).as_json(), "method": dialogues[0].method}
        for name, dialogues in baselines.items()
    }


def _pass_gate(config: Config, parts: Parts, clock: "_Stages") -> None:
    """Refuses an engine that does not generate from the learner's policy."""
    with clock("parity"):
        require(parts.gate(config))


class _Stages:
    """Times the stages of a run and tells the display about them."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self._display.stage(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - start, 1)
