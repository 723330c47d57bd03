"""The belief of a checkpoint, ``belief.json``: there once it has been fitted."""

from pathlib import Path

from tracer_agents.runs.files import read_json, reading, write_json
from tracer_env.beliefs import Belief

_NAME = "belief.json"


def save_belief(checkpoint: Path, belief: Belief) -> None:
    """Writes what ``load_belief`` reads back."""
    write_json(checkpoint / _NAME, belief.as_json())


def load_belief(checkpoint: Path) -> Belief | None:
    """The belief that a checkpoint's controllers have; None: none was fitted.

    Raises:
        RunError: the file is damaged.
    """
    path = checkpoint / _NAME
    if not path.exists():
        return None
    with reading(path):
        return Belief.from_json(read_json(path))
