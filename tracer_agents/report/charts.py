"""Where everything stands in a chart: from values to the coordinates of an SVG, labels kept apart."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise

from matplotlib.ticker import MaxNLocator

from tracer_agents.report.blocks import Chart, Point, Series

_CHARACTER = 6.1  # width of a letter of a label, in the drawing's units
_LABEL_HEIGHT = 14.0
_EDGE = 8.0
_NEAR = 16  # places that are tried before a label may cross a bar


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """Values from ``least`` to ``most`` on coordinates from ``start`` to ``end``, with ticks."""

    least: float
    most: float
    start: float
    end: float
    ticks: tuple[tuple[float, str], ...]  # (coordinate, text)

    def place(self, value: float) -> float:
        """The coordinate of a value."""
        share = (value - self.least) / (self.most - self.least)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A point as drawn: its place, its bars, its title."""

    x: float
    y: float
    radius: float
    x_bar: tuple[float, float] | None
    y_bar: tuple[float, float] | None
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A label as drawn, with a line to its point where it had to move."""

    x: float
    y: float
    text: str
    anchor: str
    leader: tuple[float, float, float, float] | None
    tone: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stroke:
    """A series as drawn."""

    tone: int
    line: str  # points of a polyline, "" for none
    band: str  # points of a polygon, "" for none
    dashed: bool
    marks: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """A chart of one size."""

    width: float
    height: float
    x: Axis
    y: Axis
    strokes: tuple[Stroke, ...]
    labels: tuple[Label, ...]
    diagonal: tuple[float, float, float, float] | None


def draw(chart: Chart, *, width: float, height: float) -> Drawing:
    """The coordinates of a chart in a drawing of ``width`` × ``height`` units."""
    points = [point for series in chart.series for point in series.points]
    xs = [value for point in points for value in (point.x, *(point.x_span or ()))]
    ys = [value for point in points for value in (point.y, *(point.y_span or ()))]
    y = _axis(ys, chart.bottom, chart.top, start=height - 40, end=14, ticks=5)
    margin = 12 + _CHARACTER * max(len(text) for _, text in y.ticks)
    x = _axis(
        xs, chart.left, chart.right, start=margin, end=width - 14, ticks=4 if width < 500 else 7, whole=chart.steps
    )
    return Drawing(
        width=width,
        height=height,
        x=x,
        y=y,
        strokes=tuple(_stroke(series, chart, x, y) for series in chart.series),
        labels=_labels(chart.series, x, y),
        diagonal=_diagonal(x, y) if chart.diagonal else None,
    )


def _axis(
    values: Sequence[float],
    least: float | None,
    most: float | None,
    *,
    start: float,
    end: float,
    ticks: int,
    whole: bool = False,
) -> Axis:
    low = min(values, default=0.0) if least is None else least
    high = max(values, default=1.0) if most is None else most
    if not high > low:
        low, high = low - (least is None) * 0.5, high + 0.5
    spread = high - low
    low = low - 0.04 * spread if least is None else low
    high = high + 0.06 * spread if most is None else high
    chosen = [
        tick
        for tick in MaxNLocator(nbins=ticks, integer=whole, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
        if low - 1e-9 <= tick <= high + 1e-9
    ]
    step = chosen[1] - chosen[0] if len(chosen) > 1 else 1.0
    digits = max(0, next((count for count in range(6) if abs(round(step, count) - step) < 1e-9 * max(step, 1)), 6))
    axis = Axis(least=low, most=high, start=start, end=end, ticks=())
    return Axis(
        least=low,
        most=high,
        start=start,
        end=end,
        ticks=tuple((axis.place(float(tick)), _number(float(tick), digits)) for tick in chosen),
    )


def _number(value: float, digits: int) -> str:
    return f"{value + 0.0:,.{digits}f}".replace("-", "−")


def _stroke(series: Series, chart: Chart, x: Axis, y: Axis) -> Stroke:
    places = [(x.place(point.x), y.place(point.y)) for point in series.points]
    spans = [(x.place(point.x), point.y_span) for point in series.points if point.y_span is not None]
    outline = [(at_x, y.place(span[1])) for at_x, span in spans] + [
        (at_x, y.place(span[0])) for at_x, span in reversed(spans)
    ]
    return Stroke(
        tone=series.tone,
        line=_path(places) if series.joined and len(places) > 1 else "",
        band=_path(outline) if series.band and len(spans) > 1 else "",
        dashed=series.dashed,
        marks=tuple(_mark(point, series, chart, x, y) for point in series.points) if series.marks else (),
    )


def _path(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{px:g},{py:g}" for px, py in places)


def _mark(point: Point, series: Series, chart: Chart, x: Axis, y: Axis) -> Mark:
    bars = not series.band
    name = point.label or series.name
    return Mark(
        x=x.place(point.x),
        y=y.place(point.y),
        radius=3.2 if point.weight is None else round(2.5 + 11 * point.weight**0.5, 1),
        x_bar=(x.place(point.x_span[0]), x.place(point.x_span[1])) if bars and point.x_span else None,
        y_bar=(y.place(point.y_span[0]), y.place(point.y_span[1])) if bars and point.y_span else None,
        title=f"{name}: {chart.x_label} {point.x:.4g}, {chart.y_label} {point.y:.4g}",
    )


@dataclass(frozen=True, slots=True)
class _Box:
    """A rectangle that a label may not cover."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def _labels(series: Sequence[Series], x: Axis, y: Axis) -> tuple[Label, ...]:
    """Labels beside their points, where they cover neither a mark nor another label; those of a line at its end."""
    marks = [_around(x.place(point.x), y.place(point.y)) for each in series if _beside(each) for point in each.points]
    bars = [
        _Box(x.place(point.x) - 2, x.place(point.x) + 2, y.place(point.y_span[1]), y.place(point.y_span[0]))
        for each in series
        for point in each.points
        if point.y_span is not None and not each.band
    ]
    bars += [box for each in series if each.joined and each.beside for box in _along(each, x, y)]
    wanted = [(point, each) for each in series for point in each.points if point.label]
    wanted.sort(key=lambda pair: (pair[1].tone, y.place(pair[0].y)))
    taken: list[_Box] = []
    labels = []
    for point, each in wanted:
        label, box = _placed(point, each, x, y, [*marks, *taken], bars)
        taken.append(box)
        labels.append(label)
    return tuple(labels)


