"""What a person sees at the terminal: progress while a run works, a table when it is done."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text
from transformers.utils import logging

from tracer_agents.training.report import StepReport
from tracer_env.rendering import escape

_STAGES = {
    "load": "loading",
    "parity": "comparing the engine with the learner",
    "before": "measuring the untrained team",
    "train": "training",
    "validate": "choosing on validation questions",
    "after": "measuring the trained team",
    "baselines": "measuring the baselines",
    "certify": "certifying",
    "grade": "grading",
}


class RichDisplay:
    """A progress bar on standard error with the figures that matter."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[figures]}"),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task("starting", total=None, figures="")

    def __enter__(self) -> Self:
        logging.disable_progress_bar()  # transformers' own bars would tear ours
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def stage(self, name: str) -> None:
        """Shows what is being done."""
        if not self._progress.console.is_terminal:
            self._progress.console.print(_STAGES[name])
        self._progress.reset(self._task, description=_STAGES[name], total=None, figures="")

    def step(self, report: StepReport, steps: int) -> None:
        """Shows how training gets on."""
        figures = (
            f"accuracy {report.accuracy:.2f}  utility {report.utility:+.2f}  "
            f"tokens {report.generated_tokens:.0f}  speak {_rate(report.speak_rate)}"
        )
        self._progress.update(self._task, completed=report.step, total=steps, figures=figures)
        if not self._progress.console.is_terminal and (report.step % 10 == 0 or report.step == steps):
            self._progress.console.print(f"step {report.step}/{steps}  {figures}", highlight=False)

    def note(self, text: str) -> None:
        """Shows what a person should know."""
        self._progress.console.print(f"note: {escape(text)}", highlight=False, markup=False, soft_wrap=True)


_COLUMNS: dict[str, Callable[[Mapping[str, Any]], str]] = {  # heading -> what the figures of a row say
    "accuracy": lambda m: _rate(m["accuracy"]),
    "95% interval": lambda m: "{:.3f} – {:.3f}".format(*m["accuracy_ci95"]),
    "greedy": lambda m: _rate(m["greedy_accuracy"]),
    "utility": lambda m: f"{m['utility']:+.3f}",
    "tokens": lambda m: f"{m['generated_tokens_per_question']:.1f}",
    "corrects": lambda m: _rate(m["correction_rate"]),
    "preserves": lambda m: _rate(m["preservation_rate"]),
    "speaks": lambda m: _rate(m["speak_rate"]),
}
_COLUMNS_OF_RECORDED = {  # completions recorded elsewhere: nobody reviewed or revised
    **{name: _COLUMNS[name] for name in ("accuracy", "95% interval", "tokens")},
    **{name: lambda m, name=name: str(m[name]) for name in ("n", "samples", "unanswered", "unmatched")},
}


def print_summary(summary: dict[str, Any], out: Path) -> None:
    """The table of a run's ``summary.json`` on standard output."""
    console = Console(width=None if Console().is_terminal else 120)
    rows: dict[str, Any] = (
        {name: summary[name] for name in ("before", "after") if summary.get(name) is not None}
        | summary.get("baselines", {})
        | summary.get("models", {})
    )
    n = next(iter(rows.values()))["n"]
    team = "after training" if summary.get("before") else f"team ({summary.get('controllers', {}).get('play')})"
    table = Table(title=f"{summary['task']}, {n} held-out questions, seed {summary['seed']}")
    columns = _COLUMNS_OF_RECORDED if summary.get("models") else _COLUMNS
    for column in ("", *columns):
        table.add_column(column, justify="left" if not column else "right")
    for name, m in rows.items():
        label = team if name == "after" else _label(name, m)
        table.add_row(Text(label), *(shown(m) for shown in columns.values()))  # a model may be named like markup
    console.print(table)
    for comparison in summary.get("comparisons", []):
        if comparison["metric"] == "accuracy":
            low, high = comparison["ci95"]
            console.print(
                f"{team} − {comparison['b']}: accuracy {comparison['difference']:+.3f} "
                f"[{low:+.3f}, {high:+.3f}], p = {comparison['p']:.2g}",
                markup=False,
                highlight=False,
            )
    if summary.get("certificate"):
        print_certificate(summary["certificate"])
    seconds = ", ".join(f"{name} {value:.0f} s" for name, value in summary["stage_seconds"].items())
    console.print(f"time: {seconds}", highlight=False)
    console.print(f"files: {out}", highlight=False, markup=False)


def print_certificate(certificate: dict[str, Any]) -> None:
    """The table of a ``certificate.json`` on standard output."""
    console = Console(width=None if Console().is_terminal else 120)
    table = Table(title=f"certificate of {certificate['play']} play, {certificate['questions']} held-out questions")
    for column in ("", "value", "95% interval"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("utility", "accuracy", "generated_tokens"):
        mean = certificate[name]
        table.add_row(name.replace("_", " "), f"{mean['mean']:.4f}", "{:.4f} – {:.4f}".format(*mean["ci95"]))
    for name in ("nash_gap", "kkt_gap", "team_gap", "oracle_gap"):
        gap = certificate[name]
        table.add_row(name.replace("_", " "), f"{gap['plug_in']:.4f}", "{:.4f} – {:.4f}".format(*gap["ci95"]))
    table.add_row("pass@k", f"{certificate['pass_at_k']:.4f}", "")
    if certificate["run"]:
        bound = max(player["bound"] for player in certificate["run"]["players"])
        applies = "" if certificate["run"]["bound_applies"] else " (no theorem here)"
        table.add_row("run's CCE gap", f"{certificate['run']['cce_gap']:.4f}", f"bound {bound:.4f}{applies}")
    console.print(table)


def print_gaps(rows: Sequence[Mapping[str, Any]]) -> None:
    """The table of a run's gaps over training on standard output; nothing where it has not measured any."""
    measured = [row for row in rows if row.get("certificate")]
    if not measured:
        return
    console = Console(width=None if Console().is_terminal else 120)
    table = Table(title=f"gaps over training, {measured[-1]['certificate']['questions']} validation questions")
    for column in ("step", "utility", "Nash gap", "KKT gap", "team gap", "oracle gap", "CCE gap of the run"):
        table.add_column(column, justify="right")
    for row in measured:
        certificate = row["certificate"]
        gaps = [f"{certificate[name]['plug_in']:.4f}" for name in ("nash_gap", "kkt_gap", "team_gap", "oracle_gap")]
        run = certificate["run"]
        table.add_row(
            str(row["step"]),
            f"{certificate['utility']['mean']:+.4f}",
            *gaps,
            f"{run['cce_gap']:.4f}" if run else "–",
        )
    console.print(table)


_LABELS = {
    "before": "before training",
    "single": "single answer",
    "always_speak": "always speak",
    "random_speak": "random speech",
}
_NAMED_BY_METHOD = ("self_consistency", "self_consistency_next", "best_fixed")


def _label(name: str, figures: dict[str, Any]) -> str:
    """What a row is called; self-consistency by its number of votes, the best fixed controller by its name."""
    return figures["method"] if name in _NAMED_BY_METHOD else _LABELS.get(name, name)


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
