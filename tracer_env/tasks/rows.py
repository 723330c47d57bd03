"""Reads rows of questions from files and hub data sets, and checks them."""

# Of `datasets`, which has no stubs:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from itertools import count
from pathlib import Path
from typing import Any, cast

from tracer_env.errors import DataError
from tracer_env.spaces import usable_text
from tracer_env.tasks.base import Question

MAX_LINE_BYTES = 1 << 20
MAX_ROWS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One raw row; ``where`` names its origin in error messages, e.g. ``train.jsonl, line 3``."""

    where: str
    fields: Mapping[str, Any]

    def text(self, *names: str) -> str:
        """The first field of ``names`` that is there, as text; a number counts as text.

        Raises:
            DataError: no such field, or it is empty, neither text nor a number, or no valid Unicode.
        """
        name = next((name for name in names if name in self.fields), None)
        if name is None:
            wanted = " or ".join(map(repr, names))
            raise DataError(f"{self.where}: no field {wanted}; the row has {sorted(self.fields)}")
        value = self.fields[name]
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise DataError(f"{self.where}: field {name!r} must be text, got {type(value).__name__}")
        text = str(value).strip()
        if usable_text(text, len(text)) != text:
            raise DataError(f"{self.where}: field {name!r} has a NUL or a lone surrogate, which is no text; remove it")
        if not text:
            raise DataError(f"{self.where}: field {name!r} is empty; fill it in or remove the row")
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionSet:
    """The usable questions of one source, in its order, and how many rows were left out and why."""

    source: str
    questions: tuple[Question, ...]
    dropped: int = 0  # rows whose gold answer cannot be read
    duplicates: int = 0  # rows whose question had been seen before


def question_hash(text: str) -> str:
    """16 hexadecimal digits that do not depend on case or spacing."""
    normal = " ".join(text.split()).casefold()
    return blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def jsonl_rows(path: str | Path) -> Iterator[Row]:
    """The rows of a JSONL file, read line by line; blank lines are skipped.

    Raises:
        DataError: the file cannot be read, is not UTF-8, or a line is no JSON object or beyond the limits.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            for number in count(1):
                line = file.readline(MAX_LINE_BYTES + 1)
                if not line:
                    return
                where = f"{path}, line {number}"
                if number > MAX_ROWS:
                    raise DataError(f"{where}: more than {MAX_ROWS:,} lines; split the file")
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(f"{where}: longer than {MAX_LINE_BYTES:,} bytes; is it one JSON object per line?")
                if line.strip():
                    yield Row(where=where, fields=_object(line, where))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); give the path of a JSONL file") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    try:
        value: Any = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not JSON in UTF-8 ({error}); each line must be one JSON object") from error
    if not isinstance(value, Mapping):
        raise DataError(f"{where}: a {type(value).__name__}; each line must be one JSON object")
    return dict(cast("Mapping[str, Any]", value))


def hub_rows(name: str, *, config: str | None, splits: tuple[str, ...]) -> dict[str, list[Row]]:
    """The rows of those ``splits`` that a Hugging Face data set has.

    Raises:
        DataError: the data set cannot be loaded, or has none of the splits.
    """
    label = f"hub data set {name!r}" + (f" (config {config!r})" if config else "")
    remedy = "check the name, the network and, if it is gated, your Hugging Face login; or give a local --data FILE"
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{label}: the package `datasets` is not installed; pip install datasets") from error
    try:
        loaded: Any = datasets.load_dataset(name, config)
    except Exception as error:
        raise DataError(
            f"{label}: cannot be loaded ({type(error).__name__}: {_first_line(error)}); {remedy}"
        ) from error
    rows = {
        split: [Row(where=f"{name}, {split} row {index}", fields=row) for index, row in enumerate(loaded[split])]
        for split in splits
        if split in loaded
    }
    if not rows:
        raise DataError(f"{label}: has none of the splits {list(splits)}, only {sorted(loaded)}; name its splits")
    return rows


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "")[:300]


def question_set(
    task: str, source: str, rows: Iterable[Row], read: Callable[[Row], tuple[str, str, str | None]]
) -> QuestionSet:
    """Reads rows into questions, keeping the first of equal ones.

    Args:
        task: the prefix of ids: ``task/hash``.
        source: named in error messages.
        read: row -> (text that identifies the question, full text, canonical gold or None).

    Raises:
        DataError: a row is malformed, or no row is usable.
    """
    questions: dict[str, Question] = {}
    dropped = duplicates = 0
    for row in rows:
        identity, text, gold = read(row)
        id_ = f"{task}/{question_hash(identity)}"
        if gold is None:
            dropped += 1
        elif id_ in questions:
            duplicates += 1
        else:
            questions[id_] = Question(id=id_, text=text, gold=gold)
    if not questions:
        raise DataError(f"{source}: no usable row ({dropped} without a readable gold answer); is it the right file?")
    return QuestionSet(source=source, questions=tuple(questions.values()), dropped=dropped, duplicates=duplicates)
