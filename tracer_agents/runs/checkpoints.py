"""Files of a run that must survive a kill: atomic checkpoints, and logs that can be cut back to one."""

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tracer_agents.errors import RunError

_LOCK_ATTEMPTS, _LOCK_SECONDS = 20, 2.0
_STEP = re.compile(r"step_(\d+)")


class Checkpoints:
    """The folders ``step_N`` below a run's ``checkpoints/``; one that exists is complete."""

    def __init__(self, folder: Path, *, keep: int) -> None:
        self._folder = folder
        self._keep = keep

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending."""
        found = (_STEP.fullmatch(path.name) for path in self._folder.glob("step_*"))
        return sorted(int(match[1]) for match in found if match)

    def latest(self) -> Path:
        """The newest checkpoint.

        Raises:
            RunError: there is none.
        """
        steps = self.steps()
        if not steps:
            raise RunError(f"{self._folder}: no checkpoint; the run was stopped before its first one")
        return self.path(steps[-1])

    def path(self, step: int) -> Path:
        """Where the checkpoint of ``step`` is, or would be."""
        return self._folder / f"step_{step}"

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Lets ``write`` fill a folder, then moves it into place at once, and removes all but the newest."""
        draft = self._folder / f".step_{step}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        write(draft)
        for path in draft.rglob("*"):
            if path.is_file():
                _flush(path)
        final = self.path(step)
        shutil.rmtree(final, ignore_errors=True)
        draft.rename(final)
        self.prune()
        return final

    def prune(self) -> None:
        """Removes all but the newest checkpoints."""
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self.path(old))


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def append_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Appends JSON lines and puts them on disk before returning."""
    text = _json_lines(rows)
    with path.open("a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The complete JSON lines of a file that may end in a torn one; nothing if there is no file."""
    if not path.exists():
        return
    with path.open("rb") as file:  # a torn line may end within a character
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)


def keep_lines(path: Path, keep: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """Rewrites a JSONL file with only the rows to keep, at once, and returns them."""
    rows = [row for row in read_lines(path) if keep(row)]
    write_lines(path, rows)
    return rows


def write_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replaces a JSONL file at once."""
    write_text(path, _json_lines(rows))


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> str:
    """JSON as the standard has it: not a number is a ``ValueError``, never ``NaN``."""
    return "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)


def write_text(path: Path, text: str) -> None:
    """Replaces a file's content at once: a reader sees the old text or the new one."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    _flush(draft)
    draft.replace(path)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps two processes from writing one run; one that was just killed may hold it for a moment longer.

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
