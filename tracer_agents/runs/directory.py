"""The files of a run directory: where they are, how they are written and how they are cut back on resume."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from tracer_agents.config import Config, dump_config, load_config
from tracer_agents.controllers.tabular import PLAYS, Play
from tracer_agents.errors import RunError
from tracer_agents.rollout.records import DialogueRecord, record_from_json
from tracer_agents.runs.checkpoints import Checkpoints
from tracer_agents.runs.files import (
    append_lines,
    digest,
    keep_lines,
    locked,
    read_json,
    read_lines,
    write_json,
    write_text,
    writing,
)
from tracer_agents.speakers.prompts import STYLES, prompts_for
from tracer_env.errors import ConfigError

Kind = Literal["training", "evaluation", "replay"]
SCHEMA_VERSION = 2
_EVIDENCE = ("checkpoints", "transcripts.jsonl", "metrics.jsonl", "summary.json", "utterances.jsonl")
_CERTIFIED = ("certificate.json", "certificate.png", "trees.jsonl")
_FILES = (*_EVIDENCE, *_CERTIFIED, "config.yaml", "run.json", "progress.json", "report.html", "tb")
_SECTIONS = {
    "seed",
    "task",
    "dialogue",
    "speakers",
    "backend",
    "controllers",
    "credit",
    "gspo",
    "trainer",
    "evaluation",
}
_PACKAGES = ("tracer-debate", "torch", "transformers", "pettingzoo", "numpy")


class RunDirectory:
    """One run's folder (DESIGN, section 10).

    ``run.json`` says that the folder is a run's, of which version, and with which settings.
    """

    def __init__(self, folder: Path, *, keep_checkpoints: int = 2) -> None:
        self.folder = folder
        self.notes: list[str] = []  # what a person should know of how the run was reopened
        logs = [folder / name for name in ("run.json", "metrics.jsonl", "transcripts.jsonl")]
        self.checkpoints = Checkpoints(
            folder / "checkpoints", keep=keep_checkpoints, logs=logs, sealed=(folder / "run.json").exists()
        )

    @classmethod
    @contextmanager
    def create(
        cls, folder: Path, config: Config, *, kind: Kind = "training", measures: str | None = None
    ) -> Iterator["RunDirectory"]:
        """Starts a new run and holds its lock; one that failed before it recorded anything is begun again.

        Args:
            folder: where the run is to be.
            config: its settings.
            kind: what the run does.
            measures: the weights that an evaluation measures, by their digest or name.

        Raises:
            RunError: the folder holds a run already, or files of the same names, or another process is writing it.
        """
        with locked(folder):
            run = cls(folder, keep_checkpoints=config.trainer.keep_checkpoints)
            there = [name for name in _FILES if (folder / name).exists()]
            if there and not run._begun_and_empty():
                if not set(there) & {"run.json", *_EVIDENCE}:
                    raise RunError(f"{folder}: holds {', '.join(there)}, and not from a run; choose another --out")
                raise RunError(f"{folder}: holds a run already; continue it with --resume or choose another --out")
            settings = dump_config(config)
            about = {
                "schema_version": SCHEMA_VERSION,
                "kind": kind,
                "measures": measures,
                "versions": _versions(),
                "config_sha256": hashlib.sha256(settings.encode()).hexdigest(),
                "data_sha256": _data_digests(config),
                "prompts_sha256": _prompt_digests(config),
            }
            write_json(folder / "run.json", about)
            write_text(folder / "config.yaml", settings)
            yield cls(folder, keep_checkpoints=config.trainer.keep_checkpoints)

    def _begun_and_empty(self) -> bool:
        """Whether all that the folder holds of a run is its beginning, untouched."""
        if any((self.folder / name).exists() for name in _FILES if name not in ("run.json", "config.yaml")):
            return False
        path = self.folder / "config.yaml"
        try:
            sha = read_json(self.folder / "run.json")["config_sha256"]
            return not path.exists() or digest(path) == sha
        except (RunError, KeyError, TypeError):
            return False

    @classmethod
    @contextmanager
    def resume(
        cls,
        folder: Path,
        config: Config,
        *,
        allow_older: bool = False,
        kind: Kind = "training",
        measures: str | None = None,
    ) -> Iterator["RunDirectory"]:
        """Reopens a run and holds its lock.

        Args:
            folder: the run.
            config: its settings, which must be those that it was started with; how servers are reached and what may
                be spent is free.
            kind, measures: what it does, and the weights that it measures, as they were.
            allow_older: go on from the newest whole checkpoint where newer ones are damaged or lost; these are
                renamed, and what was wrong with them is in ``notes``.

        Raises:
            RunError: the folder holds no run, one with other settings, or another process is writing it; or what the
                run would go on from is damaged.
        """
        stored, about = cls(folder).config(), cls(folder)._about()
        if about is not None and about.get("kind") != kind:
            raise RunError(f"{folder}: holds an {about.get('kind')} run, which this command cannot go on with")
        if about is not None and about.get("measures") != measures:
            raise RunError(f"{folder}: was measuring other weights ({about.get('measures')}); choose another --out")
        bound, given = stored.binding, config.binding
        if bound != given:
            changed = [name for name in Config.model_fields if getattr(bound, name) != getattr(given, name)]
            raise RunError(
                f"{folder}: was started with other settings ({', '.join(changed)}); resume it without changes"
            )
        with locked(folder):
            run = cls(folder, keep_checkpoints=config.trainer.keep_checkpoints)
            run.require_data(config)
            run.notes = [f"{path}: empty, passed over" for path in run.checkpoints.empty()]
            if allow_older:
                run.notes += run.checkpoints.set_aside()
            run.checkpoints.require_whole()
            run._require_rows(config, allow_older=allow_older)
            run.checkpoints.prune()  # a kill may have come between a new checkpoint and the removal of an old one
            yield run

    def _require_rows(self, config: Config, *, allow_older: bool) -> None:
        """Refuses a run whose figures and checkpoints do not belong together."""
        path, steps = self.folder / "metrics.jsonl", self.checkpoints.steps()
        rows = [row.get("step") for row in self.metrics()]
        if rows and not steps:
            raise RunError(f"{self.folder / 'checkpoints'}: missing; train anew into another --out")
        newest = steps[-1] if steps else 0
        if rows[:newest] != [*range(1, newest + 1)]:
            missing = next(step for step in range(1, newest + 1) if rows[step - 1 : step] != [step])
            raise RunError(f"{path}: damaged, row {missing} is not that of step {missing}; train anew")
        lost = [step for step in range(newest + 1, len(rows)) if step % config.trainer.checkpoint_every == 0]
        if lost and not allow_older:
            raise RunError(
                f"{self.checkpoints.path(lost[-1])}: missing, the run got further; the newest checkpoint is "
                f"step_{newest}: go on from it with train --resume --allow-older"
            )

    def config(self) -> Config:
        """The settings of the run.

        Raises:
            RunError: there is no run here, its settings are damaged, or another version wrote them.
        """
        path = self.folder / "config.yaml"
        if not path.is_file():
            raise RunError(f"{self.folder}: no config.yaml, so no run; give the folder that tracer train wrote")
        about = self._about()
        if about is not None and digest(path) != about["config_sha256"]:
            raise RunError(f"{path}: not as the run wrote it; restore it, its digest is in run.json, or train anew")
        try:
            config = load_config(file=path)
        except ConfigError as error:
            raise RunError(f"{error} ({self._writer(about)}; use that version, or train anew)") from error
        if about is None and not _names_every_section(path):
            raise RunError(f"{path}: damaged, it does not hold all sections of the settings; restore it or train anew")
        return config

    def require_data(self, config: Config) -> None:
        """Refuses other questions and prompts than those that the run began with, where ``config`` names the same.

        Raises:
            RunError: a relative path leads elsewhere from this folder, or the file has changed.
            ConfigError: the file of prompts is gone or damaged.
        """
        self._require_prompts(config)
        begun = (self._about() or {}).get("data_sha256", {})
        stored = self.config().task
        for name, sha in _data_digests(config).items():
            path = getattr(config.task, name)
            if path == getattr(stored, name) and begun.get(name, sha) != sha:
                raise RunError(
                    f"task.{name}: {Path(path).absolute()} is not the file that the run in {self.folder} began with; "
                    "go back to the folder in which the run was started, or restore the file"
                )

    def _require_prompts(self, config: Config) -> None:
        begun = (self._about() or {}).get("prompts_sha256", {})
        for name, sha in _prompt_digests(config).items():
            if begun.get(name, sha) != sha:
                file = None if name in STYLES else name
                changed = f"the prompts of the style {name!r}" if file is None else f"{Path(file).absolute()}"
                remedy = "use the version that began it" if file is None else "restore the file"
                raise RunError(
                    f"speakers.prompts: {changed} are not the texts that the run began with, whose digest is in "
                    f"{self.folder / 'run.json'}; {remedy}, or begin another run"
                )

    def _about(self) -> dict[str, Any] | None:
        """What ``run.json`` holds; None: an earlier version wrote the run."""
        path = self.folder / "run.json"
        if not path.exists():
            if any((step / "manifest.json").exists() for step in (self.folder / "checkpoints").glob("step_*")):
                raise RunError(f"{path}: missing; restore it or train anew")
            return None
        about = read_json(path)
        try:
            schema, _, _ = about["schema_version"], about["config_sha256"], about["versions"]["tracer-debate"]
        except (KeyError, TypeError) as error:
            raise RunError(f"{path}: damaged, {error} is missing") from error
        if schema != SCHEMA_VERSION:
            raise RunError(f"{self.folder}: {self._writer(about)}; use that version, or train anew")
        return about

    def _writer(self, about: dict[str, Any] | None) -> str:
        """Who wrote the run, in words."""
        if about is None and (self.folder / "summary.json").is_file():
            about = read_json(self.folder / "summary.json")
        about = about or {}
        version = about.get("versions", {}).get("tracer-debate") or "before 0.1.0"
        schema = about.get("schema_version", 1)
        now = f"{_version('tracer-debate')} with schema {SCHEMA_VERSION}"
        return f"written by tracer-debate {version} with run directories of schema {schema}; this is {now}"

    # metrics.jsonl: one row per step

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Appends one step's figures."""
        append_lines(self.folder / "metrics.jsonl", [row])

    def metrics(self) -> list[dict[str, Any]]:
        """All steps' figures."""
        return list(read_lines(self.folder / "metrics.jsonl"))

    def keep_metrics(self, step: int) -> list[dict[str, Any]]:
        """Drops the lines after ``step`` and returns the others."""
        return keep_lines(self.folder / "metrics.jsonl", lambda row: row.get("step", step + 1) <= step)

    # transcripts.jsonl: one row per dialogue

    def add_records(self, records: Sequence[DialogueRecord]) -> None:
        """Appends finished dialogues."""
        append_lines(self.folder / "transcripts.jsonl", [record.as_json() for record in records])

    def records(self) -> dict[tuple[str, str], list[DialogueRecord]]:
        """All recorded dialogues by (phase, method).

        Raises:
            RunError: a row is no record.
        """
        path = self.folder / "transcripts.jsonl"
        records: dict[tuple[str, str], list[DialogueRecord]] = {}
        for number, row in enumerate(read_lines(path), 1):
            try:
                record = record_from_json(row)
            except (TypeError, KeyError, ValueError) as error:
                raise RunError(f"{path}:{number}: no record of this version: {error}") from error
            records.setdefault((record.phase, record.method), []).append(record)
        return records

    def keep_records(self, phases: set[str]) -> dict[tuple[str, str], list[DialogueRecord]]:
        """Drops the dialogues of other phases and returns those kept."""
        keep_lines(self.folder / "transcripts.jsonl", lambda row: row.get("phase") in phases)
        return self.records()

    def mark(self) -> None:
        """Notes what is recorded, for ``cut_to_mark``."""
        path = self.folder / "transcripts.jsonl"
        write_json(self.folder / "progress.json", {"bytes": path.stat().st_size, "sha256": digest(path)})

    def cut_to_mark(self) -> dict[tuple[str, str], list[DialogueRecord]]:
        """Drops what was recorded after the last mark, all of it where there is none, and returns the rest.

        Raises:
            RunError: what was noted is damaged.
        """
        path, noted = self.folder / "transcripts.jsonl", self.folder / "progress.json"
        mark = read_json(noted) if noted.exists() else {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
        if path.exists() or noted.exists():
            try:
                whole = path.exists() and digest(path, mark["bytes"]) == mark["sha256"]
                with writing(path), path.open("ab") as file:
                    file.truncate(mark["bytes"] if whole else None)
            except (KeyError, TypeError, ValueError) as error:
                raise RunError(f"{noted}: damaged, {error}; choose another --out") from error
            if not whole:
                raise RunError(f"{path}: damaged, not as {noted.name} noted it; choose another --out")
        return self.records()

    # summary.json

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Replaces ``summary.json``."""
        write_json(self.folder / "summary.json", summary)

    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds.

        Raises:
            RunError: the run has not ended.
        """
        path = self.folder / "summary.json"
        if not path.is_file():
            raise RunError(f"{self.folder}: no summary.json; the run has not ended, continue it with --resume")
        return read_json(path)

    def deployed_play(self) -> Play:
        """The strategy that a finished run chose.

        Raises:
            RunError: the run has not ended, or its summary is damaged.
        """
        summary = self.summary()
        for play in PLAYS:
            if summary.get("controllers", {}).get("play") == play:
                return play
        raise RunError(f"{self.folder / 'summary.json'}: damaged, controllers.play must be one of {', '.join(PLAYS)}")


def _names_every_section(path: Path) -> bool:
    """Whether settings of a version that noted no digest are whole, as far as can be seen."""
    text = path.read_text(encoding="utf-8")
    return all(f"\n{name}:" in f"\n{text}" for name in _SECTIONS)


def describe(config: Config, weights: Path | None = None, *, within: Path | None = None) -> dict[str, Any]:
    """What every ``summary.json`` says of the settings it came from and of what was measured.

    Args:
        config: the settings.
        weights: the folder of the measured weights; None: there is none on this machine.
        within: a folder that holds them, such as the run itself; they are then named relative to it.
    """
    named = weights.relative_to(within) if weights and within else weights
    return {
        "schema_version": SCHEMA_VERSION,
        "task": config.task.name,
        "model": " + ".join(dict.fromkeys(use.speakers.model for use in config.models)),
        "weights": None if named is None else str(named),
        "model_sha256": None if weights is None else weights_digest(weights),
        "seed": config.seed,
        "versions": _versions(),
        "config_sha256": hashlib.sha256(dump_config(config).encode()).hexdigest(),
        "prompts_sha256": _prompt_digests(config),
        "price_of_speech": config.dialogue.price_of_speech,
        "token_budget": config.token_budget,
        **({"members": _members(config)} if config.speakers.members else {}),
    }


def _members(config: Config) -> list[dict[str, Any]]:
    """Every agent's model, price and whether it learns."""
    settings = [config.of_agent(agent).speakers for agent in range(config.dialogue.n_agents)]
    return [
        {"model": each.model, "price": each.price, "prompt_price": each.prompt_price, "trained": member.train}
        for each, member in zip(settings, config.speakers.members, strict=True)
    ]


def weights_digest(folder: Path) -> str | None:
    """SHA-256 of a folder's safetensors file; of several, that of what ``sha256sum`` prints of them; None: no file."""
    files = sorted(folder.rglob("*.safetensors"))
    digests = [digest(path) for path in files]
    if len(files) < 2:
        return digests[0] if digests else None
    sums = "".join(f"{sha}  {path.relative_to(folder)}\n" for sha, path in zip(digests, files, strict=True))
    return hashlib.sha256(sums.encode()).hexdigest()


def _data_digests(config: Config) -> dict[str, str]:
    """SHA-256 of the files of questions that are there, by the name of their setting."""
    paths = {name: Path(path) for name in ("data", "eval_data") if (path := getattr(config.task, name)) is not None}
    return {name: digest(path) for name, path in paths.items() if path.is_file()}


def _prompt_digests(config: Config) -> dict[str, str]:
    """SHA-256 of the prompts, by their style or file.

    Raises:
        ConfigError: the file is none of prompts.
    """
    agents = (config.of_agent(agent) for agent in range(config.dialogue.n_agents))
    shown = [prompts_for(each.style, each.speakers.prompts) for each in agents]
    return {prompts.name: prompts.texts.sha256 for prompts in shown}


def _versions() -> dict[str, str | None]:
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    """Of an installed package; the project itself can also run from a folder that is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
