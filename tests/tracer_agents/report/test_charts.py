"""Where things stand in a chart: inside, in order, and labels clear of each other."""

from itertools import combinations

import pytest

from tracer_agents.report.blocks import Chart, Point, Series, Span
from tracer_agents.report.charts import draw


def chart(points, **fields):
    return Chart(title="t", x_label="x", y_label="y", series=[Series(name="s", points=points)], **fields)


def box(label):
    width = 6.1 * len(label.text)
    left = label.x if label.anchor == "start" else label.x - width
    return left, left + width, label.y - 10, label.y + 3


@pytest.mark.parametrize("width", [380, 860])
def test_labels_of_a_crowd_overlap_neither_each_other_nor_a_mark(width):
    points = [Point(x=90 + n, y=0.8 + 0.002 * n, y_span=(0.7, 0.9), label=f"method {n}") for n in range(8)]
    drawing = draw(chart([*points, Point(x=300, y=0.2, label="far away")], left=0), width=width, height=400)
    assert len(drawing.labels) == 9
    for (a, b, c, d), (e, f, g, h) in combinations(map(box, drawing.labels), 2):
        assert b <= e or f <= a or d <= g or h <= c
    for left, right, top, bottom in map(box, drawing.labels):
        assert not any(
            left < mark.x < right and top < mark.y < bottom for stroke in drawing.strokes for mark in stroke.marks
        )
        assert left >= 0
        assert right <= width


def test_everything_lies_within_the_axes():
    points = [Point(x=1, y=-0.5, y_span=(-0.9, -0.1)), Point(x=40, y=0.7, y_span=(0.5, 1.0))]
    drawing = draw(chart(points), width=380, height=240)
    for mark in drawing.strokes[0].marks:
        assert drawing.x.start <= mark.x <= drawing.x.end
        assert drawing.y.end <= mark.y_bar[1] < mark.y < mark.y_bar[0] <= drawing.y.start
    assert all(drawing.y.end <= place <= drawing.y.start for place, _ in drawing.y.ticks)


def test_steps_are_counted_and_ticks_have_as_many_digits_as_they_need():
    steps = [Point(x=step, y=0.125 * step) for step in (1, 2, 3)]
    drawing = draw(chart(steps, steps=True, bottom=0, top=0.4), width=380, height=240)
    assert [text for _, text in drawing.x.ticks] == ["1", "2", "3"]
    assert [text for _, text in drawing.y.ticks] == ["0.0", "0.1", "0.2", "0.3", "0.4"]
    large = draw(chart([Point(x=0, y=-2000), Point(x=1, y=3000)]), width=380, height=240)
    assert "−2,000" in [text for _, text in large.y.ticks]


def test_a_single_value_has_an_axis_too():
    drawing = draw(chart([Point(x=5, y=0.5)]), width=380, height=240)
    [mark] = drawing.strokes[0].marks
    assert drawing.x.start < mark.x < drawing.x.end


def test_a_span_is_placed_in_per_cent_and_stays_on_its_axis():
    span = Span(low=-0.6, value=0.0, high=0.25, least=-0.5, most=0.5)
    assert [span.place(x) for x in (span.low, span.value, span.high)] == [0, 50, 75]
