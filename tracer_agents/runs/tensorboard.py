"""Curves for TensorBoard: the one place that turns rows of ``metrics.jsonl`` into events."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter


class TensorBoardLog:
    """Writes rows as scalars; ``timing`` included."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    @classmethod
    @contextmanager
    def open(cls, folder: Path, rows: Sequence[Mapping[str, Any]]) -> Iterator["TensorBoardLog"]:
        """A fresh log that begins with ``rows``, so that nothing after a checkpoint survives a resume."""
        for old in folder.glob("events.out.tfevents.*"):
            old.unlink()
        with SummaryWriter(str(folder)) as writer:
            log = cls(writer)
            for row in rows:
                log.add(row)
            yield log

    def add(self, row: Mapping[str, Any]) -> None:
        """One step's figures."""
        for name, value in _scalars(row):
            self._writer.add_scalar(name, value, row["step"])


def _scalars(row: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in row.items():
        if isinstance(value, Mapping):
            yield from _scalars(value, f"{prefix}{name}/")
        elif isinstance(value, int | float):
            yield f"{prefix}{name}", float(value)
