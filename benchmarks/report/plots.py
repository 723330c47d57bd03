"""The pictures of a report, each a matplotlib ``Figure`` without global state."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.report.scores import Scores
from benchmarks.studies.figures import smoothed

REFERENCE = "#c1461f"
_MARKERS = "osD^vP*X<>ph"
_CURVES = {  # field of metrics.jsonl -> title
    "accuracy": "accuracy of the dialogues on new training questions",
    "first_proposal_accuracy": "accuracy of first proposals",
    "generated_tokens": "generated tokens per question",
}


def frontier(scores: Scores, titles: Mapping[str, str], *, reference: str) -> Figure:
    """Accuracy against generated tokens: a line per method through its points, in order of tokens, with 95% bars."""
    figure, axes = _blank("generated tokens per question", "accuracy")
    tokens, accuracy = scores.figures["tokens"], scores.figures["accuracy"]
    for style, method in _styled(scores, reference):
        columns = sorted(scores.of(method), key=lambda column: tokens.value[column])
        axes.errorbar(
            tokens.value[columns],
            accuracy.value[columns],
            xerr=_bars(tokens.value, tokens.interval, columns),
            yerr=_bars(accuracy.value, accuracy.interval, columns),
            label=_plain(titles[method]),
            elinewidth=0.6,
            **style,
        )
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.tick_params(axis="x", which="minor", labelsize=7)
    return _with_legend(figure)


def correction_preservation(scores: Scores, titles: Mapping[str, str], *, reference: str) -> Figure:
    """What becomes of wrong and of right first proposals: each method's headline, with 95% bars.

    A method that never changes its first answer stands at the lower right, (1, 0).
    """
    figure, axes = _blank("preservation: P(right in the end | right at first)", "correction: P(right | wrong at first)")
    x, y = scores.figures["preservation"], scores.figures["correction"]
    for style, method in _styled(scores, reference):
        column = scores.headline(method)
        if column is None or np.isnan([x.value[column], y.value[column]]).any():
            continue
        axes.errorbar(
            x.value[[column]],
            y.value[[column]],
            xerr=_bars(x.value, x.interval, [column]),
            yerr=_bars(y.value, y.interval, [column]),
            label=_plain(titles[method]),
            elinewidth=0.8,
            **style,
        )
    return _with_legend(figure)


def learning_curves(curves: Mapping[str, Sequence[pd.DataFrame]], title: str) -> Figure:
    """Training curves of several recipes on one task: moving averages of each seed, and boldly of their mean.

    Args:
        curves: recipe -> one frame per seed, the rows of ``metrics.jsonl`` in order.
        title: of the picture.
    """
    figure = Figure(figsize=(10.5, 3.6), layout="constrained", facecolor="white")
    colours = cycle(colormaps["tab10"].colors)  # pyright: ignore[reportAttributeAccessIssue]
    coloured = list(zip(curves.items(), colours, strict=False))
    for axes, (field, label) in zip(figure.subplots(1, len(_CURVES)), _CURVES.items(), strict=True):
        for (recipe, runs), colour in coloured:
            series = [_series(run, field) for run in runs if field in run]
            for values in series:
                axes.plot(values.index, smoothed(list(values)), color=colour, alpha=0.35, linewidth=0.8)
            if series:
                mean = pd.concat(series, axis=1).mean(axis=1)
                axes.plot(mean.index, smoothed(list(mean)), color=colour, linewidth=1.8, label=_plain(recipe))
        _tidy(axes)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_title(label, fontsize=9, loc="left")
    figure.supxlabel(f"training step, {_plain(title)}", fontsize=9)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=6, frameon=False, fontsize=8)
    return figure


def speak_heat_map(rates: pd.DataFrame, title: str) -> Figure:
    """How often somebody speaks at what is pending (rows) in which round after how many proposals (columns).

    Args:
        rates: of ``speech.speak_rates``.
        title: of the picture.
    """
    rows = list(dict.fromkeys(rates["known"]))
    columns = sorted(set(zip(rates["round"], rates["proposals"], strict=True)))
    grid = np.full((len(rows), len(columns)), np.nan)
    figure = Figure(figsize=(2.8 + 1.0 * len(columns), 1.6 + 0.42 * len(rows)), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for cell in rates.to_dict("records"):
        y, x = rows.index(cell["known"]), columns.index((cell["round"], cell["proposals"]))
        grid[y, x] = cell["rate"]
        text, colour = f"{cell['rate']:.0%}\nn = {cell['n']}", "white" if cell["rate"] > 0.6 else "black"
        axes.text(x, y, text, ha="center", va="center", fontsize=7, color=colour)
    image = axes.imshow(grid, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    kinds = [
        f"round {round_}\n{'propose' if round_ % 2 else 'review'}\nafter {proposals}" for round_, proposals in columns
    ]
    axes.set_xticks(range(len(columns)), kinds, fontsize=7)
    axes.set_yticks(range(len(rows)), rows, fontsize=7)
    axes.set_title(_plain(title), fontsize=9, loc="left")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("share of decisions to speak", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def _series(run: pd.DataFrame, field: str) -> pd.Series:
    return run.set_index("step")[field].astype(float)


def _styled(scores: Scores, reference: str) -> list[tuple[dict[str, Any], str]]:
    """A colour and marker for each method, the same in every picture of a report; the reference last, so on top."""
    methods = list(dict.fromkeys(point.method for point in scores.points))
    palette = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    styled = []
    for number, method in enumerate(methods):
        mine = method == reference
        style = {
            "color": REFERENCE if mine else palette[number % len(palette)],
            "marker": "*" if mine else _MARKERS[number % len(_MARKERS)],
            "markersize": 9 if mine else 4.5,
            "linewidth": 2.0 if mine else 1.0,
            "zorder": 3 if mine else 2,
        }
        styled.append((style, method))
    return sorted(styled, key=lambda pair: pair[1] == reference)


def _bars(value: np.ndarray, interval: np.ndarray, columns: Sequence[int]) -> np.ndarray:
    chosen, (low, high) = value[list(columns)], interval[:, list(columns)]
    return np.maximum(np.stack([chosen - low, high - chosen]), 0.0)


def _blank(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(9.6, 5.2), layout="constrained", facecolor="white")
    axes = figure.subplots()
    axes.set_xlabel(x, fontsize=9)
    axes.set_ylabel(y, fontsize=9)
    _tidy(axes)
    return figure, axes


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.tick_params(labelsize=8)


def _with_legend(figure: Figure) -> Figure:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize=8)
    return figure


def _plain(text: str) -> str:
    """Text in which matplotlib sees no mathematics."""
    return text.replace("$", r"\$")
