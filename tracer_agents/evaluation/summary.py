"""What a run found out, as ``summary.json`` holds it (DESIGN, section 10)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracer_agents.controllers.calibration import Diagnostics
from tracer_agents.evaluation.certificate import Certificate
from tracer_agents.evaluation.metrics import Comparison, Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """The figures of a baseline, and the method that it turned out to be."""

    method: str
    metrics: Metrics

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.metrics.as_json(), "method": self.method}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedModel:
    """The figures of a model whose completions were recorded elsewhere.

    Args:
        metrics: of its first samples.
        samples: how many every question has.
        unanswered: questions without a completion.
        unmatched: recorded questions that are none of those asked.
        self_consistency: accuracy of the majority of all samples.
        pass_at_k: share of questions with a right sample.
    """

    metrics: Metrics
    samples: int
    unanswered: int
    unmatched: int
    self_consistency: float
    pass_at_k: float

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.metrics.as_json(),
            "samples": self.samples,
            "unanswered": self.unanswered,
            "unmatched": self.unmatched,
            "self_consistency": self.self_consistency,
            "pass_at_k": self.pass_at_k,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The outcome of a training or an evaluation.

    Args:
        origin: what it came from, see ``runs.directory.describe``.
        train_seconds: sum of the steps' wall times; None for an evaluation.
        stage_seconds: wall time of each stage of this process.
        before, after: the untrained and the trained team.
        baselines: by name.
        comparisons: the team against the others on the same questions.
        controllers: which strategy was deployed, and how many infosets training met.
        certificate: of the deployed controllers, if they were certified.
        belief: how good the team's belief is on validation questions, if it has one.
    """

    origin: Mapping[str, Any]
    train_seconds: float | None = None
    stage_seconds: Mapping[str, float]
    before: Metrics | None = None
    after: Metrics
    baselines: Mapping[str, Baseline] = field(default_factory=dict)
    comparisons: Sequence[Comparison] = ()
    controllers: Mapping[str, Any]
    certificate: Certificate | None = None
    belief: Diagnostics | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.origin,
            "train_seconds": self.train_seconds,
            "stage_seconds": dict(self.stage_seconds),
            "before": self.before.as_json() if self.before else None,
            "after": self.after.as_json(),
            "baselines": {name: baseline.as_json() for name, baseline in self.baselines.items()},
            "comparisons": [comparison.as_json() for comparison in self.comparisons],
            "controllers": dict(self.controllers),
            "certificate": self.certificate.as_json() if self.certificate else None,
            **({"belief": self.belief.as_json()} if self.belief else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySummary:
    """The outcome of grading recorded completions of one or several models."""

    origin: Mapping[str, Any]
    stage_seconds: Mapping[str, float]
    models: Mapping[str, RecordedModel]

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **self.origin,
            "model": None,
            "stage_seconds": dict(self.stage_seconds),
            "models": {name: model.as_json() for name, model in self.models.items()},
        }


_LABELS = {
    "before": "before training",
    "single": "single answer",
    "always_speak": "always speak",
    "random_speak": "random speech",
}
_NAMED_BY_METHOD = ("self_consistency", "self_consistency_next", "best_fixed")


def team_label(summary: Mapping[str, Any]) -> str:
    """What the team that a ``summary.json`` is about is called in a table."""
    return "after training" if summary.get("before") else f"team ({summary.get('controllers', {}).get('play')})"


def row_label(name: str, figures: Mapping[str, Any], team: str) -> str:
    """What a row is called; self-consistency by its number of votes, the best fixed controller by its name."""
    if name == "after":
        return team
    return str(figures["method"]) if name in _NAMED_BY_METHOD else _LABELS.get(name, name)
