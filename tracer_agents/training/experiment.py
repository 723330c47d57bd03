"""One whole run: measure the team before, train it, measure it after, and compare it with the baselines."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracer_agents.build import Parts, build, build_task, check_keys, model_folder, spending_notes
from tracer_agents.config import Config
from tracer_agents.config.sources import require_same_team
from tracer_agents.controllers.calibration import Diagnostics
from tracer_agents.controllers.fixed import AlwaysSpeak, best_fixed
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.certificate import Certificate
from tracer_agents.evaluation.certify import certify_run
from tracer_agents.evaluation.examiner import TEAM, Examiner, figures
from tracer_agents.evaluation.play import draw_episodes, majority, sample_answers
from tracer_agents.evaluation.summary import RecordedModel, ReplaySummary, Summary
from tracer_agents.generation.gate import require
from tracer_agents.learners.ranks import ALONE, Ranks
from tracer_agents.report.sources import write_report
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.rollout.remembering import RememberingSpeakers
from tracer_agents.runs.controllers import load_controller
from tracer_agents.runs.curves import draw_gaps, draw_reliability
from tracer_agents.runs.directory import RunDirectory, describe
from tracer_agents.runs.tensorboard import TensorBoardLog
from tracer_agents.runs.watching import Log, OpenLog, how_to_watch
from tracer_agents.speakers.replay import ReplaySpeaker, load_replay
from tracer_agents.training.report import StepReport
from tracer_agents.training.stages import Display, Stages
from tracer_agents.training.trainer import Trainer, train
from tracer_agents.types import Controller, Episode
from tracer_env.cost import external_count, utterance_count
from tracer_env.errors import ConfigError, DataError
from tracer_env.seeding import EPISODES
from tracer_env.tasks.base import Task

_BATCH = 1000  # held-out questions drawn at once for recorded completions
_WORTH_A_NOTE = 64  # utterances per question: what 7 rounds take
Dialogues = Mapping[str, Sequence[DialogueRecord]]
QUESTIONS_PER_PART = 64  # of an evaluation: what a kill may cost, and enough for a full batch


def run_training(
    config: Config,
    out: Path,
    *,
    resume: bool,
    display: Display,
    allow_older: bool = False,
    logs: Sequence[OpenLog] = (),
    ranks: Ranks = ALONE,
) -> Summary:
    """``tracer train``: returns what it wrote to ``summary.json``.

    Args:
        config: the settings.
        out: the run's folder.
        resume: go on with the run that it holds.
        display: shows how the run gets on.
        allow_older: where the newest checkpoint is damaged, go on from the newest whole one.
        logs: where figures go beside the run's own files.
        ranks: the processes that train together, of which this one leads.

    Raises:
        ConfigError: several processes, and nothing for them to learn.
        RunError: the folder holds a run already, or none to resume, or a damaged one.
        LeakageError: the task is for evaluation only.
    """
    config.require_trainable()
    check_keys(config)
    if ranks.several and not any(use.trained for use in config.models):
        raise ConfigError(
            f"no speaker learns under these settings, so {ranks.size} processes have nothing to share: start one, "
            "without torchrun"
        )
    resumed = RunDirectory.resume(out, config, allow_older=allow_older)
    with resumed if resume else RunDirectory.create(out, config) as run, ExitStack() as resources:
        shared = [f"{ranks.size} processes share the learner"] if ranks.several else []
        for note in (*run.notes, *shared, *expansion_notes(config), how_to_watch(run.folder)):
            display.note(note)
        stages = Stages(display)
        with stages("load"):
            begun = bool(run.checkpoints.steps())
            weights = run.checkpoints.latest() if begun else None
            parts = resources.enter_context(build(config, weights=weights, ranks=ranks))
            parts.task.draw("train", 0, 1, seed=config.seed)  # refuses evaluation-only tasks before any work
        pass_gate(parts, stages)
        training = Training(
            config=config, run=run, stages=stages, parts=parts, trainer=Trainer(config, parts), logs=logs
        )
        return training.summary(display)


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """The stages of a training run; each is on disk before the next begins."""

    config: Config
    run: RunDirectory
    stages: Stages
    parts: Parts
    trainer: Trainer
    logs: Sequence[OpenLog] = ()

    def summary(self, display: Display) -> Summary:
        """Runs every stage that is left and returns what was found out."""
        before, done = self._before()
        self._train(done, display)
        controller, fixed, belief = self._validate()
        examiner = Examiner.on_test(self.config, self.parts, self.trainer.rules)
        after = _measure(examiner, controller, self.run, self.stages)
        figures_after = examiner.metrics(after)
        baselines: Dialogues = {}
        if self.config.evaluation.baselines:
            cost = figures_after.cost_per_question
            further = {"best_fixed": fixed}
            baselines = _measure_baselines(examiner, self.run, self.stages, cost=cost, further=further)
        certificate = self._certify(controller)
        summary = Summary(
            origin=self._origin(),
            train_seconds=round(sum(sum(row["timing"].values()) for row in self.run.metrics()), 1),
            stage_seconds=self.stages.seconds,
            before=examiner.metrics(before),
            after=figures_after,
            baselines=examiner.baseline_figures(baselines),
            comparisons=examiner.comparisons(after[TEAM], {"before": before[TEAM], **baselines}),
            controllers={"play": controller.play, "infosets": len(self.trainer.tables.keys)},
            certificate=certificate,
            belief=belief,
        )
        self.run.write_summary(summary.as_json())
        write_own_report(self.run, display)
        for note in spending_notes(self.parts.remote):
            display.note(note)
        return summary

    def _origin(self) -> dict[str, Any]:
        """What was measured: the weights of the newest checkpoint, or, where nobody learned, those that they were."""
        if any(use.trained for use in self.config.models):
            return describe(self.config, self.run.checkpoints.latest(), within=self.run.folder)
        return describe(self.config, _only_folder(self.config))

    def _before(self) -> tuple[Dialogues, int]:
        """The untrained team's dialogues, and the step that the newest checkpoint was taken after."""
        run, trainer = self.run, self.trainer
        begun = bool(run.checkpoints.steps())
        run.keep_records({"before"} if begun else set())
        if begun:
            step = trainer.load(run.checkpoints.latest())
        else:
            step = 0
            with self.stages("before"):
                examiner = Examiner.on_test(self.config, self.parts)
                for dialogues in examiner.team(TabularController.uniform(trainer.infosets), phase="before").values():
                    run.add_records(dialogues)
            run.checkpoints.save(0, lambda folder: trainer.save(folder, 0))
        return {method: records for (phase, method), records in run.records().items() if phase == "before"}, step

    def _train(self, done: int, display: Display) -> None:
        rows = self.run.keep_metrics(done)
        folder, settings = self.run.folder, self.config.model_dump(mode="json")
        with self.stages("train"), ExitStack() as opened:
            logs: list[Log] = [opened.enter_context(TensorBoardLog.open(folder / "tb", rows))]
            logs += [opened.enter_context(open_log(folder, settings, rows)) for open_log in self.logs]

            def on_step(report: StepReport) -> None:
                for log in logs:
                    log.add(report.as_json())
                    log.show(report.step, report.sample)
                display.step(report, self.config.trainer.steps)

            train(self.trainer, self.run, done=done, on_step=on_step)

    def _validate(self) -> tuple[TabularController, tuple[str, Controller], Diagnostics | None]:
        """The controllers as deployed, the best fixed ones, and how good the belief is, on validation questions."""
        with self.stages("validate"):
            trees = self.trainer.validation_trees()
            belief = self.trainer.belief_figures(trees)
            if belief is not None:
                draw_reliability(belief.reliability, self.run.folder / "belief.png")
            return self.trainer.deployed(trees), best_fixed(trees, self.config.utility), belief

    def _certify(self, controller: TabularController) -> Certificate | None:
        questions = self.config.evaluation.certificate_questions
        if not questions:
            return None
        with self.stages("certify"):
            certificate = certify_run(self.run, self.config, self.parts, controller, questions=questions)
            draw_gaps(self.run.metrics(), certificate.as_json(), self.run.folder / "certificate.png")
        return certificate


