"""Settings as options of a command: every one of them, with its values, and what stands between them."""

import click
import pytest

from tracer_agents.config import Config, load_config
from tracer_agents.config.options import settings, take_settings
from tracer_agents.config.sources import setting_names


def test_every_setting_is_described():
    described = {setting.name: setting for setting in settings()}

    assert list(described) == list(dict.fromkeys(["seed", *setting_names()]))
    assert described["trainer.steps"].type == "INTEGER ≥ 0"
    assert described["trainer.steps"].default == str(Config().trainer.steps)
    assert described["dialogue.schedule"].type == "rotate|parity"
    assert described["speakers.lora_rank"].type == "INTEGER|null ≥ 1"
    assert described["gspo.beta2"].type == "NUMBER > 0, < 1"
    assert described["controllers.train"].choices == ("true", "false")
    assert described["task.options"].keyed


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        (["--speakers.lora_rank", "null"], "speakers.lora_rank", None),
        (["--speakers.lora_targets", "[q_proj, v_proj]"], "speakers.lora_targets", ["q_proj", "v_proj"]),
        (["--task.options={level: 2}"], "task.options", {"level": 2}),
        (["--task.options.level", "2"], "task.options.level", 2),
        (["--task.options.a.b=2"], "task.options.a.b", 2),
        (["--backend.urls.shared", "http://x:1"], "backend.urls.shared", "http://x:1"),
        (["--evaluation.greedy", "false"], "evaluation.greedy", False),
        (["--gspo.learning_rate=1e-3"], "gspo.learning_rate", "1e-3"),  # YAML 1.1's text, which is read as a number
        (["--gspo.kl", "-3"], "gspo.kl", -3),
        (["--task.data="], "task.data", None),
        (["--seed", "4"], "seed", 4),
    ],
)
def test_values_are_read_as_yaml(words, name, value):
    assert take_settings(["run", *words, "--out", "x"]) == ({name: value}, ["run", "--out", "x"])


def test_other_words_keep_their_order():
    words = [
        "run",
        "--methods",
        "a",
        "b",
        "--trainer.steps",
        "3",
        "--tasks",
        "t-1",
        "-j",
        "2",
        "--dry-run",
        "--out",
        "x",
    ]

    assert take_settings(words) == (
        {"trainer.steps": 3},
        [word for word in words if word not in ("--trainer.steps", "3")],
    )


def test_later_words_win():
    given, _ = take_settings(
        ["--task.options.level", "2", "--trainer.steps", "1", "--trainer.steps", "3", "--task.options.level", "1"]
    )
    assert load_config(overrides=given).trainer.steps == 3
    given, _ = take_settings(["--task.options", "{level: 2, a: 1}", "--task.options.level", "1"])
    assert load_config(overrides=given).task.options == {"level": 1, "a": 1}
    given, _ = take_settings(["--task.options.level", "1", "--task.options", "{a: 1}"])
    assert load_config(overrides=given).task.options == {"a": 1}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--trainer.stepz", "3"], r"no setting '--trainer\.stepz'; did you mean trainer\.steps\?"),
        (["--trainer.steps"], r"--trainer\.steps"),
        (["--trainer.steps", "--out"], r"--trainer\.steps needs a value"),
        (["--trainer.steps", "["], r"--trainer\.steps: '\[' cannot be read as YAML"),
    ],
)
def test_mistakes_name_the_setting(words, message):
    with pytest.raises(click.UsageError, match=message):
        take_settings(words)
