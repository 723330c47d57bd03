"""The picture of the gaps: drawn from whatever a run has measured, the same bytes for the same figures."""

import copy

import pytest

from tracer_agents.runs.curves import GAPS, draw_gaps


def certificate(scale: float) -> dict:
    gap = {"plug_in": 0.2 * scale, "found": 0.2 * scale, "ci95": [0.1 * scale, 0.3 * scale], "exact": True}
    return {
        "utility": {"mean": 0.5 * scale, "ci95": [0.4 * scale, 0.6 * scale]},
        "team_optimum": 0.7,
        **{name: dict(gap) for name in GAPS},
        "run": {"cce_gap": 0.05 * scale, "bound_applies": False, "players": [{"bound": 0.9}, {"bound": 0.8}]},
    }


ROWS = [{"step": step, "certificate": certificate(1 / step) if step % 2 == 0 else None} for step in range(1, 7)]


def drawn(path, rows, final) -> bytes:
    draw_gaps(rows, final, path)
    return path.read_bytes()


@pytest.fixture(scope="module")
def picture(tmp_path_factory) -> bytes:
    return drawn(tmp_path_factory.mktemp("curves") / "one.png", ROWS, certificate(0.2))


def test_the_same_figures_are_the_same_bytes(picture, tmp_path):
    assert picture.startswith(b"\x89PNG")
    assert picture == drawn(tmp_path / "two.png", copy.deepcopy(ROWS), certificate(0.2))


@pytest.mark.parametrize("name", [*GAPS, "utility"])
def test_every_figure_is_drawn(name, picture, tmp_path):
    changed = copy.deepcopy(ROWS)
    changed[3]["certificate"][name]["ci95"][1] *= 1.5
    assert picture != drawn(tmp_path / "two.png", changed, certificate(0.2))


def test_the_regret_of_the_run_is_drawn(picture, tmp_path):
    changed = copy.deepcopy(ROWS)
    changed[5]["certificate"]["run"]["cce_gap"] *= 10
    assert picture != drawn(tmp_path / "two.png", changed, certificate(0.2))


@pytest.mark.parametrize("rows", [[], [{"step": 1, "certificate": None}], [{"step": 1}]])
def test_nothing_measured_in_training(rows, tmp_path):
    final = certificate(0.2)
    final["run"] = None
    assert drawn(tmp_path / "one.png", rows, final).startswith(b"\x89PNG")
    assert drawn(tmp_path / "one.png", rows, None).startswith(b"\x89PNG")


def test_controllers_that_never_learned_have_no_regret(tmp_path):
    rows = [{"step": 2, "certificate": {**certificate(1.0), "run": None}}]
    assert drawn(tmp_path / "one.png", rows, None).startswith(b"\x89PNG")


@pytest.mark.parametrize("steps", [1, 2, 3, 17])
def test_steps_are_whole_numbers(tmp_path, monkeypatch, steps):
    figures = []
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda figure, path, **_: figures.append(figure))

    rows = [{"step": step, "certificate": certificate(1.0)} for step in range(1, steps + 1)]
    draw_gaps(rows, None, tmp_path / "curves.png")

    [figure] = figures
    figure.draw_without_rendering()
    for axis in figure.axes:
        assert all(float(tick).is_integer() for tick in axis.get_xticks()), axis.get_title(loc="left")
