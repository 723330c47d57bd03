"""Tests of what the documentation says: its code runs, its links lead somewhere, its settings exist."""

import ast
import importlib.util
import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.__main__ import _parser as benchmarks_parser
from tracer_agents.cli import tracer
from tracer_agents.config import Config, load_config
from tracer_agents.config.options import given_settings, take_settings
from tracer_env.errors import TracerError

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
    assert "reviewer 1 speaks" in capsys.readouterr().out


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
    write_files(page.read_text("utf-8"))

    assert run_code(page)


def write_files(text: str) -> None:
    """Writes the files that a page or a section shows whole into the working directory."""
    for name, content in re.findall(r'^```\w+ title="([\w.-]+)"\n(.*?)^```', text, flags=re.S | re.M):
        Path(name).write_text(content, "utf-8")


def sections_with_files(page: Path) -> list[str]:
    """The sections of a page that show whole files: blocks with a title, which is the file's name."""
    parts = re.split(r"^## ", page.read_text("utf-8"), flags=re.M)
    return [part for part in parts if re.search(r"^```\w+ title=", part, flags=re.M)]


@pytest.mark.parametrize("page", [page for page in WITH_CODE if sections_with_files(page)], ids=label)
def test_the_files_of_a_section_serve_its_commands(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for section in sections_with_files(page):
        write_files(section)
        consoles = "".join(re.findall(r"^```console\n(.*?)^```", section, flags=re.S | re.M)).replace("\\\n", " ")
        typed = [shlex.split(words) for words in re.findall(r"^\$ tracer (.*)$", consoles, flags=re.M)]
        assert typed
        for words in typed:
            result = CliRunner().invoke(tracer, words)
            assert result.exit_code == 0, result.output


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
    for words in shell_lines(page):
        if words[0] == "tracer":
            yield words[1:]


def shell_lines(page: Path) -> Iterator[list[str]]:
    """The words of every command in a page's console blocks and code spans, or in the head of a YAML file.

    What a synopsis leaves open, in brackets, is left out; so are variables before a command.
    """
    text = page.read_text("utf-8")
    if page.suffix == ".yaml":
        typed_lines = [match[1] for match in re.finditer(r"^#   ?(\S.*)$", text, flags=re.M)]
    else:
        fenced = re.findall(r"^```(.*?)\n(.*?)^```", text, flags=re.S | re.M)
        blocks = [block for language, block in fenced if language in ("", "console", "bash", "sh", "shell")]
        shown = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
        typed_lines = [line.removeprefix("$ ") for line in shown if re.match(r"\$ |(pip|tracer|python|make) ", line)]
        prose = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
        typed_lines += [
            span for span in re.findall(r"`([^`\n]+)`", prose) if re.match(r"(pip|tracer|python -m) ", span)
        ]
    for line in typed_lines:
        words = shlex.split(
            re.sub(r"\[[^]]*\]", "", line) if "[PRESET]" in line or "[--" in line else line, comments=True
        )
        words = [word for word in words if not re.fullmatch(r"[A-Z_]+=\S*", word)]
        if words and words[0] in ("tracer", "python", "pip", "make"):
            yield words


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


COMMANDED = [*PAGES, *sorted(ROOT.glob("tracer_agents/presets/*.yaml")), *sorted(ROOT.glob("configs/*.yaml"))]
COMMANDED = [page for page in COMMANDED if any(shell_lines(page))]


@pytest.mark.parametrize("page", COMMANDED, ids=label)
def test_commands_on_a_page_can_be_typed(page):
    for words in shell_lines(page):
        check_command(words)


def check_command(words: list[str]) -> None:
    """Reads a command as its program would, without doing what it says."""
    match words:
        case ["tracer", "--version"] | ["tracer", "--help"] | ["tracer"]:
            return
        case ["tracer", name, *rest]:
            command = tracer.commands[name]
            if rest and not any(word in ("--help", "…") for word in rest):
                read_command(command, rest)
        case ["python", "-m", "benchmarks", name, *rest]:
            settings, others = take_settings([name, *rest])
            incomplete = name == "run" and "--out" not in others  # as running text may be
            benchmarks_parser().parse_args([*others, "--out", "x"] if incomplete else others)
            assert load_config(preset="demo", overrides=settings)
        case ["python", "-m", module, *rest]:
            check_module(module, rest)
        case ["python", script, *_]:
            assert (ROOT / script).is_file(), script
        case ["make", *targets]:
            makefile = (ROOT / "Makefile").read_text("utf-8")
            assert all(re.search(rf"^{target}\b.*:", makefile, flags=re.M) for target in targets), targets
        case ["pip", "install", *packages]:
            check_packages(packages)


def read_command(command: click.Command, words: list[str]) -> None:
    """Parses the words; commands in running text may leave out what a reader knows to add."""
    try:
        context = command.make_context(command.name, list(words))
    except click.MissingParameter:
        return
    except click.BadOptionUsage as error:
        if "requires an argument" not in error.message:
            raise
        return
    load_config(preset=context.params.get("preset"), overrides=given_settings(context))


def check_module(module: str, words: list[str]) -> None:
    """Whether the module is there and knows the options; its options stand in its source, or in its package's.

    What follows ``--`` are settings that it passes on; a module may also take settings among its options.
    """
    if "--" in words:
        settings, others = take_settings(words[words.index("--") + 1 :])
        assert not others
        assert load_config(overrides=settings)
        words = words[: words.index("--")]
    place = ROOT.joinpath(*module.split("."))
    sources = [path for path in (place.with_suffix(".py"), place / "__main__.py") if path.is_file()]
    first = module.partition(".")[0]
    assert sources or (not (ROOT / first).is_dir() and importlib.util.find_spec(first)), module
    for source in sources:
        options = {word.partition("=")[0] for word in words if word.startswith("--")}
        text = source.read_text("utf-8")
        if "take_settings(" in text:
            settings, others = take_settings([word for word in words if word != "…"])
            assert load_config(overrides=settings)
            options = {word.partition("=")[0] for word in others if word.startswith("--")}
        assert [option for option in options if f'"{option}"' not in text] == [], module


def check_packages(words: list[str]) -> None:
    """This project is on no index: it is installed from a clone, with extras that exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for word in words:
        assert not word.startswith("tracer"), word
        for extra in re.findall(r"^\.\[(.*)\]$", word):
            assert set(extra.split(",")) <= set(extras), word


def test_commands_that_cannot_be_typed_are_noticed():
    for wrong in (
        "pip install 'tracer-debate[marl]'",
        "pip install -e '.[nothing]'",
        "tracer train demo --out x --trainer.stepz 3",
        "tracer train dmo --out x",
        "tracer serve M --context-length 4096",
        "python -m benchmarks run --nothing --out x",
        "python -m benchmarks.nothing",
        "make nothing",
    ):
        with pytest.raises((AssertionError, click.UsageError, SystemExit, TracerError)):
            check_command(shlex.split(wrong))
    check_command(shlex.split("tracer serve MODEL --python P -- --context-length 4096"))


def imported_names(code: str) -> set[str]:
    """Names that a block's imports bind."""
    nodes = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom)]
    return {(alias.asname or alias.name).partition(".")[0] for node in nodes for alias in node.names}


def borrowed_imports(page: Path) -> list[str]:
    """Names that one section of a page uses and another one, not the page's beginning, imports."""
    parts = re.split(r"^## ", page.read_text("utf-8"), flags=re.M)
    codes = ["\n".join(re.findall(r"^```python\n(.*?)^```", part, flags=re.S | re.M)) for part in parts]
    imports = [imported_names(code) for code in codes]
    return [
        f"{part.partition(chr(10))[0]}: {node.id}"
        for number, (part, code) in enumerate(zip(parts, codes, strict=True))
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Name)
        and node.id not in imports[0] | imports[number]
        and any(node.id in names for names in imports)
    ]


@pytest.mark.parametrize("page", [page for page in PAGES if code_of(page)], ids=label)
def test_a_section_imports_what_it_uses(page):
    assert borrowed_imports(page) == []
