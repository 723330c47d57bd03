"""How cost grows: the exponent is the slope, every series is measured, and what is measured is not measured again."""

import json

import pytest

from benchmarks.studies import scale


def test_the_exponent_of_a_power_is_its_power():
    sizes = [1, 10, 100]
    assert scale.exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)


def test_points_are_kept_and_not_measured_again(tmp_path, monkeypatch, capsys):
    asked = []

    def point(name: str, size: int) -> dict[str, float]:
        asked.append(size)
        return {"seconds": 2.0 * size, "peak": 2**20}

    monkeypatch.setattr(scale, "measured", point)
    words = ["--json", str(tmp_path / "scale.json"), "--only", "report: records"]

    assert scale.main([*words, "--up-to", "30000"]) == 0
    assert scale.main(words) == 0

    assert asked == [10_000, 30_000, 100_000, 1_000_000]
    kept = json.loads((tmp_path / "scale.json").read_text())
    assert kept["report: records"]["30000"]["seconds"] == 60_000
    assert "1.00" in capsys.readouterr().out


def test_a_point_reports_time_and_memory(capsys):
    assert scale.main(["--point", "game, as trees: questions", "20"]) == 0

    reported = json.loads(capsys.readouterr().out)
    assert reported["seconds"] > 0
    assert reported["peak"] > 2**20
