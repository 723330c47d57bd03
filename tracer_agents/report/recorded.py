"""A run as its files tell it: figures, steps, dialogues and expanded questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tracer_agents.config import Config
from tracer_agents.evaluation.summary import row_label, team_label
from tracer_agents.rollout.expanded import ExpandedRecord
from tracer_agents.rollout.records import DialogueRecord
from tracer_agents.runs.beliefs import load_belief
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import read_json
from tracer_agents.runs.trees import load_trees
from tracer_env.beliefs import Belief


def plain(method: str) -> str:
    """A method's name as prose: ``self_consistency@4`` is self-consistency of 4 votes."""
    name, _, setting = method.partition("@")
    words = name.replace(":", ": ").replace("_", " ").replace("self consistency", "self-consistency")
    unit = "vote" if setting == "1" else "votes"
    votes = f"{setting} {unit}" if name == "self_consistency" and setting.isdigit() else setting
    return f"{words}, {votes}" if votes else words


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A row of the main table: what a method reached, and its dialogues where they are recorded."""

    name: str
    label: str
    figures: Mapping[str, Any]
    records: Sequence[DialogueRecord]

    @property
    def strong(self) -> bool:
        """Whether it is the team that the run is about."""
        return self.name == "after"


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """What a run's folder holds; ``summary`` is empty as long as the run has not ended.

    Args:
        name: how the page calls it.
        config: its settings.
        summary, metrics, certificate: of its files; None: there is no certificate.
        records: by (phase, method).
        trees: expanded held-out questions; empty where none were kept.
        belief: of the newest checkpoint; None: none was fitted.
    """

    name: str
    config: Config
    summary: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    certificate: Mapping[str, Any] | None
    records: Mapping[tuple[str, str], Sequence[DialogueRecord]]
    trees: Sequence[ExpandedRecord]
    belief: Belief | None = None

    @classmethod
    def load(cls, folder: Path, name: str | None = None) -> "RecordedRun":
        """Reads a run.

        Raises:
            RunError: the folder holds no run, or a file of it is damaged.
        """
        directory, path = RunDirectory(folder), folder / "certificate.json"
        summary = directory.summary() if (folder / "summary.json").is_file() else {}
        return cls(
            name=name or folder.resolve().name,
            config=directory.config(),
            summary=summary,
            metrics=directory.metrics(),
            certificate=read_json(path) if path.is_file() else summary.get("certificate"),
            records=directory.records(),
            trees=load_trees(folder),
            belief=load_belief(directory.checkpoints.latest()) if directory.checkpoints.steps() else None,
        )

    @cached_property
    def measured(self) -> list[Measured]:
        """The rows of the main table, in its order."""
        summary = self.summary
        rows = {name: summary[name] for name in ("before", "after") if summary.get(name) is not None}
        rows |= summary.get("baselines", {})
        measured = [
            Measured(
                name=name,
                label=plain(row_label(name, figures, team_label(summary))),
                figures=figures,
                records=self._records(name, figures),
            )
            for name, figures in rows.items()
        ]
        return measured + [
            Measured(name=name, label=name, figures=figures, records=self.records.get(("after", name), ()))
            for name, figures in summary.get("models", {}).items()
        ]

    def _records(self, name: str, figures: Mapping[str, Any]) -> Sequence[DialogueRecord]:
        phase, method = (name, "team") if name in ("before", "after") else ("after", figures["method"])
        return self.records.get((phase, method), ())

    def difference(self, name: str, metric: str = "accuracy") -> Mapping[str, Any] | None:
        """The team minus another row, on the same questions; None: not compared."""
        rows = self.summary.get("comparisons", ())
        return next((row for row in rows if row["b"] == name and row["metric"] == metric), None)
