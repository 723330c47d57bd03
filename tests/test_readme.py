"""Tests of what the documentation says: its code runs, its links lead somewhere, its settings exist."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tracer_agents.config import Config, load_config

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
NEEDS_A_SERVER = {"sglang.md"}
WITH_CODE = [
    README,
    DOCS / "quickstart.md",
    *sorted(DOCS.glob("reference/*.md")),
    *sorted(DOCS.glob("concepts/*.md")),
    *sorted(DOCS.glob("howto/*.md")),
]
WITH_CODE = [page for page in WITH_CODE if page.name not in NEEDS_A_SERVER]
PAGES = [*ROOT.glob("*.md"), *(page for page in sorted(DOCS.rglob("*.md")) if page.name != "design.md")]
SECTIONS = {name: field.annotation for name, field in Config.model_fields.items() if name != "seed"}


def code_of(page: Path) -> list[str]:
    """The page's Python blocks."""
    return re.findall(r"^```python\n(.*?)^```", page.read_text("utf-8"), flags=re.S | re.M)


def label(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture(scope="session")
def folder_with_a_run(tmp_path_factory, small_settings) -> Path:
    """A working directory that holds ``runs/demo``, a run of one step."""
    from tracer_agents.training.experiment import run_training
    from tracer_agents.training.stages import Silent

    folder = tmp_path_factory.mktemp("reader")
    brief = {
        "trainer.steps": 1,
        "evaluation.baselines": False,
        "evaluation.greedy": False,
        "evaluation.questions": 2,
        "evaluation.certificate_questions": 2,
    }
    config = load_config(overrides={**small_settings, **brief})
    run_training(config, folder / "runs" / "demo", resume=False, display=Silent())
    return folder


def run_code(page: Path) -> dict[str, Any]:
    """Runs all blocks of a page, in order, in one namespace."""
    names: dict[str, Any] = {}
    for number, code in enumerate(code_of(page)):
        exec(compile(code, f"{label(page)}[{number}]", "exec"), names)
    return names


def test_the_loop_of_the_readme_plays_with_one_agent_replaced(folder_with_a_run, monkeypatch, capsys):
    monkeypatch.chdir(folder_with_a_run)

    names = run_code(README)

    dialogue = names["env"].unwrapped.dialogue
    assert dialogue.round == dialogue.rules.rounds + 1
    assert names["env"].agents == []
    assert [turn.mode for turn in dialogue.turns if turn.agent == 1] == [1, 1]
    assert "agent 1 reviewer: speak" in capsys.readouterr().out


def test_the_replaced_agent_of_the_readme_makes_a_difference(folder_with_a_run, monkeypatch, capsys):
    monkeypatch.chdir(folder_with_a_run)
    [code] = code_of(README)
    assert "observation, info: 1" in code
    names: dict[str, Any] = {}

    exec(code.replace("observation, info: 1", "observation, info: 0"), names)

    assert [turn.mode for turn in names["env"].unwrapped.dialogue.turns if turn.agent == 1] == [0, 0]


def test_the_loop_of_the_readme_has_at_most_ten_lines():
    [code] = code_of(README)

    assert len([line for line in code.splitlines() if line.strip()]) <= 10


@pytest.mark.parametrize("page", [page for page in WITH_CODE if page != README and code_of(page)], ids=label)
def test_the_code_of_a_page_runs(page, folder_with_a_run, monkeypatch):
    monkeypatch.chdir(folder_with_a_run)

    assert run_code(page)


def links_of(page: Path) -> Iterator[str]:
    """Targets of the page's links and images, without those to other hosts."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.S | re.M)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"[a-z]+:", target):
            yield target.partition("#")[0]


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_links_lead_to_files(page):
    missing = [target for target in links_of(page) if target and not (page.parent / target).exists()]

    assert missing == []


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words of every ``tracer`` command on the page."""
    for block in re.findall(r"^```console\n(.*?)^```", page.read_text("utf-8"), flags=re.S | re.M):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("$ tracer "):
                yield shlex.split(line.removeprefix("$ tracer "), comments=True)


def exists(setting: str) -> bool:
    """Whether a dotted name is a setting."""
    section, _, rest = setting.partition(".")
    fields = getattr(SECTIONS.get(section), "model_fields", {})
    return rest.partition(".")[0] in fields


def is_a_file(name: str) -> bool:
    """Whether a dotted name is a file or a module, which may be called like a section."""
    module = ROOT.joinpath("tracer_agents", *name.split(".")).with_suffix(".py")
    return name.endswith((".py", ".npz")) or module.is_file()


@pytest.mark.parametrize("page", PAGES, ids=label)
def test_settings_on_a_page_exist(page):
    text = page.read_text("utf-8")
    given = [word[2:].partition("=")[0] for words in commands_of(page) for word in words if re.match(r"--\w+\.", word)]
    named = re.findall(rf"`-{{0,2}}((?:{'|'.join(SECTIONS)})\.[a-z_0-9.]+)[:`]", text)
    unknown = [name for name in [*given, *named] if not exists(name) and not is_a_file(name)]

    assert unknown == []


def test_a_setting_that_does_not_exist_is_noticed():
    assert exists("task.options.grader")
    assert exists("trainer.steps")
    assert not exists("trainer.stepz")
    assert not exists("nothing.steps")


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands_of(page))], ids=label)
def test_commands_on_a_page_are_known(page, capsys):
    from tracer_agents.cli import main

    for words in commands_of(page):
        assert main([words[0], "--help"]) == 0
        known = set(re.findall(r"--[a-z]+", capsys.readouterr().out))
        used = {word.partition("=")[0] for word in words[1:] if word.startswith("--") and "." not in word}
        assert used <= known