def write_own_report(run: RunDirectory, display: Display) -> None:
    """Writes ``report.html`` into a run that has ended; where that fails, the run is as good, and a note says so."""
    path = run.folder / "report.html"
    try:
        write_report([run.folder], path)
    except Exception as error:  # noqa: BLE001 - the run is on disk and done; a page can be written later
        reason = str(error) or type(error).__name__
        display.note(f"{path}: not written ({reason}); the run is whole: tracer report {run.folder} --out {path}")


def expansion_notes(config: Config) -> list[str]:
    """How many utterances each question of a step takes, where dialogues are long enough for it to matter."""
    rules = config.rules
    if config.controllers.expansion == "full":
        utterances = utterance_count(rules)
    else:
        utterances = max(external_count(rules, player).most for player in range(rules.n_agents))
    return [f"up to {utterances:,} utterances per question of a step"] if utterances > _WORTH_A_NOTE else []


def run_evaluation(config: Config, out: Path, *, run: Path | None, display: Display, resume: bool = False) -> Summary:
    """``tracer eval``: the team of a trained ``run``, or a bare model that always speaks, on held-out questions.

    Args:
        config: the settings.
        out: the evaluation's folder.
        run: the trained run; None: the model of the settings.
        display: shows how the evaluation gets on.
        resume: go on with the evaluation that ``out`` holds; questions that the team has played are not played again.

    Raises:
        RunError: ``out`` holds a run already, or none to resume, or ``run`` holds none, or
            its files of questions are others.
        ConfigError: the settings contradict those that ``run`` was trained with.
    """
    stages = Stages(display)
    check_keys(config)
    if run is not None:
        require_same_team(RunDirectory(run).config(), config)
        RunDirectory(run).require_data(config)
    weights = None if run is None else RunDirectory(run).checkpoints.latest()
    learned = any(use.trained for use in config.models)
    origin = describe(config, weights if weights and learned else _only_folder(config))
    measures = origin["model_sha256"] or origin["model"]
    opened = RunDirectory.resume if resume else RunDirectory.create
    with opened(out, config, kind="evaluation", measures=measures) as directory, ExitStack() as resources:
        with stages("load"):
            parts = resources.enter_context(build(config, weights=weights))
            if run is None:
                controller, play, rules = AlwaysSpeak(), "always_speak", config.rules
            else:
                controller = load_controller(RunDirectory(run))
                play = controller.play
                rules = replace(config.rules, belief=controller.infosets.rules.belief)
            examiner = Examiner.on_test(config, parts, rules)
        pass_gate(parts, stages)
        with stages("after"):
            after = _measure_in_parts(examiner, controller, directory, display)
        figures_after = examiner.metrics(after)
        cost = figures_after.cost_per_question
        baselines: Dialogues = {}
        if config.evaluation.baselines:
            baselines = _measure_baselines(examiner, directory, stages, cost=cost)
        summary = Summary(
            origin=origin,
            stage_seconds=stages.seconds,
            after=figures_after,
            baselines=examiner.baseline_figures(baselines),
            comparisons=examiner.comparisons(after[TEAM], baselines),
            controllers={"play": play},
        )
        directory.write_summary(summary.as_json())
        write_own_report(directory, display)
        for note in spending_notes(parts.remote):
            display.note(note)
    return summary


