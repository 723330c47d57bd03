"""Curves and sample dialogues for TensorBoard."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from tracer_agents.runs.watching import watched


class TensorBoardLog:
    """Writes what is watched as scalars, ``timing`` included, and dialogues as text."""

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
        for tag, value in watched(row):
            self._writer.add_scalar(tag, value, row["step"])

    def show(self, step: int, dialogue: str) -> None:
        """A dialogue of a step, as a block of code: Markdown and HTML in it stay text."""
        rows = dialogue.split("\n")
        self._writer.add_text("dialogues/played", "\n".join(f"    {row}" for row in rows), step)
