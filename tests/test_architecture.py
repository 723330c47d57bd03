"""Tests of the architecture: which way imports go, what an import does, and what is shipped."""

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("tracer_env", "tracer_agents")
HEAVY = {"torch", "transformers", "peft", "datasets", "sympy", "math_verify", "httpx", "scipy"}
LIGHT = ("tracer_env", "tracer_agents.game", "tracer_agents.controllers", "tracer_agents.credit")


def python(code: str, cwd: Path | None = None) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_of(package: str) -> list[str]:
    """Every module below a package, by its dotted name."""
    folder = ROOT.joinpath(*package.split("."))
    paths = (path.relative_to(ROOT).with_suffix("") for path in sorted(folder.rglob("*.py")))
    return [".".join(path.parts) for path in paths if path.name not in ("__init__", "__main__", "math_worker")]


def loaded_by(modules: list[str]) -> set[str]:
    """The top-level packages in memory after importing the modules in a fresh interpreter."""
    imports = "\n".join(f"import {module}" for module in modules)
    return set(json.loads(python(f"{imports}\nimport sys, json\nprint(json.dumps(list(sys.modules)))")))


def test_import_contracts_hold():
    done = subprocess.run(
        [Path(sys.executable).parent / "lint-imports", "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_importing_the_environment_loads_nothing_heavy():
    loaded = loaded_by(["tracer_env", *modules_of("tracer_env")])

    assert "tracer_env.debate_v0" in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize("package", [package for package in LIGHT if package != "tracer_env"])
def test_the_maths_loads_no_torch(package):
    loaded = loaded_by(modules_of(package))

    assert loaded & {"torch", "transformers", "peft"} == set()


def test_help_of_the_command_loads_no_torch():
    code = """
import json, sys
from tracer_agents.cli import main
main(["train", "--help"])
print(json.dumps(list(sys.modules)))
"""
    assert "torch" not in json.loads(python(code).splitlines()[-1])


def test_registering_twice_changes_nothing_and_does_not_warn():
    code = """
import importlib, json, warnings
import pettingzoo
before = set(pettingzoo.aec_registry), set(pettingzoo.parallel_registry)
import tracer_env
once = set(pettingzoo.aec_registry), set(pettingzoo.parallel_registry)
warnings.simplefilter("error")
importlib.reload(tracer_env)
twice = set(pettingzoo.aec_registry), set(pettingzoo.parallel_registry)
added = [sorted(map(str, after - earlier)) for earlier, after in zip(before, once)]
agents = [pettingzoo.make(api, "tracer/debate_v0").possible_agents for api in ("aec", "parallel")]
print(json.dumps({"added": added, "same": once == twice, "agents": agents}))
"""
    said = json.loads(python(code).splitlines()[-1])

    assert said["added"] == [["tracer/debate-v0"]] * 2
    assert said["same"]
    assert said["agents"][0] == said["agents"][1]
    assert "controller_0" in said["agents"][0]


def test_every_module_is_on_the_map():
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    modules = [name.split(".") for package in PACKAGES for name in modules_of(package)]

    missing = [
        ".".join(parts) for parts in modules if f"`{'/'.join(parts[1:])}`" not in page and f"`{parts[-1]}`" not in page
    ]

    assert missing == []


def test_a_newcomer_can_hold_a_room_in_mind():
    flat = [path.name for path in (ROOT / "tracer_agents").glob("*.py")]
    assert len(flat) <= 9, flat

    paths = [path for folder in (*PACKAGES, "benchmarks", "scripts") for path in (ROOT / folder).rglob("*.py")]
    functions = [
        (f"{path.relative_to(ROOT)}: {node.name}", (node.end_lineno or 0) - node.lineno + 1)
        for path in paths
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef)
    ]
    assert [function for function in functions if function[1] > 60] == []


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> Path:
    """What a wheel is built from, beside things that must not be in it."""
    folder = tmp_path_factory.mktemp("clone")
    for name in (*PACKAGES, "benchmarks", "tests", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.draft"))
    for name in ("pyproject.toml", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory) -> Path:
    """The wheel, built with the packages at hand."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, sources]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [built] = out.glob("*.whl")
    return built


def test_the_wheel_holds_the_two_packages_and_nothing_else(sources, wheel):
    with ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}

    there = {
        str(path.relative_to(sources))
        for package in PACKAGES
        for path in (sources / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert inside == there
    assert {
        "tracer_env/py.typed",
        "tracer_agents/py.typed",
        "tracer_agents/presets/demo.yaml",
        "tracer_agents/assets/tracer-tiny/model.safetensors",
        "tracer_agents/assets/tracer-small/model.safetensors",
        "tracer_agents/assets/tabular/default.json",
    } <= inside


@pytest.mark.slow
def test_the_wheel_works_from_an_empty_directory(wheel, tmp_path):
    venv, empty = tmp_path / "venv", tmp_path / "empty"
    empty.mkdir()
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    target = [sys.executable, "-m", "pip", "--quiet", "--python", venv / "bin" / "python", "install"]
    subprocess.run([*target, "--no-deps", "--no-index", wheel], check=True)
    [packages] = venv.glob("lib/python*/site-packages")
    # dependencies from the environment at hand, whose own editable install of this project stays out of sight
    (packages / "dependencies.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    brief = {
        "trainer.steps": 1,
        "trainer.questions_per_step": 1,
        "trainer.controller_questions_per_step": 4,
        "controllers.validation_questions": 1,
        "evaluation.questions": 2,
        "evaluation.baselines": "false",
        "evaluation.greedy": "false",
        "evaluation.certificate_questions": 2,
        "evaluation.checkpoint_questions": 0,
        "evaluation.bootstrap": 100,
    }
    options = [word for name, value in brief.items() for word in (f"--{name}", str(value))]

    done = subprocess.run(
        [venv / "bin" / "tracer", "train", "demo", "--out", "run", *options],
        cwd=empty,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert "before training" in done.stdout
    assert (empty / "run" / "summary.json").is_file()
    where = "import tracer_env, tracer_agents.cli as c; print(tracer_env.__file__); print(c.__file__)"
    found = subprocess.run(
        [venv / "bin" / "python", "-c", where], cwd=empty, capture_output=True, text=True, check=True
    )
    assert all(Path(line).is_relative_to(packages) for line in found.stdout.split())
