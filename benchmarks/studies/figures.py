"""Draws a run's pictures from its records alone: ``python -m benchmarks.studies.figures RUN --out DIR``.

``dialogue.svg`` is one held-out dialogue of the trained team, if there is one a dialogue whose wrong first answer
was corrected; ``curves.png`` are the training curves. What models wrote is hostile: it is bounded, characters with
power over a terminal are shown as escapes, and nothing in it is read as markup.
"""

import argparse
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from tracer_agents.cli import status_of
from tracer_agents.rollout.records import DialogueRecord, TurnRecord
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.files import write_text
from tracer_env.errors import DataError
from tracer_env.rendering import escape

COLUMNS = 88  # characters across the picture of a dialogue
MAX_LINES, MAX_CHARACTERS = 14, 700  # of one text in it
WINDOW = 7  # steps in a moving average
CURVES = {  # field of metrics.jsonl -> (title, field of summary.json's before and after)
    "accuracy": ("accuracy", "accuracy"),
    "utility": ("utility", "utility"),
    "generated_tokens": ("generated tokens per question", "generated_tokens_per_question"),
    "speak_rate": ("share of free rounds in which somebody speaks", "speak_rate"),
}
TRAINING, HELD_OUT, FROZEN = "#2f6db5", "#c1461f", "#e9edf2"
# Rich fills in the text; fonts are whatever monospaced ones the reader has, and nothing is fetched.
SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="A recorded dialogue">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font: 16px system-ui, sans-serif; opacity: 0.7; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal"><rect width="{terminal_width}" height="{terminal_height}"/></clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


# one dialogue


def choose_dialogue(records: Iterable[DialogueRecord]) -> DialogueRecord:
    """The dialogue worth a picture: one corrected after a review found the mistake; else corrected, reviewed, short.

    Raises:
        DataError: there is no dialogue.
    """

    def merit(record: DialogueRecord) -> tuple[bool, bool, bool, bool, int]:
        reviews = [turn for turn in record.turns if turn.mode and turn.role == "reviewer"]
        true_reviews = bool(reviews) and all(turn.right for turn in reviews)
        corrected = record.correct and not record.first_correct
        helped = corrected and true_reviews and any(turn.verdict == "WRONG" for turn in reviews)
        return helped, corrected, record.correct and true_reviews, bool(reviews), -sum(map(_length, record.turns))

    best = max(records, key=merit, default=None)
    if best is None:
        raise DataError("no dialogue to draw; the run has recorded none of its trained team")
    return best


def dialogue_svg(record: DialogueRecord) -> str:
    """One dialogue as a self-contained SVG."""
    console = Console(record=True, file=io.StringIO(), width=COLUMNS, force_terminal=True, color_system="truecolor")
    console.print(_dialogue(record))
    return console.export_svg(
        title="a dialogue of the trained team", theme=SVG_EXPORT_THEME, code_format=SVG, unique_id="dialogue"
    )


def _dialogue(record: DialogueRecord) -> Group:
    answer = "none" if record.answer is None else shown(record.answer)
    outcome = Text.assemble(
        ("Team's answer: ", "bold"),
        (f"{answer} ", "bold green" if record.correct else "bold red"),
        f"({record.grade}; {record.generated_tokens} tokens in all)",
    )
    return Group(Text(shown(record.question), style="bold"), "", *map(_turn, record.turns), outcome)


def _turn(turn: TurnRecord) -> Table:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(width=1)
    table.add_column(ratio=1, overflow="fold")
    head = Text.assemble(f"agent {turn.agent} ", ("proposes" if turn.role == "proposer" else "reviews", "bold cyan"))
    if not turn.mode:
        head = Text(f"agent {turn.agent} does not {'propose' if turn.role == 'proposer' else 'review'}", style="dim")
        table.add_row(str(turn.round), head)
        return table
    table.add_row(str(turn.round), head.append_text(_judged(turn)))
    table.add_row("", Padding(Text(shown(turn.text or ""), style="white"), (0, 0, 1, 2)))
    return table


def _judged(turn: TurnRecord) -> Text:
    good = turn.right
    if turn.role == "proposer":
        word = "no answer" if turn.answer is None else "a right answer" if good else "a wrong answer"
    else:
        word = "no verdict" if turn.verdict is None else "a true verdict" if good else "a false verdict"
    forced = ", as it must: " if turn.forced else ": "
    return Text.assemble(forced, (word, "green" if good else "red"), (f", {turn.generated_tokens} tokens", "dim"))


