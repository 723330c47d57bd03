"""Tests of the table of settings in the documentation."""

from pathlib import Path

from scripts.docs_settings import MARKER, on_page_markdown, settings_tables
from tracer_agents.config import Config

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"


def test_every_setting_has_a_row_with_its_default_and_meaning():
    rows = [line.split(" | ") for line in settings_tables().splitlines() if line.startswith("| `")]

    shown = {row[0].strip("| `"): (row[1].strip("`"), row[2].strip("`"), row[3].strip("| ")) for row in rows}

    names = {
        f"{name}.{field}"
        for name, section in Config.model_fields.items()
        for field in getattr(section.annotation, "model_fields", {})
    }
    assert set(shown) == names
    assert shown["speakers.temperature"][1] == "1.0"
    assert shown["controllers.train"] == (r"true\|false", "true", "whether controllers learn")
    assert shown["task.data"][1] == "null"
    assert shown["dialogue.schedule"][0] == r"rotate\|parity"


def test_the_page_of_settings_has_the_tables():
    built = on_page_markdown(PAGE.read_text("utf-8"))

    assert MARKER not in built
    assert settings_tables() in built


def test_other_pages_stay_as_they_are():
    assert on_page_markdown("# Home\n") == "# Home\n"
