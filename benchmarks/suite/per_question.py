"""Files with one line per question, which grow a chunk at a time and go on after a kill."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tracer_agents.errors import RunError
from tracer_agents.runs.files import append_lines, read_lines, write_lines
from tracer_agents.types import Episode

REMEDY = "remove the file and continue the benchmark to record anew"
Rows = list[dict[str, Any]]


def grow(
    path: Path,
    episodes: Sequence[Episode],
    names: Sequence[str],
    what: str,
    make: Callable[[Sequence[Episode]], Rows],
    *,
    chunk: int,
) -> None:
    """Adds the questions that a file does not hold yet, from the first chunk on that is not whole.

    Args:
        path: the file; a torn last line of it goes.
        episodes: the questions that it is to hold, in order.
        names: the fields of a row; the first is ``question_id``.
        what: a row is, for messages.
        make: questions -> their rows.
        chunk: questions that are made, and put on disk, together.

    Raises:
        RunError: the file holds other questions, or a line is damaged.
    """
    rows = read_rows(path, names, what)
    _check(path, rows, episodes)
    kept = len(rows) if len(rows) == len(episodes) else len(rows) - len(rows) % chunk
    write_lines(path, rows[:kept])  # chunks are made again whole: an engine's last bits depend on what is batched
    for start in range(kept, len(episodes), chunk):
        append_lines(path, make(episodes[start : start + chunk]))


def read_whole(path: Path, episodes: Sequence[Episode], names: Sequence[str], what: str) -> Rows:
    """The rows of a file that holds exactly these questions.

    Raises:
        RunError: it is missing, incomplete, damaged, or of other questions.
    """
    rows = read_rows(path, names, what)
    _check(path, rows, episodes)
    if len(rows) < len(episodes):
        raise RunError(f"{path}: holds {len(rows)} of {len(episodes)} questions; continue the benchmark to record them")
    return rows


def read_rows(path: Path, names: Sequence[str], what: str) -> Rows:
    """The whole rows of a file; a torn last line is left out.

    Raises:
        RunError: another line is damaged.
    """
    rows: Rows = []
    try:
        for row in read_lines(path):
            rows.append({name: row[name] for name in names})
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise damaged(path, len(rows) + 1, what, error) from error
    return rows


def damaged(path: Path, number: int, what: str, error: Exception) -> RunError:
    """The error of a line that is not what it should be."""
    return RunError(f"{path}, line {number}: not {what} ({error}); {REMEDY}")


def _check(path: Path, rows: Rows, episodes: Sequence[Episode]) -> None:
    for number, (row, episode) in enumerate(zip(rows, episodes, strict=False), start=1):
        if row["question_id"] != episode.question.id:
            raise RunError(
                f"{path}, line {number}: holds question {row['question_id']!r} where the plan asks for "
                f"{episode.question.id!r}; choose another --out, or remove the file to record anew"
            )