def shown(text: str) -> str:
    """A bounded, harmless rendering of what a model or a data set wrote."""
    lines = escape(text[:MAX_CHARACTERS]).strip().split("\n")
    cut = len(text) > MAX_CHARACTERS or len(lines) > MAX_LINES
    return "\n".join(lines[:MAX_LINES]) + (" …" if cut else "")


def _length(turn: TurnRecord) -> int:
    return len(turn.text or "")


# training curves


def smoothed(values: Sequence[float | None], window: int = WINDOW) -> np.ndarray:
    """Centred moving average over what is there of ``window`` neighbours, NaN where nothing is: (len(values),)."""
    series = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    there = np.isfinite(series)
    sums = np.convolve(np.where(there, series, 0.0), np.ones(window), mode="full")
    counts = np.convolve(there.astype(np.float64), np.ones(window), mode="full")
    middle = slice(window // 2, window // 2 + len(series))
    return np.divide(sums[middle], counts[middle], out=np.full(len(series), np.nan), where=counts[middle] > 0)


def curves(rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any] | None = None) -> Figure:
    """The training curves, with the held-out figures before and after training where a summary is given.

    Args:
        rows: the lines of ``metrics.jsonl``.
        summary: ``summary.json``.

    Raises:
        DataError: no steps.
    """
    if not rows:
        raise DataError("no training steps to draw: metrics.jsonl is empty")
    figure = Figure(figsize=(9.6, 5.6), layout="constrained", facecolor="white")
    for axes, (name, (title, held_out)) in zip(figure.subplots(2, 2).flat, CURVES.items(), strict=True):
        _curve(axes, rows, name)
        if summary is not None:
            _held_out(axes, rows, summary, held_out)
        axes.set_title(title, fontsize=10, loc="left")
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)
        axes.tick_params(labelsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.supxlabel("training step", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    return figure


def _curve(axes: Axes, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    steps = [row["step"] for row in rows]
    values = [row[name] for row in rows]
    frozen = [row["step"] for row in rows if row["gspo"] is None]
    if frozen and len(frozen) < len(rows):
        axes.axvspan(frozen[0] - 0.5, steps[-1] + 0.5, color=FROZEN, linewidth=0, label="speakers frozen")
    raw = [np.nan if value is None else value for value in values]
    axes.plot(steps, raw, ".", color=TRAINING, alpha=0.3, markersize=4, label="training questions, each step")
    axes.plot(steps, smoothed(values), color=TRAINING, linewidth=1.8, label=f"mean over {WINDOW} steps")


def _held_out(axes: Axes, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any], name: str) -> None:
    places = {"before": 0, "after": rows[-1]["step"]}
    figures = {place: summary[phase] for phase, place in places.items() if (summary[phase] or {}).get(name) is not None}
    label = "held-out questions, before and after"
    values = [figure[name] for figure in figures.values()]
    axes.plot(list(figures), values, "D", color=HELD_OUT, markersize=6, linestyle="none", label=label, clip_on=False)
    for place, figure in figures.items():
        if f"{name}_ci95" in figure:
            axes.vlines(place, *figure[f"{name}_ci95"], color=HELD_OUT, linewidth=1.4)


# the command


def draw(run: Path, out: Path) -> list[Path]:
    """Writes both pictures of a run directory into ``out`` and returns their paths.

    Raises:
        RunError: there is no run, or it has not ended.
        DataError: it has no dialogue or no step to draw.
    """
    directory = RunDirectory(run)
    directory.config()
    summary, records = directory.summary(), directory.records()
    svg = dialogue_svg(choose_dialogue(records.get(("after", "team"), [])))
    figure = curves(directory.metrics(), summary)
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / "dialogue.svg", out / "curves.png"]
    write_text(paths[0], svg)
    figure.savefig(paths[1], dpi=130, metadata={"Software": None})
    return paths


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.figures", description="Draw the pictures of a run."
    )
    parser.add_argument("run", type=Path, help="a run directory of tracer train that has ended")
    parser.add_argument("--out", type=Path, required=True, help="the directory to write to")
    options = parser.parse_args(arguments)
    return status_of(lambda: print(*draw(options.run, options.out), sep="\n"))


if __name__ == "__main__":
    sys.exit(main())
