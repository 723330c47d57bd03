"""The manifest of a checkpoint: digests of its files, and of what the run's logs held when it was written."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tracer_agents.errors import RunError
from tracer_agents.runs.files import digest, read_json, write_json

NAME = "manifest.json"


def seal(folder: Path, logs: Sequence[Path]) -> None:
    """Writes the manifest of a folder that is complete; it comes last.

    Args:
        folder: the checkpoint.
        logs: files outside it that only grow from now on; those that exist are noted as they are.
    """
    files = {str(path.relative_to(folder)): digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    noted = {log.name: {"bytes": log.stat().st_size, "sha256": digest(log)} for log in logs if log.is_file()}
    write_json(folder / NAME, {"files": files, "logs": noted, "sha256": _digest_of(files, noted)})


def damaged_file(folder: Path) -> str | None:
    """What is wrong with the files of a sealed checkpoint; None: nothing."""
    try:
        files = _read(folder)["files"]
    except RunError as error:
        return str(error)
    for name, sha in files.items():
        if not (folder / name).is_file():
            return f"{folder / name}: missing"
        if digest(folder / name) != sha:
            return f"{folder / name}: damaged, its digest is not the manifest's"
    return None


def damaged_log(folder: Path, logs: Sequence[Path]) -> str | None:
    """What is wrong with the logs that a sealed checkpoint noted; None: they hold all that they held then."""
    try:
        noted = _read(folder)["logs"]
    except RunError as error:
        return str(error)
    for log in logs:
        size, sha = (noted[log.name][name] for name in ("bytes", "sha256")) if log.name in noted else (0, "")
        if size and not log.is_file():
            return f"{log}: missing"
        if size and (log.stat().st_size < size or digest(log, size) != sha):
            return f"{log}: damaged, its first {size} bytes are not those that {folder.name} goes on from"
    return None


def _read(folder: Path) -> dict[str, Any]:
    """A manifest whose own digest is right."""
    path = folder / NAME
    if not path.is_file():
        raise RunError(f"{path}: missing")
    manifest = read_json(path)
    try:
        whole = manifest["sha256"] == _digest_of(manifest["files"], manifest["logs"])
    except (KeyError, TypeError) as error:
        raise RunError(f"{path}: damaged, {error} is missing") from error
    if not whole:
        raise RunError(f"{path}: damaged, its digest is not its own")
    return manifest


def _digest_of(files: Any, logs: Any) -> str:
    return hashlib.sha256(json.dumps([files, logs], sort_keys=True).encode()).hexdigest()
