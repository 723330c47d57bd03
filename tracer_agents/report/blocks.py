"""What a page is made of: sections of tables, charts and grids, as plain records that a template draws."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A figure that a reader should see first."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A value within its interval, on an axis from ``least`` to ``most``."""

    low: float
    value: float
    high: float
    least: float = 0.0
    most: float = 1.0

    def place(self, x: float) -> float:
        """Where a value lies on the axis, in per cent."""
        share = (x - self.least) / (self.most - self.least)
        return round(100 * min(max(share, 0.0), 1.0), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A cell of a table: its text, what stands smaller beside it, and a drawing of its interval."""

    text: str
    detail: str = ""
    span: Span | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row under its heading; ``strong`` rows are those that the page is about."""

    heading: str
    cells: Sequence[Cell]
    detail: str = ""
    strong: bool = False
    group: str = ""  # of which run, where there are several


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under column headings; ``columns`` are (heading, what it means)."""

    caption: str
    columns: Sequence[tuple[str, str]]
    rows: Sequence[Row]
    first: str = "method"

    kind: Literal["table"] = field(default="table", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A point of a chart, with its intervals and what stands beside it."""

    x: float
    y: float
    x_span: tuple[float, float] | None = None
    y_span: tuple[float, float] | None = None
    label: str = ""
    weight: float | None = None  # area of the mark; None: the usual one


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Points that belong together; ``tone`` chooses the colour, ``joined`` draws a line through them.

    Labels stand at the end of a line; ``beside``: beside their points, clear of all others.
    """

    name: str
    points: Sequence[Point]
    tone: int = 0
    joined: bool = False
    band: bool = False  # intervals as a band, not as bars
    dashed: bool = False
    marks: bool = True
    beside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Series over two axes.

    ``bottom``, ``top``, ``left`` and ``right`` bound the axes where the data should not; ``diagonal`` draws x = y;
    ``steps``: the horizontal axis counts.
    """

    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]
    bottom: float | None = None
    top: float | None = None
    left: float | None = None
    right: float | None = None
    diagonal: bool = False
    steps: bool = False
    wide: bool = False
    note: str = ""

    kind: Literal["chart"] = field(default="chart", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Heat:
    """A cell of a heat map: a share in [0, 1], its text, what speaking gains there, and how often it is met."""

    share: float
    text: str
    gain: str = ""
    met: str = ""
    rare: bool = False  # hardly ever met


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Cells by row and column; None where there is nothing to show."""

    caption: str
    corner: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Heat | None]]]

    kind: Literal["heat"] = field(default="heat", init=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A paragraph."""

    text: str

    kind: Literal["note"] = field(default="note", init=False)


Block = Table | Chart | HeatMap | Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of the page; ``name`` is its anchor, ``lead`` says what it shows."""

    name: str
    title: str
    lead: str = ""
    blocks: Sequence[Block]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A whole page.

    Args:
        title: its heading.
        subtitle: what was measured, in a line.
        tiles: the figures that a reader should see first.
        sections: in order.
        facts: what it was made from: (name, value).
        browser: the dialogues, as ``dialogues.browser_data`` gives them; None: there are none.
    """

    title: str
    subtitle: str
    tiles: Sequence[Tile] = ()
    sections: Sequence[Section] = ()
    facts: Sequence[tuple[str, str]] = ()
    browser: Mapping[str, Any] | None = None
