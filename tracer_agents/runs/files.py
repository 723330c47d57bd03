"""JSON and text on disk: read with errors that name the place, written so that a kill leaves old or new, never half."""

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile

from tracer_agents.errors import RunError
from tracer_env.errors import TracerError

_LOCK_ATTEMPTS, _LOCK_SECONDS = 20, 2.0


# JSON: what every file of a run, a benchmark and a study is made of


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        RunError: the file cannot be read, or is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path}: damaged, no JSON: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Replaces a JSON file at once."""
    write_text(path, _json(value, indent=2) + "\n")


def _json(value: Any, indent: int | None = None) -> str:
    """JSON as the standard has it: NaN is a ``ValueError``, a lone surrogate an escape."""
    text = json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# JSON lines: files that grow row by row


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Appends JSON lines and puts them on disk before returning.

    Raises:
        RunError: the disk is full, or the file cannot be written.
    """
    text = "".join(_json(row) + "\n" for row in rows)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete JSON lines of a file that may end in a torn one; nothing if there is no file.

    Raises:
        RunError: a complete line is damaged; the message names it.
    """
    if not path.exists():
        return
    with path.open("rb") as file:  # a torn line may end within a character
        for number, row in enumerate(file, 1):
            if not row.endswith(b"\n"):
                return
            try:
                value = json.loads(row)
            except (ValueError, RecursionError) as error:
                raise RunError(f"{path}, line {number}: damaged, no JSON: {error}") from error
            if not isinstance(value, dict):
                raise RunError(f"{path}, line {number}: damaged, no JSON object")
            yield value


def keep_lines(path: Path, keep: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Rewrites a JSONL file with only the rows to keep, at once, and returns them."""
    rows = [row for row in read_lines(path) if keep(row)]
    write_lines(path, rows)
    return rows


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces a JSONL file at once."""
    write_text(path, "".join(_json(row) + "\n" for row in rows))


# any file


def write_text(path: Path, text: str) -> None:
    """Replaces a file's content at once: a reader sees the old text or the new one.

    Raises:
        RunError: the disk is full, or the file cannot be written.
    """
    draft = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.draft")  # others may write the same file
    with writing(path):
        try:
            draft.write_text(text, encoding="utf-8")
            flush(draft)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Waits until a file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


def digest(path: Path, size: int | None = None) -> str:
    """SHA-256 of a file in hexadecimal digits, or of its first ``size`` bytes."""
    left = path.stat().st_size if size is None else size
    sha = hashlib.sha256()
    with path.open("rb") as file:
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            sha.update(block)
            left -= len(block)
    return sha.hexdigest()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the system says about a file that cannot be written into an error that names it.

    Raises:
        RunError: the disk is full, or the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror or error}") from error


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what readers of arrays and tensors raise about a damaged file into an error that names it.

    Raises:
        RunError: the file, or one in the folder, is missing or damaged.
    """
    try:
        yield
    except TracerError:
        raise
    except (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, BadZipFile, UnpicklingError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"{path}: missing or damaged: {reason}") from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps two processes from writing one run; a process that was just killed may hold it for a moment longer.

    Raises:
        RunError: another live process holds the run, or the folder cannot be written.
    """
    import fcntl

    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise RunError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    with lock as file:
        for attempt in range(_LOCK_ATTEMPTS):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if attempt == _LOCK_ATTEMPTS - 1:
                    raise RunError(
                        f"{folder}: another process is writing this run; wait for it or choose another --out"
                    ) from error
                time.sleep(_LOCK_SECONDS / _LOCK_ATTEMPTS)
        yield