def _along(series: Series, x: Axis, y: Axis) -> Iterator[_Box]:
    """Small rectangles that cover a line."""
    places = [(x.place(point.x), y.place(point.y)) for point in series.points]
    for (ax, ay), (bx, by) in pairwise(places):
        count = 1 + int(max(abs(bx - ax), abs(by - ay)) / 6)
        for step in range(count + 1):
            px, py = ax + (bx - ax) * step / count, ay + (by - ay) * step / count
            yield _Box(px - 3, px + 3, py - 3, py + 3)


def _beside(series: Series) -> bool:
    return series.beside or not series.joined


def _around(px: float, py: float) -> _Box:
    return _Box(px - 5, px + 5, py - 5, py + 5)


def _placed(
    point: Point, series: Series, x: Axis, y: Axis, taken: Sequence[_Box], bars: Sequence[_Box]
) -> tuple[Label, _Box]:
    """The nearest free place for a label: first where it crosses no bar either, then where it covers nothing else."""
    px, py, length = x.place(point.x), y.place(point.y), _CHARACTER * len(point.label)
    ends = point is series.points[-1]
    places = _tries_beside(px, py, x) if _beside(series) else _tries_at_end(px, py) if ends else _tries_above(px, py)
    best: tuple[float, float, str] | None = None
    for obstacles, most in (([*taken, *bars], _NEAR), (taken, None), ((), None)):
        for left, baseline, anchor in islice(places(length), most):
            box = _Box(left, left + length, baseline - 10, baseline + 3)
            inside = y.end - 8 <= box.top and box.bottom <= y.start
            if inside and not any(box.meets(other) for other in obstacles):
                best = left, baseline, anchor
                break
        if best is not None:
            break
    left, baseline, anchor = best or (px + _EDGE, py + 4, "start")
    edge = left - 2 if anchor == "start" else left + length + 2
    moved = _beside(series) and abs(baseline - py - 4) > _LABEL_HEIGHT / 2
    label = Label(
        x=round(left if anchor == "start" else left + length, 1),
        y=round(baseline, 1),
        text=point.label,
        anchor=anchor,
        leader=(px, py, round(edge, 1), round(baseline - 4, 1)) if moved else None,
        tone=series.tone,
    )
    return label, _Box(left, left + length, baseline - 10, baseline + 3)


_Tries = Callable[[float], Iterator[tuple[float, float, str]]]  # length -> (left, baseline, anchor), nearest first


def _tries_beside(px: float, py: float, x: Axis) -> _Tries:
    def tries(length: float) -> Iterator[tuple[float, float, str]]:
        for step in range(48):
            for sign in (1, -1) if step else (1,):
                baseline = py + 4 + sign * step * 5.0
                if px + _EDGE + length <= x.end + 12:
                    yield px + _EDGE, baseline, "start"
                if px - _EDGE - length >= x.start:
                    yield px - _EDGE - length, baseline, "end"

    return tries


def _tries_at_end(px: float, py: float) -> _Tries:
    """To the right of the last point, where the axis leaves room."""

    def tries(length: float) -> Iterator[tuple[float, float, str]]:
        for step in range(24):
            for sign in (1, -1) if step else (1,):
                yield px + 6, py + 4 + sign * 4 * step, "start"

    return tries


def _tries_above(px: float, py: float) -> _Tries:
    """Above a point within a line."""

    def tries(length: float) -> Iterator[tuple[float, float, str]]:
        for step in range(24):
            yield px - length / 2, py - 9 - 4 * step, "start"

    return tries


def _diagonal(x: Axis, y: Axis) -> tuple[float, float, float, float]:
    low, high = max(x.least, y.least), min(x.most, y.most)
    return x.place(low), y.place(low), x.place(high), y.place(high)
