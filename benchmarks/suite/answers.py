"""The recorded answers of a cell, each line checked."""

import json
from pathlib import Path

from tracer_agents.rollout.records import DialogueRecord, Outcome, record_from_json
from tracer_env.errors import DataError

_COUNTS = ("round", "prompt_tokens", "generated_tokens")  # of a turn
_REMEDY = "remove the cell's folder and run it again"


def read_answers(path: Path) -> list[DialogueRecord]:
    """The records of a cell that has ended.

    Raises:
        DataError: the file cannot be read, or a line is no record or contradicts itself.
    """
    data = _bytes_of(path)
    if data and not data.endswith(b"\n"):
        number = data.count(b"\n") + 1
        raise DataError(f"{path}, line {number}: the file ends within it; {_REMEDY}")
    return _records(path, data)


def read_begun(path: Path) -> list[DialogueRecord]:
    """The whole records of a cell that may have been killed while it wrote one; none where there is no file.

    Raises:
        DataError: as ``read_answers``.
    """
    if not path.exists():
        return []
    data = _bytes_of(path)
    return _records(path, data[: data.rfind(b"\n") + 1])


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}; {_REMEDY}") from error


def _records(path: Path, data: bytes) -> list[DialogueRecord]:
    records = []
    for number, line in enumerate(data.split(b"\n")[:-1], start=1):
        try:
            record = record_from_json(json.loads(line))
            _check(record)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not a record of a dialogue ({error}); {_REMEDY}") from error
        records.append(record)
    return records


def _check(record: DialogueRecord) -> None:
    if record.correct is not (record.grade is Outcome.RIGHT):
        raise ValueError(f"correct is {record.correct!r}, grade is {record.grade!r}")
    if record.correct and record.answer is None:
        raise ValueError("correct without an answer")
    if not record.turns:
        raise ValueError("turns: there is none")
    for turn in record.turns:
        for field in _COUNTS:
            count = getattr(turn, field)
            if type(count) is not int or count < 0:
                raise ValueError(f"turns.{field}: {count!r} is no count")
