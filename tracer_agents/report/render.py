"""A page as one HTML file that holds all it needs, runs nothing but its own script, and asks nobody for anything."""

import base64
import hashlib
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from tracer_agents.report.blocks import Chart, Page
from tracer_agents.report.charts import Drawing, draw
from tracer_agents.runs.files import write_text
from tracer_env.rendering import escape

_TEMPLATES = PackageLoader("tracer_agents.report", "templates")


def render(page: Page) -> str:
    """The HTML of a page; texts from outside have no power over it."""
    environment = Environment(
        loader=_TEMPLATES,
        autoescape=select_autoescape(default=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"draw": _draw, "figure": _figure}
    style, script = _asset(environment, "page.css"), _asset(environment, "page.js")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    shown = _harmless(replace(page, browser=None))
    return environment.get_template("page.html").render(
        page=replace(shown, browser=page.browser),  # its texts are harmless already
        policy=policy,
        style=style,
        script=script,
    )


def write_page(page: Page, path: Path) -> None:
    """Replaces the file at once.

    Raises:
        RunError: it cannot be written.
    """
    write_text(path, render(page))


def _asset(environment: Environment, name: str) -> str:
    """A file of the templates' folder as it is."""
    source, _, _ = _TEMPLATES.get_source(environment, name)
    return source


def _hash(text: str) -> str:
    """How a content security policy names an inline script or style."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _draw(chart: Chart, width: float, height: float) -> Drawing:
    return draw(chart, width=width, height=height)


def _figure(value: float) -> str:
    return f"{value:,.4g}".replace("-", "−")


def _harmless(value: Any) -> Any:
    """The same records, control characters and bidirectional overrides of their texts escaped."""
    if isinstance(value, str):
        return escape(value)
    if isinstance(value, tuple | list):
        return [_harmless(each) for each in value]
    if is_dataclass(value) and not isinstance(value, type):
        init = (field.name for field in fields(value) if field.init)
        return replace(value, **{name: _harmless(getattr(value, name)) for name in init})
    return value
