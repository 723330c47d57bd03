"""The pictures of a run: its gaps over training, and how reliable its belief is."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

GAPS = {
    "nash_gap": "Nash gap: one controller alone",
    "kkt_gap": "KKT gap: one infoset alone",
    "team_gap": "team gap: the best joint strategy",
    "oracle_gap": "oracle gap: seeing what is right",
}
_TRAINING, _HELD_OUT, _BOUND = "#2f6db5", "#c1461f", "#777777"


def draw_gaps(rows: Sequence[Mapping[str, Any]], certificate: Mapping[str, Any] | None, path: Path) -> None:
    """Writes a PNG of every figure of the certificate against the training step.

    Args:
        rows: the lines of ``metrics.jsonl``; those without a certificate are passed over.
        certificate: what ``certificate.json`` holds, drawn as diamonds at the last step.
        path: where the picture goes.
    """
    measured = [row for row in rows if row.get("certificate")]
    last = rows[-1]["step"] if rows else 0
    figure = Figure(figsize=(11.5, 6.2), layout="constrained", facecolor="white")
    axes = figure.subplots(2, 3, sharex=True).flat
    _utility(axes[0], measured, certificate, last)
    for axis, (name, title) in zip(axes[1:], GAPS.items(), strict=False):
        _gap(axis, measured, certificate, last, name)
        axis.set_title(title, fontsize=10, loc="left")
    _run(axes[5], measured)
    for axis in axes:
        axis.grid(axis="y", color="#dddddd", linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.tick_params(labelsize=8)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.supxlabel("training step", fontsize=9)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def draw_reliability(reliability: Sequence[tuple[float, float, float]], path: Path) -> None:
    """Writes a PNG of the share of right answers against what was believed.

    Args:
        reliability: per bin: mean belief, share of right answers, weight (``calibration.Diagnostics``).
        path: where the picture goes.
    """
    believed, right, weight = np.array(reliability).reshape(-1, 3).T
    figure = Figure(figsize=(4.2, 4.2), layout="constrained", facecolor="white")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], "--", color=_BOUND, linewidth=1)
    axis.scatter(believed, right, s=20 + 400 * weight, color=_TRAINING, alpha=0.7)
    axis.set(xlim=(0, 1), ylim=(0, 1))
    axis.set_xlabel("belief", fontsize=9)
    axis.set_ylabel("share of right answers (area: how often met)", fontsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _gap(
    axis: Axes, measured: Sequence[Mapping[str, Any]], certificate: Mapping[str, Any] | None, last: int, name: str
) -> None:
    """The plug-in values inside their conservative intervals."""
    steps, gaps = [row["step"] for row in measured], [row["certificate"][name] for row in measured]
    low, high = np.array([gap["ci95"] for gap in gaps]).reshape(-1, 2).T
    axis.fill_between(steps, low, high, color=_TRAINING, alpha=0.15, linewidth=0)
    axis.plot(steps, [gap["plug_in"] for gap in gaps], "o-", color=_TRAINING, markersize=4)
    if certificate is not None:
        _diamond(axis, last, certificate[name]["plug_in"], certificate[name]["ci95"])
    axis.set_ylim(bottom=0)


def _utility(
    axis: Axes, measured: Sequence[Mapping[str, Any]], certificate: Mapping[str, Any] | None, last: int
) -> None:
    steps = [row["step"] for row in measured]
    certificates = [row["certificate"] for row in measured]
    low, high = np.array([each["utility"]["ci95"] for each in certificates]).reshape(-1, 2).T
    axis.fill_between(steps, low, high, color=_TRAINING, alpha=0.15, linewidth=0)
    means = [each["utility"]["mean"] for each in certificates]
    axis.plot(steps, means, "o-", color=_TRAINING, markersize=4, label="validation questions, 95%")
    optima = [each["team_optimum"] for each in certificates]
    axis.plot(steps, optima, "--", color=_BOUND, linewidth=1, label="best joint strategy there")
    if certificate is not None:
        _diamond(axis, last, certificate["utility"]["mean"], certificate["utility"]["ci95"], "held-out questions, 95%")
    axis.set_title("utility of the deployed profile", fontsize=10, loc="left")
    axis.legend(fontsize=7, frameon=False)


def _run(axis: Axes, measured: Sequence[Mapping[str, Any]]) -> None:
    """The run's CCE gap beside its bound, where the controllers learned."""
    runs = [(row["step"], row["certificate"]["run"]) for row in measured if row["certificate"]["run"]]
    steps = [step for step, _ in runs]
    bounds = [max(player["bound"] for player in run["players"]) for _, run in runs]
    theorem = all(run["bound_applies"] for _, run in runs)
    axis.plot(steps, [run["cce_gap"] for _, run in runs], "o-", color=_TRAINING, markersize=4, label="CCE gap")
    label = "Σ Δ/√T, a theorem here" if theorem else "Σ Δ/√T, no theorem here"
    axis.plot(steps, bounds, "--", color=_BOUND, linewidth=1, label=label)
    axis.set_yscale("symlog", linthresh=1e-3)
    axis.set_title("CCE gap of the run: average external regret", fontsize=10, loc="left")
    axis.legend(fontsize=7, frameon=False)


def _diamond(axis: Axes, step: int, value: float, ci95: Sequence[float], label: str | None = None) -> None:
    axis.vlines(step, ci95[0], ci95[1], color=_HELD_OUT, linewidth=1.4)
    axis.plot([step], [value], "D", color=_HELD_OUT, markersize=5, label=label, clip_on=False)
