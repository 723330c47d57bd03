"""``python -m benchmarks pool``: one split's pool of a team's speakers, as they are or as a run has trained them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_agents import progress
from tracer_agents.build import Parts, build, build_task, check_keys, model_folder
from tracer_agents.config import Config, load_config
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.generation.gate import require
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import locked
from tracer_agents.runs.pools import OnChunk, header_of, record_pool
from tracer_agents.speakers.drawing import Drawing
from tracer_agents.training.schedule import Schedule
from tracer_agents.training.stages import Display
from tracer_agents.types import Episode
from tracer_env.errors import ConfigError, DataError
from tracer_env.tasks.base import Split, Task

CHUNK = 64  # questions that are drawn, and put on disk, together: what a kill may cost


@dataclass(frozen=True, kw_only=True)
class PoolOrder:
    """What a command line asks for.

    Args:
        out: the file.
        split: where the questions are from; training questions follow those that training of the settings' length met.
        questions: how many different ones.
        draws: proposals per question and voice.
        reviews: of each reviewed draw, per reviewer.
        reviewed_draws: the first draws of each voice are reviewed; None: all.
        cross: every voice reviews everybody's draws.
        preset: the settings to start from; None: those of the run in ``weights``, or demo.
        settings: dotted overrides.
        seed: of questions and draws; None: that of the settings.
        weights: a run, or one of its checkpoints, with trained speakers.
        chunk: questions that are drawn together.
    """

    out: Path
    split: Split
    questions: int
    draws: int = 8
    reviews: int = 1
    reviewed_draws: int | None = None
    cross: bool = False
    preset: str | None = None
    settings: Mapping[str, Any]
    seed: int | None = None
    weights: Path | None = None
    chunk: int = CHUNK

    def __post_init__(self) -> None:
        least = {"questions": 1, "draws": 1, "reviews": 0, "reviewed_draws": 0, "chunk": 1}
        for name, bound in least.items():
            if (value := getattr(self, name)) is not None and value < bound:
                raise ConfigError(f"--{name.replace('_', '-')}: must be ≥ {bound}, got {value}")
        if self.reviewed_draws is not None and self.reviewed_draws > self.draws:
            raise ConfigError(f"--reviewed-draws: must be at most --draws {self.draws}, got {self.reviewed_draws}")


def record_drawn(
    path: Path,
    config: Config,
    episodes: Sequence[Episode],
    parts: Parts,
    *,
    split: Split,
    draws: int,
    reviews: int,
    reviewed_draws: int,
    chunk: int,
    cross: bool = False,
    weights: Path | None = None,
    on_chunk: OnChunk = lambda done, total, tokens: None,
) -> None:
    """Draws what a file does not hold yet with a team's speakers; arguments as of ``Drawing`` and ``record_pool``.

    ``weights`` is where those of the speakers are, if anywhere here.
    """
    header = header_of(
        config,
        split=split,
        questions=len(episodes),
        draws=draws,
        reviews=reviews,
        reviewed_draws=reviewed_draws,
        cross=cross,
        chunk=chunk,
        weights=weights,
    )
    drawing = Drawing(
        agents=[voice.agents[0] for voice in config.voices],
        speakers=parts.speakers,
        task=parts.task,
        draws=draws,
        reviews=reviews,
        reviewed_draws=reviewed_draws,
        cross=cross,
    )
    record_pool(path, header, episodes, drawing.questions, chunk=chunk, on_chunk=on_chunk)


def draw_pool(order: PoolOrder, display: Display) -> None:
    """Draws what the file does not hold yet.

    Raises:
        ConfigError: settings that cannot be used, or weights of speakers that were not trained.
        RunError: the file holds another pool, or the weights cannot be read.
        GenerationFailed: an engine did not deliver an utterance.
    """
    display.stage("load")
    config, weights = _settings(order)
    check_keys(config)
    reviewed = order.draws if order.reviewed_draws is None else order.reviewed_draws
    episodes = distinct_episodes(build_task(config), config, order.split, order.questions)
    with locked(order.out.resolve().parent), build(config, weights=weights) as parts:
        require(parts.gate())
        display.stage("pool")
        with progress.watched(display.utterances):
            record_drawn(
                order.out,
                config,
                episodes,
                parts,
                split=order.split,
                draws=order.draws,
                reviews=order.reviews,
                reviewed_draws=reviewed,
                chunk=order.chunk,
                cross=order.cross,
                weights=weights or _initial(config),
                on_chunk=display.questions,
            )


def distinct_episodes(task: Task, config: Config, split: Split, count: int) -> list[Episode]:
    """So many different questions of a split, in the order of its stream; more of them begin with the same.

    Raises:
        DataError: the split has fewer.
    """
    position = Schedule.of(config).speaker_questions if split == "train" else 0
    distinct: dict[str, Episode] = {}
    for _ in range(100):  # an endless split of few questions repeats them
        drawn = draw_episodes(task, split, position, count, seed=config.seed, phase=f"pool {split}")
        for episode in drawn:
            distinct.setdefault(episode.question.id, episode)
        position += count
        if len(distinct) >= count:
            return list(distinct.values())[:count]
        if len(drawn) < count:
            break
    raise DataError(
        f"--questions: the {split} split of {task.name} has {len(distinct)} questions, {count} are asked for"
    )


def _initial(config: Config) -> Path | None:
    """Where the weights of a team's one model lie; None: it has several, or they were never loaded here."""
    [first, *others] = config.models
    return model_folder(first.speakers.model) if first.backend.trainable and not others else None


def _settings(order: PoolOrder) -> tuple[Config, Path | None]:
    """The settings, and the checkpoint that speaks; None: the initial weights."""
    overrides = {**order.settings, **({} if order.seed is None else {"seed": order.seed})}
    if order.weights is None:
        return load_config(preset=order.preset or "demo", overrides=overrides), None
    folder = order.weights
    is_checkpoint = (folder / "state.json").is_file()
    run = RunDirectory(folder.resolve().parents[1] if is_checkpoint else folder)
    run.config()  # says what is wrong with it
    config = load_config(
        preset=order.preset, file=None if order.preset else run.folder / "config.yaml", overrides=overrides
    )
    if not config.speakers_learn:
        raise ConfigError(
            f"--weights {folder}: the settings have credit.train: false, so nobody speaks with trained weights; drop "
            "--weights, or set credit.train: true"
        )
    return config, folder if is_checkpoint else run.checkpoints.latest()
