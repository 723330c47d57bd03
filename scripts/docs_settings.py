"""Puts the table of all settings into the documentation while MkDocs builds it (a MkDocs hook)."""

from itertools import groupby
from typing import Any

from tracer_agents.config.options import Setting, sections, settings

MARKER = "<!-- settings -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its marker replaced."""
    return markdown.replace(MARKER, settings_tables()) if MARKER in markdown else markdown


def settings_tables() -> str:
    """A Markdown table for every section of ``Config``, fields in the order of the code, as ``--help`` has them."""
    parts: list[str] = []
    for section, members in groupby(settings(), key=lambda setting: setting.section):
        if not section:
            parts += [f"`{setting.name}` (default `{setting.default}`): {setting.meaning}." for setting in members]
            parts.append("")
            continue
        parts += [f"### {section}", "", sections()[section], "", "| setting | type | default | |", "|---|---|---|---|"]
        parts += map(_row, members)
        parts.append("")
    return "\n".join(parts)


def _row(setting: Setting) -> str:
    kind, meaning = (text.replace("|", r"\|") for text in (setting.type, setting.meaning))
    return f"| `{setting.name}` | `{kind}` | `{setting.default}` | {meaning} |"
