"""Puts the table of all settings into the documentation while MkDocs builds it (a MkDocs hook)."""

import json
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from tracer_agents.config import Config

MARKER = "<!-- settings -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with its marker replaced."""
    return markdown.replace(MARKER, settings_tables()) if MARKER in markdown else markdown


def settings_tables() -> str:
    """A Markdown table for every section of ``Config``, fields in the order of the code."""
    seed = Config.model_fields["seed"]
    parts = [f"`seed` (default `{seed.default}`): {seed.description}.", ""]
    for name, section in Config.model_fields.items():
        fields = getattr(section.annotation, "model_fields", None)
        if fields is None:
            continue
        parts += [f"### {name}", "", str(section.annotation.__doc__), "", "| setting | default | |", "|---|---|---|"]
        for field, info in fields.items():
            choices = f" ({', '.join(values)})" if (values := _choices(info.annotation)) else ""
            default = info.get_default(call_default_factory=True)
            shown = default if isinstance(default, str) else json.dumps(default)
            meaning = f"{info.description}{choices}".replace("|", r"\|")
            parts.append(f"| `{name}.{field}` | `{shown}` | {meaning} |")
        parts.append("")
    return "\n".join(parts)


def _choices(annotation: Any) -> list[str]:
    """The values of a ``Literal``, also within an optional."""
    if get_origin(annotation) is Literal:
        return [f"`{value}`" for value in get_args(annotation)]
    if isinstance(annotation, UnionType) or get_origin(annotation) is not None:
        return [choice for part in get_args(annotation) for choice in _choices(part)]
    return []
