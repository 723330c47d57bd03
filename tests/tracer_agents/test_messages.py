"""A message that sends somebody to a setting names one that exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tracer_agents
from tracer_agents.config import Config

ROOT = Path(tracer_agents.__file__).parent
SECTIONS = {name: info.annotation for name, info in Config.model_fields.items() if name != "seed"}
SETTING = re.compile(rf"(?<![\w.{{])({'|'.join(SECTIONS)})\.([a-z_]\w*)")


def named_settings() -> Iterator[tuple[str, str, str]]:
    """(file and line, section, name) of whatever looks like a setting in a string that is no docstring."""
    for path in sorted(ROOT.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                for section, name in SETTING.findall(node.value):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}", section, name


def test_settings_in_messages_exist():
    places = list(named_settings())
    assert len(places) > 20
    missing = [place for place in places if place[2] not in {*SECTIONS[place[1]].model_fields, "npz", "json"}]
    assert missing == []
