"""The file of a run's expanded questions, ``trees.jsonl``: there once the run was certified."""

from collections.abc import Sequence
from pathlib import Path

from tracer_agents.errors import RunError
from tracer_agents.rollout.expanded import ExpandedRecord, expanded_from_json
from tracer_agents.runs.files import read_lines, write_lines

NAME = "trees.jsonl"


def save_trees(folder: Path, records: Sequence[ExpandedRecord]) -> None:
    """Replaces the file at once."""
    write_lines(folder / NAME, [record.as_json() for record in records])


def load_trees(folder: Path) -> list[ExpandedRecord]:
    """What ``save_trees`` wrote; nothing where the run was not certified, or by a version that kept no trees.

    Raises:
        RunError: a row is damaged.
    """
    records = []
    for number, row in enumerate(read_lines(folder / NAME), 1):
        try:
            records.append(expanded_from_json(row))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{folder / NAME}:{number}: no expanded question: {error!r}; write it anew with tracer certify"
            ) from error
    return records
