"""A setting of a method, one place on the plane of tokens and accuracy, and the folder of its records."""

from dataclasses import dataclass
from pathlib import Path

RENAMED = {"debate": "multi_agent_debate"}  # methods in plans and records that were made under another name


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Point:
    """A method with its setting.

    Args:
        method: its name.
        setting: such as ``k=3``; empty for a method of one setting.
    """

    method: str
    setting: str = ""

    @property
    def label(self) -> str:
        """As in records, tables and files: ``self_consistency@k=3``, or the method alone."""
        return f"{self.method}@{self.setting}" if self.setting else self.method

    @classmethod
    def of(cls, label: str) -> "Point":
        """The point of a label, also of one recorded before its method was renamed."""
        method, _, setting = label.partition("@")
        return cls(method=RENAMED.get(method, method), setting=setting)


def cell_folder(out: Path, method: str, task: str, seed: int) -> Path:
    """Where the records of a method on a task under a seed are; what ended under a former name stays there."""
    names = [method, *(former for former, name in RENAMED.items() if name == method)]
    folders = [out / "cells" / name / task / f"seed-{seed}" for name in names]
    return next((folder for folder in folders if (folder / "cell.json").is_file()), folders[0])
