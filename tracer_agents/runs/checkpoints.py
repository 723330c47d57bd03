"""The folders of a run's checkpoints: written whole, sealed with a manifest, checked before they are used."""

import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError

from tracer_agents.errors import RunError
from tracer_agents.runs import manifest
from tracer_agents.runs.files import flush
from tracer_env.errors import TracerError

_STEP = re.compile(r"step_(\d+)")


class Checkpoints:
    """The folders ``step_N`` below a run's ``checkpoints/``; one that exists is complete.

    Args:
        folder: where the checkpoints are.
        keep: how many of the newest stay, at least 1.
        logs: files of the run that only grow after a checkpoint.
        sealed: whether every checkpoint must have a manifest; a version that wrote none cannot be checked.
    """

    def __init__(self, folder: Path, *, keep: int, logs: Sequence[Path] = (), sealed: bool = False) -> None:
        self._folder = folder
        self._keep = keep
        self._logs = logs
        self._sealed = sealed
        self._whole: set[int] = set()  # steps whose files were checked already

    def steps(self) -> list[int]:
        """The steps that have a checkpoint, ascending; an empty folder is none."""
        return sorted(step for step, path in self._folders() if any(path.iterdir()))

    def empty(self) -> list[Path]:
        """Folders named like checkpoints that hold nothing."""
        return sorted(path for _, path in self._folders() if not any(path.iterdir()))

    def _folders(self) -> list[tuple[int, Path]]:
        matches = ((_STEP.fullmatch(path.name), path) for path in self._folder.glob("step_*") if path.is_dir())
        return [(int(match[1]), path) for match, path in matches if match]

    def latest(self) -> Path:
        """The newest checkpoint, its files checked.

        Raises:
            RunError: there is none, or it is damaged; the message names the damage and the remedy.
        """
        steps = self.steps()
        if not steps:
            raise RunError(f"{self._folder}: no checkpoint; the run was stopped before its first one")
        if steps[-1] not in self._whole:
            damage = self._damaged_file(steps[-1])
            if damage is not None:
                raise RunError(f"{damage}; {self._remedy(steps[-1])}")
            self._whole.add(steps[-1])
        return self.path(steps[-1])

    def require_whole(self) -> None:
        """Checks the newest checkpoint and the logs that it goes on from.

        Raises:
            RunError: something is damaged; the message names it and the remedy.
        """
        for step in self.steps()[-1:]:
            damage = self.damage(step)
            if damage is not None:
                raise RunError(f"{damage}; {self._remedy(step)}")

    def damage(self, step: int) -> str | None:
        """What is wrong with a checkpoint or with the logs before it; None: nothing."""
        damage = self._damaged_file(step)
        if damage is None and self._has_manifest(step):
            damage = manifest.damaged_log(self.path(step), self._logs)
        return damage

    def _damaged_file(self, step: int) -> str | None:
        if not self._has_manifest(step) and not self._sealed:
            return None
        return manifest.damaged_file(self.path(step))

    def _has_manifest(self, step: int) -> bool:
        return (self.path(step) / manifest.NAME).exists()

    def _remedy(self, damaged: int) -> str:
        older = [step for step in self.steps() if step < damaged and self.damage(step) is None]
        if not older:
            return "no older checkpoint is whole: train anew into another --out"
        return f"the newest whole checkpoint is step_{older[-1]}: go on from it with train --resume --allow-older"

    def path(self, step: int) -> Path:
        """Where the checkpoint of ``step`` is, or would be."""
        return self._folder / f"step_{step}"

    def save(self, step: int, write: Callable[[Path], None]) -> Path:
        """Lets ``write`` fill a folder, seals it, moves it into place at once, and removes all but the newest.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        draft, final = self._folder / f".step_{step}.draft", self.path(step)
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            write(draft)
            manifest.seal(draft, self._logs)
            for path in draft.rglob("*"):
                if path.is_file():
                    flush(path)
            shutil.rmtree(final, ignore_errors=True)
            draft.rename(final)
        except TracerError:
            raise
        except (OSError, RuntimeError, SafetensorError) as error:  # torch and safetensors have errors of their own
            reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
            raise RunError(f"{final}: cannot be written: {reason}; the checkpoints before it are intact") from error
        finally:
            shutil.rmtree(draft, ignore_errors=True)  # whatever stopped it: nothing as large as a model stays behind
        self._whole.add(step)
        self.prune()
        return final

    def prune(self) -> None:
        """Removes all but the newest checkpoints."""
        for old in self.steps()[: -self._keep]:
            shutil.rmtree(self.path(old))

    def set_aside(self) -> list[str]:
        """Renames damaged checkpoints that are newer than the newest whole one; returns what is wrong with them.

        Raises:
            RunError: none is whole.
        """
        damages: dict[int, str] = {}
        for step in reversed(self.steps()):
            damage = self.damage(step)
            if damage is None:
                break
            damages[step] = damage
        else:
            if damages:
                raise RunError(f"{damages[max(damages)]}; no checkpoint is whole: train anew into another --out")
        for step in damages:
            self.path(step).rename(self._folder / f"step_{step}.damaged")
        return list(damages.values())
