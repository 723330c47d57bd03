"""Arrays in ``.npz`` files: how infoset keys are laid out in them, and one error for every way to be unreadable."""

import zipfile
import zlib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import ArrayLike

from tracer_env.errors import DataError
from tracer_env.infosets import InfosetKey

# What zipfile, zlib and numpy raise on damaged bytes, and reading code on arrays of other shapes.
_UNREADABLE = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    IndexError,
    EOFError,
    MemoryError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)


def save_arrays(path: str | Path, arrays: Mapping[str, ArrayLike]) -> None:
    """Writes the file at exactly this path (``numpy.savez`` would add a suffix)."""
    with Path(path).open("wb") as file:
        np.savez(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})


@contextmanager
def loaded_arrays(path: str | Path, *, what: str, remedy: str) -> Generator[Mapping[str, np.ndarray]]:
    """The file's arrays, read and checked inside the ``with`` block; nothing in it is executed.

    Args:
        what: the kind of file, as in "not a file of regret tables".
        remedy: what to do about it.

    Raises:
        DataError: the file is missing, is no such file, or is damaged.
    """
    try:
        with Path(path).open("rb") as file:  # numpy would leave a damaged file open
            stored = np.load(file, allow_pickle=False)
            if not isinstance(stored, NpzFile):
                raise ValueError("it holds a single array")
            yield stored
    except _UNREADABLE as error:
        raise DataError(f"{path}: not a file of {what} ({error}); {remedy}") from error


def packed_keys(keys: Sequence[InfosetKey]) -> dict[str, np.ndarray]:
    """Keys of different lengths as ``keys`` (n, longest), filled up with −1, and ``lengths`` (n,)."""
    padded = np.full((len(keys), max((len(key) for key in keys), default=0)), -1, dtype=np.int64)
    for index, key in enumerate(keys):
        padded[index, : len(key)] = key
    return {"keys": padded, "lengths": np.array([len(key) for key in keys], dtype=np.int64)}


def unpacked_keys(stored: Mapping[str, np.ndarray]) -> tuple[InfosetKey, ...]:
    """The keys behind ``packed_keys``."""
    return tuple(
        tuple(int(value) for value in row[:length])
        for row, length in zip(stored["keys"], stored["lengths"], strict=True)
    )
