"""Recipes for clusters: their syntax is right, and the commands in them are those of this version."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from benchmarks.__main__ import _parser, plan_of
from tracer_agents.cli import tracer
from tracer_agents.config.options import take_settings

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").iterdir())
SCRIPTS = [recipe for recipe in RECIPES if recipe.suffix == ".sbatch"]
EXAMPLES = {"$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT": "3/8", '"${arguments[@]}"': "", "$port": "31003"}


def commands_of(text: str) -> list[list[str]]:
    """Every call of ours in a script, with its variables at their defaults."""
    for variable, example in EXAMPLES.items():
        text = text.replace(variable, example)
    text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text).replace("\\\n", " ")
    commands = re.findall(r"\.venv/bin/((?:tracer|python -m benchmarks) .*?)(?: &)?$", text, flags=re.M)
    return [shlex.split(words) for words in commands]


def check(words: list[str]) -> None:
    """Raises what the command raises for words that it does not know."""
    if words[0] == "tracer":
        command = tracer.commands[words[1]]
        command.make_context(words[1], words[2:], resilient_parsing=False)
        return
    settings, rest = take_settings(words[3:])
    options = _parser().parse_args(rest)
    options.config = ROOT / options.config
    plan_of(options, settings)


def test_there_are_recipes():
    assert len(SCRIPTS) == 3
    assert len(RECIPES) == 4


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_bash_with_options_that_come_first(script):
    checked = subprocess.run(["bash", "-n", script], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr
    lines = script.read_text("utf-8").splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(number for number, each in enumerate(lines) if each and not each.startswith("#"))
    options = [number for number, each in enumerate(lines) if each.startswith("#SBATCH --")]
    assert options
    assert max(options) < first


def test_the_sky_file_has_what_it_needs_and_its_scripts_are_bash():
    task = yaml.safe_load((ROOT / "recipes" / "benchmark.sky.yaml").read_text("utf-8"))

    assert set(task) == {"name", "resources", "workdir", "setup", "run"}
    for part in ("setup", "run"):
        checked = subprocess.run(["bash", "-n"], input=task[part], capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.name)
def test_commands_of_a_recipe_can_be_typed(recipe):
    text = recipe.read_text("utf-8")
    scripts = "\n".join(yaml.safe_load(text)[part] for part in ("setup", "run")) if recipe.suffix == ".yaml" else text
    commands = commands_of(scripts)

    assert commands
    for words in commands:
        check(words)


def test_a_command_that_cannot_be_typed_is_noticed():
    with pytest.raises(SystemExit):
        check(shlex.split("python -m benchmarks run --config configs/arithmetic.yaml --out x --executor slurm"))


def test_the_images_pin_what_the_makefile_pins():
    image, makefile = (ROOT / "Dockerfile").read_text("utf-8"), (ROOT / "Makefile").read_text("utf-8")

    for package in ("torch==", "sglang=="):
        versions = [set(re.findall(rf"{package}([\d.]+)", text)) for text in (image, makefile)]
        assert versions[0] == versions[1] != set()
    copied = re.findall(r"^COPY (.*) \S+$", image, flags=re.M)
    assert all((ROOT / name).exists() for names in copied for name in names.split())