def _only_folder(config: Config) -> Path | None:
    """Where the weights of a team's one model lie; None: it has several, or its weights were never loaded here."""
    folders = [model_folder(use.speakers.model) if use.backend.trainable else None for use in config.models]
    return folders[0] if len(folders) == 1 else None


def _measure_in_parts(
    examiner: Examiner, controller: Controller, run: RunDirectory, display: Display
) -> dict[str, list[DialogueRecord]]:
    """The team's dialogues, some questions at a time, each part on disk before the next; recorded ones are kept."""
    played = {method: records for (_, method), records in run.cut_to_mark().items()}
    done, total, tokens = len(played.get(TEAM, ())), len(examiner.episodes), 0
    while done < total:
        part = replace(  # each remembers its own, so that one that is played after a kill is played alike
            examiner,
            episodes=examiner.episodes[done : done + QUESTIONS_PER_PART],
            speakers=RememberingSpeakers(examiner.parts.speakers),
        )
        new = part.team(controller, phase="after")
        for method, records in new.items():
            played.setdefault(method, []).extend(records)
            tokens += sum(record.generated_tokens for record in records)
        run.add_records([record for records in new.values() for record in records])
        run.mark()
        done += len(part.episodes)
        display.questions(done, total, tokens)
    return played


def run_replay(config: Config, out: Path, *, completions: Path, display: Display) -> ReplaySummary:
    """``tracer eval --speaker replay``: grades recorded completions of one or several models.

    Each model's figures are those of its first samples, on the questions it answered; with several samples per
    question also ``self_consistency`` and ``pass_at_k``, over as many samples as every question has.
    """
    stages = Stages(display)
    with RunDirectory.create(out, config, kind="replay") as directory:
        with stages("load"):
            task = build_task(config)
            speakers = load_replay(completions, task)
            asked = _asked(config, task, list(speakers.values()))
        models: dict[str, RecordedModel] = {}
        with stages("grade"):
            for name, speaker in speakers.items():
                episodes = [episode for episode in asked if speaker.samples_of(episode.question)]
                if not episodes:
                    raise DataError(
                        f"{completions}: no completion of {name!r} answers a question of {config.task.name}; "
                        "the 'question' field must hold the question's text as the data set has it"
                    )
                ballots = _ballots(config, speaker, task, episodes)
                directory.add_records([replace(ballot, method=name) for ballot in ballots])
                models[name] = _recorded_model(
                    config,
                    name,
                    ballots,
                    unanswered=len(asked) - len(episodes),
                    unmatched=speaker.unmatched([episode.question for episode in asked]),
                )
        summary = ReplaySummary(origin=describe(config), stage_seconds=stages.seconds, models=models)
        directory.write_summary(summary.as_json())
        write_own_report(directory, display)
    return summary


