"""The files of a run directory: where they are, how they are written and how they are cut back on resume."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from tracer_agents.config import Config, dump_config, load_config
from tracer_agents.errors import RunError
from tracer_agents.rollout.records import DialogueRecord, record_from_json
from tracer_agents.runs.checkpoints import Checkpoints, append_lines, keep_lines, locked, read_lines, write_text

SCHEMA_VERSION = 1
_EVIDENCE = ("checkpoints", "transcripts.jsonl", "metrics.jsonl", "summary.json")
_PACKAGES = ("tracer-debate", "torch", "transformers", "pettingzoo", "numpy")


class RunDirectory:
    """One run's folder (DESIGN, section 10)."""

    def __init__(self, folder: Path, *, keep_checkpoints: int = 2) -> None:
        self.folder = folder
        self.checkpoints = Checkpoints(folder / "checkpoints", keep=keep_checkpoints)

    @classmethod
    @contextmanager
    def create(cls, folder: Path, config: Config) -> Iterator["RunDirectory"]:
        """Starts a new run and holds its lock; one that failed before it recorded anything is begun again.

        Raises:
            RunError: the folder holds a run already, or another process is writing it.
        """
        with locked(folder):
            if any((folder / name).exists() for name in _EVIDENCE):
                raise RunError(f"{folder}: holds a run already; continue it with --resume or choose another --out")
            write_text(folder / "config.yaml", dump_config(config))
            yield cls(folder, keep_checkpoints=config.trainer.keep_checkpoints)

    @classmethod
    @contextmanager
    def resume(cls, folder: Path, config: Config) -> Iterator["RunDirectory"]:
        """Reopens a run and holds its lock.

        Raises:
            RunError: the folder holds no run, one with other settings, or another process is writing it.
        """
        stored = cls(folder).config()
        if stored != config:
            changed = [name for name in Config.model_fields if getattr(stored, name) != getattr(config, name)]
            raise RunError(
                f"{folder}: was started with other settings ({', '.join(changed)}); resume it without changes"
            )
        with locked(folder):
            run = cls(folder, keep_checkpoints=config.trainer.keep_checkpoints)
            run.checkpoints.prune()  # a kill may have come between a new checkpoint and the removal of an old one
            yield run

    def config(self) -> Config:
        """The settings of the run.

        Raises:
            RunError: there is no run here.
        """
        path = self.folder / "config.yaml"
        if not path.is_file():
            raise RunError(f"{self.folder}: no config.yaml, so no run; give the folder that tracer train wrote")
        return load_config(file=path)

    # metrics.jsonl: one line a step

    def add_metrics(self, row: dict[str, Any]) -> None:
        """Appends one step's figures."""
        append_lines(self.folder / "metrics.jsonl", [row])

    def metrics(self) -> list[dict[str, Any]]:
        """All steps' figures."""
        return list(read_lines(self.folder / "metrics.jsonl"))

    def keep_metrics(self, step: int) -> list[dict[str, Any]]:
        """Drops the lines after ``step`` and returns the others."""
        return keep_lines(self.folder / "metrics.jsonl", lambda row: row["step"] <= step)

    # transcripts.jsonl: one line a dialogue; the dialogues of one (phase, method) are written together

    def add_records(self, records: Sequence[DialogueRecord]) -> None:
        """Appends finished dialogues."""
        append_lines(self.folder / "transcripts.jsonl", [record.as_json() for record in records])

    def records(self) -> dict[tuple[str, str], list[DialogueRecord]]:
        """All recorded dialogues by (phase, method)."""
        found: dict[tuple[str, str], list[DialogueRecord]] = {}
        for row in read_lines(self.folder / "transcripts.jsonl"):
            found.setdefault((row["phase"], row["method"]), []).append(record_from_json(row))
        return found

    def keep_records(self, phases: set[str]) -> dict[tuple[str, str], list[DialogueRecord]]:
        """Drops the dialogues of other phases and returns those kept."""
        keep_lines(self.folder / "transcripts.jsonl", lambda row: row["phase"] in phases)
        return self.records()

    # summary.json

    def write_summary(self, summary: dict[str, Any]) -> None:
        """Replaces ``summary.json``."""
        write_text(
            self.folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
        )

    def summary(self) -> dict[str, Any]:
        """What ``summary.json`` holds.

        Raises:
            RunError: the run has not ended.
        """
        path = self.folder / "summary.json"
        if not path.is_file():
            raise RunError(f"{self.folder}: no summary.json; the run has not ended, continue it with --resume")
        return json.loads(path.read_text(encoding="utf-8"))


def describe(config: Config) -> dict[str, Any]:
    """What every ``summary.json`` says of the settings it came from."""
    return {
        "schema_version": SCHEMA_VERSION,
        "task": config.task.name,
        "model": config.speakers.model,
        "seed": config.seed,
        "versions": {name: _version(name) for name in _PACKAGES},
        "config_sha256": hashlib.sha256(dump_config(config).encode()).hexdigest(),
        "price_of_speech": config.dialogue.price_of_speech,
        "token_budget": config.token_budget,
    }


def _version(package: str) -> str | None:
    """Of an installed package; the project itself can also run from a folder that is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
