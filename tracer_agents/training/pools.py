"""Controllers learned from a pool that was made elsewhere: ``tracer fit --pool``, without any model."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracer_agents.build import Parts
from tracer_agents.config import Config
from tracer_agents.evaluation.summary import Summary
from tracer_agents.rollout.pools import Pool, PooledQuestion
from tracer_agents.runs.directory import RunDirectory, describe
from tracer_agents.runs.files import digest
from tracer_agents.runs.pools import load_pool
from tracer_agents.speakers.pooled import PoolSpeakers, PoolTask
from tracer_agents.training.experiment import Training
from tracer_agents.training.stages import Display, Stages
from tracer_agents.training.trainer import Trainer
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError, DataError
from tracer_env.seeding import pool_place
from tracer_env.tasks.base import Split

SHARE = 0.2  # of the training pool's questions, for each of validation and test where they have no pool of their own
_LEAST = 2  # questions of a split: an interval needs two


@dataclass(frozen=True, kw_only=True)
class Pools:
    """The pools of a fit.

    Args:
        files: by split, ``train`` among them.
        task: the name of the task that the questions are from, or ``"pool"``.
        members: the names of those who speak, the same in all pools.
        splits: the questions; where a split has no file, its share of the training pool's, chosen by their ids.
    """

    files: Mapping[Split, Path]
    task: str
    members: tuple[str, ...]
    splits: Mapping[Split, Sequence[PooledQuestion]]

    @classmethod
    def load(cls, files: Mapping[Split, Path]) -> "Pools":
        """Reads the pools.

        Raises:
            RunError: a file cannot be read.
            DataError: they are of different members, or too small to be divided.
        """
        pools: dict[Split, Pool] = {split: load_pool(path) for split, path in files.items()}
        members = pools["train"].header.members
        for split, pool in pools.items():
            if pool.header.members != members:
                raise DataError(
                    f"{files[split]}: is of {', '.join(pool.header.members)}, and {files['train']} of "
                    f"{', '.join(members)}; draw both with the same speakers"
                )
        splits = _divided(pools)
        small: list[Split] = [split for split, questions in splits.items() if len(questions) < _LEAST]
        if small:
            raise DataError(
                f"{files.get(small[0], files['train'])}: leaves {len(splits[small[0]])} questions for the {small[0]} "
                f"split, and {_LEAST} are the least; draw more, or give --validation-pool and --test-pool"
            )
        return cls(files=files, task=pools["train"].header.task or "pool", members=members, splits=splits)

    @property
    def questions(self) -> list[PooledQuestion]:
        """All of them."""
        return [question for questions in self.splits.values() for question in questions]

    def longest(self, role: Role) -> int:
        """The most generated tokens of an utterance in a role, ≥ 1."""
        counts = [1]
        for question in self.questions:
            for draws in question.members:
                for draw in draws:
                    reviews = [*draw.reviews, *(each for given in draw.cross_reviews.values() for each in given)]
                    spoken = [draw.utterance] if role is Role.PROPOSER else reviews
                    counts += [utterance.generated_tokens for utterance in spoken]
        return max(counts)


def _divided(pools: Mapping[Split, Pool]) -> dict[Split, Sequence[PooledQuestion]]:
    """The questions of every split."""
    splits: dict[Split, Sequence[PooledQuestion]] = {split: pool.questions for split, pool in pools.items()}
    missing: list[Split] = [split for split in ("validation", "test") if split not in pools]
    placed = [(pool_place(question.episode.question.id), question) for question in pools["train"].questions]

    def share(number: int) -> list[PooledQuestion]:
        """Those whose place lies in a part of [0, 1); the last part is what is left to learn from."""
        low, high = number * SHARE, (number + 1) * SHARE if number < len(missing) else 1.0
        return [question for place, question in placed if low <= place < high]

    for number, split in enumerate(missing):
        splits[split] = share(number)
    if missing:
        splits["train"] = share(len(missing))
    return splits


def pool_settings(config: Config, pools: Pools) -> Config:
    """The settings of a fit from pools: as many questions as they hold, no revisions, limits that fit.

    Raises:
        ConfigError: settings that ask for what a pool has not.
    """
    if config.dialogue.revisions:
        raise ConfigError("dialogue.revisions: a pool holds proposals made from the question alone; leave it out")
    counts = {split: len(questions) for split, questions in pools.splits.items()}
    changes: dict[str, dict[str, Any]] = {
        "dialogue": {"revisions": False},
        "trainer": {"controller_questions_per_step": counts["train"]},
        "controllers": {"validation_questions": counts["validation"]},
        "evaluation": {
            "questions": counts["test"],
            "greedy": False,
            "certificate_questions": min(config.evaluation.certificate_questions, counts["test"]),
        },
        "speakers": {},
    }
    for role in Role:
        name = f"{role}_max_new_tokens"
        if getattr(config.speakers, name) is None:
            changes["speakers"][name] = pools.longest(role)
    sections = config.model_dump(exclude_unset=True)
    for section, fields in changes.items():
        sections.setdefault(section, {}).update(fields)
    return Config.model_validate(sections)


def pool_parts(config: Config, pools: Pools) -> Parts:
    """What a run from pools is made of: no model, speakers and a task that read.

    Raises:
        ConfigError: the pools speak for another number of voices, or hold too little for the rules.
        DataError: a question is in two pools.
    """
    task = PoolTask(name=pools.task, splits=pools.splits)
    speakers = PoolSpeakers(questions=task.questions, voices=_voices(config, pools.members))
    speakers.require(config.rules)
    votes = min(len(question.members[speakers.voices[0]]) for question in pools.questions)
    return Parts(
        task=task,
        models=(),
        training_speakers=speakers,
        speakers=speakers,
        greedy_speakers=speakers,
        most_votes=votes,
    )


def _voices(config: Config, members: Sequence[str]) -> tuple[int, ...]:
    """The member that each agent speaks as: everybody the only one, or one for each of the settings' voices."""
    agents = config.dialogue.n_agents
    if len(members) == 1:
        return (0,) * agents
    voices = config.voices
    if len(voices) == len(members):
        return tuple(next(n for n, voice in enumerate(voices) if agent in voice.agents) for agent in range(agents))
    raise ConfigError(
        f"speakers.members: the pool is of {len(members)} members ({', '.join(members)}), and the settings have "
        f"{len(voices)}; name one member for each agent, in the pool's order, with its price"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolTraining(Training):
    """A fit from pools; what was measured is what drew them."""

    pools: Pools

    def _origin(self) -> dict[str, Any]:
        files = {split: {"file": str(path), "sha256": digest(path)} for split, path in self.pools.files.items()}
        measured = {"task": self.pools.task, "model": " + ".join(self.pools.members)}
        return {**describe(self.config), **measured, "pools": files}


def run_pool_fit(config: Config, out: Path, pools: Pools, *, display: Display) -> Summary:
    """``tracer fit --pool``: returns what it wrote to ``summary.json``.

    Args:
        config: the settings, of ``pool_settings``.
        out: the run's folder.
        pools: what controllers learn from, are chosen on and are measured on.
        display: shows how the fit gets on.

    Raises:
        ConfigError, DataError: as ``pool_parts``, before anything is written.
        RunError: the folder holds a run already.
    """
    parts = pool_parts(config, pools)
    with RunDirectory.create(out, config) as run, ExitStack() as resources:
        for note in run.notes:
            display.note(note)
        stages = Stages(display)
        training = PoolTraining(
            config=config,
            run=run,
            stages=stages,
            parts=resources.enter_context(parts),
            trainer=Trainer(config, parts),
            pools=pools,
        )
        return training.summary(display)
