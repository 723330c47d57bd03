"""The ablations' page: a table for each choice, and the picture of the frontier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.ablations.compare import Estimate, Row
from benchmarks.ablations.sections import Section
from benchmarks.ablations.trained import Speech
from benchmarks.report.formats import MISSING, markdown, markdown_table, number, p_value, with_interval

MARK = "<!-- tables -->"
PREAMBLE = "# Ablations\n\nWhat each choice of the design is worth, one choice at a time."
LEVEL = 0.05  # of Holm-adjusted tests
COLOURS = ("#8a8a8a", "#c1461f", "#1f77b4", "#2ca02c")


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """The rows of one section under some speakers.

    Args:
        who: whose speakers.
        extent: what was measured.
        rows: of the section.
        note: what stands below them.
    """

    who: str
    extent: str
    rows: Sequence[Row]
    note: str = ""


def page(old: str, facts: str, sections: Sequence[tuple[Section, Sequence[Table]]]) -> str:
    """The page: what stood before the mark is kept, everything after it is written anew."""
    preamble = (old or PREAMBLE).split(MARK)[0].rstrip()
    parts = [preamble, MARK, facts, f"## What the intervals support\n\n{findings(sections)}"]
    for section, tables in sections:
        parts.append(f"## {section.title}\n\n{section.about}")
        for table in tables:
            parts += [
                f"{table.who.capitalize()}, {table.extent}:",
                as_markdown(table.rows),
                *([table.note] if table.note else []),
            ]
    return "\n\n".join(parts) + "\n"


def findings(sections: Sequence[tuple[Section, Sequence[Table]]]) -> str:
    """A line for each table: the rows whose utility differs from the default's at 5%, or how little any of them can."""
    return "\n".join(
        f"- {section.title}, {table.who}: {_finding(table.rows)}" for section, tables in sections for table in tables
    )


def _finding(rows: Sequence[Row]) -> str:
    others = [row for row in rows if not row.is_default]
    differ = [row for row in others if row.p < LEVEL]
    phrases = [f"{markdown(row.label)} {_interval(row.difference, signed=True)}" for row in differ]
    rest = [row.difference for row in others if row.p >= LEVEL]
    if rest:
        low, high = min(difference.low for difference in rest), max(difference.high for difference in rest)
        bounds = f"[{number(low, signed=True)}, {number(high, signed=True)}]"
        none = "none of the others" if differ else "no row"
        phrases.append(f"{none} differs significantly, and all their intervals lie within {bounds}")
    return "; ".join(phrases) + "."


def as_markdown(rows: Sequence[Row]) -> str:
    """The rows; what they generated is shown where it differs, and the rows of fixed rules generated nothing."""
    costs = len({row.generated for row in rows if row.generated}) > 1
    header = ["", "utility", "accuracy", "tokens", "utility − default's", "p (Holm)"]
    header += ["training utterances"] if costs else []
    return markdown_table(header, [_cells(row) + ([number(row.generated, 0)] if costs else []) for row in rows])


def _cells(row: Row) -> list[str]:
    difference = MISSING if row.is_default else _interval(row.difference, signed=True)
    return [
        row.label,
        number(row.utility.value, signed=True),
        _interval(row.accuracy),
        number(row.tokens.value, 1),
        difference,
        p_value(row.p),
    ]


def _interval(estimate: Estimate, *, signed: bool = False) -> str:
    return with_interval(estimate.value, estimate.low, estimate.high, signed=signed)


def speech_table(speech: Mapping[str, Speech]) -> str:
    """What the speakers of every recipe are like."""
    rows = [
        (
            label,
            *(number(share) for share in (figures.first, figures.sensitivity, figures.specificity)),
            number(figures.tokens, 1),
        )
        for label, figures in speech.items()
    ]
    header = ("", "first proposals right", "wrong called WRONG", "right called RIGHT", "tokens, all speak")
    return markdown_table(header, rows)


def frontier(curves: Mapping[str, tuple[Sequence[Row], Sequence[Row]]]) -> Figure:
    """Accuracy against tokens, with 95% intervals: learned controllers over prices as a line, fixed rules as crosses.

    Args:
        curves: speakers -> (rows of prices, rows of fixed rules).
    """
    figure = Figure(figsize=(8.4, 4.8), layout="constrained", facecolor="white")
    axes = figure.subplots()
    for colour, (speakers, (prices, fixed)) in zip(COLOURS, curves.items(), strict=False):
        _line(axes, prices, colour, f"{speakers} speakers, learned, by price")
        for row in fixed:
            if row.is_default:
                continue
            axes.plot(row.tokens.value, row.accuracy.value, "x", color=colour, markersize=6)
            axes.annotate(
                row.label.replace("_", " "),
                (row.tokens.value, row.accuracy.value),
                xytext=(4, -8),
                textcoords="offset points",
                fontsize=6.5,
                color=colour,
            )
    axes.set_xlabel("generated tokens per question", fontsize=9)
    axes.set_ylabel("accuracy", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.tick_params(labelsize=8)
    axes.legend(loc="lower right", frameon=False, fontsize=8)
    return figure


def _line(axes: Axes, rows: Sequence[Row], colour: str, label: str) -> None:
    rows = sorted(rows, key=lambda row: row.tokens.value)
    accuracy = [row.accuracy for row in rows]
    axes.errorbar(
        [row.tokens.value for row in rows],
        [estimate.value for estimate in accuracy],
        yerr=[
            [estimate.value - estimate.low for estimate in accuracy],
            [estimate.high - estimate.value for estimate in accuracy],
        ],
        color=colour,
        marker="o",
        markersize=4,
        linewidth=1.6,
        elinewidth=0.6,
        label=label,
    )