def _asked(config: Config, task: Task, speakers: Sequence[ReplaySpeaker]) -> list[Episode]:
    """The held-out questions that recorded completions are graded on.

    As many as ``evaluation.questions`` says where it is set; else the whole split, or, of an endless one, as far as
    the recorded questions go.
    """
    if "questions" in config.evaluation.model_fields_set:
        return draw_episodes(task, "test", 0, config.evaluation.questions, seed=config.seed, phase="test")
    endless = bool(task.draw("test", EPISODES - 1, 1, seed=config.seed))
    asked: list[Episode] = []
    while True:
        batch = draw_episodes(task, "test", len(asked), _BATCH, seed=config.seed, phase="test")
        asked += batch
        answered = [any(speaker.samples_of(episode.question) for speaker in speakers) for episode in batch]
        if len(batch) < _BATCH or (endless and not any(answered)):
            break
    if endless:
        while asked and not any(speaker.samples_of(asked[-1].question) for speaker in speakers):
            asked.pop()
    return asked


def _ballots(config: Config, speaker: ReplaySpeaker, task: Task, episodes: Sequence[Episode]) -> list[DialogueRecord]:
    """One ballot per question, of as many recorded samples as every question has."""
    votes = min(len(speaker.samples_of(episode.question)) for episode in episodes)
    return sample_answers(episodes, config.rules, speaker, task, votes=votes, phase="after", seed=config.seed)


def _recorded_model(
    config: Config, name: str, ballots: Sequence[DialogueRecord], *, unanswered: int, unmatched: int
) -> RecordedModel:
    votes = len(ballots[0].turns)
    first = [replace(majority(ballot, 1), method=name) for ballot in ballots]
    return RecordedModel(
        metrics=figures(config, first),
        samples=votes,
        unanswered=unanswered,
        unmatched=unmatched,
        self_consistency=figures(config, [majority(ballot, votes) for ballot in ballots]).accuracy,
        pass_at_k=sum(any(turn.right for turn in ballot.turns) for ballot in ballots) / len(ballots),
    )


def _measure(
    examiner: Examiner, controller: Controller, run: RunDirectory, stages: Stages
) -> dict[str, list[DialogueRecord]]:
    """The team's dialogues on held-out questions, recorded."""
    with stages("after"):
        played = examiner.team(controller, phase="after")
        for dialogues in played.values():
            run.add_records(dialogues)
    return played


def _measure_baselines(
    examiner: Examiner,
    run: RunDirectory,
    stages: Stages,
    *,
    cost: float,
    further: Mapping[str, tuple[str, Controller]] | None = None,
) -> dict[str, list[DialogueRecord]]:
    """The baselines' dialogues on the same questions, recorded."""
    with stages("baselines"):
        baselines = examiner.baselines(phase="after", cost=cost, further=further)
        for dialogues in baselines.values():
            run.add_records(dialogues)
    return baselines


def pass_gate(parts: Parts, stages: Stages) -> None:
    """Refuses an engine that does not generate from the learner's policy."""
    with stages("parity"):
        require(parts.gate())
