"""Whether two run directories hold the same training bit for bit: ``python scripts/same_run.py BEFORE AFTER``.

Figures of steps are compared without ``timing``, dialogues by the fields that the earlier run has, weights and regret
tables by their bytes. Prints a digest of each and exits with 1 where they differ.
"""

import argparse
import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

ADDED = {"timing", "kind", "right"}  # fields that one of the two may lack, and wall times


def plain(value: Any, known: Any) -> Any:
    """``value`` without fields that ``known`` lacks or that may differ."""
    if isinstance(value, Mapping) and isinstance(known, Mapping):
        return {name: plain(value.get(name), known[name]) for name in known if name not in ADDED}
    if isinstance(value, list) and isinstance(known, list) and len(value) == len(known):
        return [plain(a, b) for a, b in zip(value, known, strict=True)]
    return value


def rows(path: Path) -> list[Any]:
    """The JSON rows of a file."""
    return [json.loads(row) for row in path.read_text("utf-8").splitlines()]


def digest(*parts: bytes) -> str:
    """The first half of a SHA-256."""
    return hashlib.sha256(b"".join(parts)).hexdigest()[:32]


def arrays(folder: Path) -> dict[str, np.ndarray]:
    """Weights and regret tables of the newest checkpoint; adapters and the models of a team have folders of theirs."""
    newest = max((folder / "checkpoints").glob("step_*"), key=lambda path: int(path.name.partition("_")[2]))
    loaded = {
        f"{file.relative_to(newest)}:{name}": array
        for file in sorted(newest.rglob("*.safetensors"))
        for name, array in load_file(file).items()
    }
    for file in ("controllers.npz", "regret.npz"):
        with np.load(newest / file) as stored:
            loaded |= {f"{file}:{name}": stored[name] for name in stored.files}
    return loaded


def compared(before: Path, after: Path) -> Iterator[tuple[str, str, str]]:
    """(what, digest of the earlier run, digest of the later one)."""
    for name in ("metrics.jsonl", "transcripts.jsonl"):
        old, new = rows(before / name), rows(after / name)
        pair = (plain(old, old), plain(new, old))
        yield name, *(digest(json.dumps(half, sort_keys=True).encode()) for half in pair)
    for name, half in {"weights and tables": (arrays(before), arrays(after))}.items():
        yield name, *(digest(*(key.encode() + loaded[key].tobytes() for key in sorted(loaded))) for loaded in half)


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    same = True
    for name, old, new in compared(options.before, options.after):
        same &= old == new
        print(f"{name:20}  {old}  {new}  {'same' if old == new else 'DIFFERENT'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
