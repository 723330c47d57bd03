"""Labels of points, and where records are that were made under a method's former name."""

import pytest

from benchmarks.suite.plan import make_plan
from benchmarks.suite.point import Point, cell_folder


@pytest.mark.parametrize(
    ("label", "point"),
    [
        ("single", Point(method="single")),
        ("self_consistency@k=3", Point(method="self_consistency", setting="k=3")),
        ("tracer@price=0.1", Point(method="tracer", setting="price=0.1")),
    ],
)
def test_a_label_is_its_points(label, point):
    assert Point.of(label) == point
    assert point.label == label


def test_what_was_called_debate_is_multi_agent_debate():
    assert Point.of("debate@rounds=2") == Point(method="multi_agent_debate", setting="rounds=2")
    plan = make_plan({"methods": ["debate", "single"], "tasks": {"easy": {"name": "arithmetic"}}}, "test")
    assert plan.methods == ["multi_agent_debate", "single"]


def test_a_cell_that_ended_under_the_former_name_is_found_there(tmp_path):
    former, present = (tmp_path / "cells" / name / "easy" / "seed-0" for name in ("debate", "multi_agent_debate"))
    former.mkdir(parents=True)
    assert cell_folder(tmp_path, "multi_agent_debate", "easy", 0) == present  # nothing has ended there

    (former / "cell.json").touch()
    assert cell_folder(tmp_path, "multi_agent_debate", "easy", 0) == former

    present.mkdir(parents=True)
    (present / "cell.json").touch()
    assert cell_folder(tmp_path, "multi_agent_debate", "easy", 0) == present
