"""The benchmarks' commands: every one that a page names exists, and what goes wrong is one line."""

import io
import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.ablations.trained import main as train

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", *sorted((ROOT / "configs").glob("*.yaml"))]


def test_every_module_that_a_page_runs_exists():
    named = {
        (str(page.relative_to(ROOT)), module)
        for page in PAGES
        for module in re.findall(r"python -m (benchmarks[\w.]*\w)", page.read_text("utf-8"))
    }
    assert len(named) > 10

    def runs(module: str) -> bool:
        spec = find_spec(module)
        return spec is not None and (spec.submodule_search_locations is None or find_spec(f"{module}.__main__"))

    assert [(page, module) for page, module in sorted(named) if not runs(module)] == []


def test_a_terminal_of_few_characters_shows_the_methods(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="strict")
    monkeypatch.setattr(sys, "stdout", out)

    assert main(["methods"]) == 0

    assert b"self_consistency" in out.buffer.getvalue()


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (main, ["report", "nowhere"]),
        (main, ["report", "nowhere", "--seed", "3"]),
        (main, ["run", "--methods", "no_such", "--tasks", "arithmetic-1", "--out", "nowhere"]),
        (main, ["run", "--methods", "single", "--tasks", "arithmetic-1", "--out", "file/below"]),
        (train, ["nowhere"]),
    ],
)
def test_what_goes_wrong_is_one_line(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()

    assert command(words) == 1

    error = capsys.readouterr().err.strip().split("\n")[-1]
    assert error.startswith("error: ")
    assert "Traceback" not in error
