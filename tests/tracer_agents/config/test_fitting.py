"""What is chosen where the settings leave style and limits open."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.config.fitting import STYLE_FILE, default_limits, default_style
from tracer_env.errors import ConfigError

CHAT_MODEL = "Qwen/Qwen2.5-1.5B-Instruct"


def test_the_embedded_model_keeps_its_prompts_and_its_limits():
    config = load_config()
    assert (config.speakers.model, config.style) == ("tiny", "tiny")
    assert (config.limits.proposer, config.limits.reviewer) == (96, 96)
    assert config.token_budget == config.dialogue.rounds * 96


@pytest.mark.parametrize(
    ("task", "least"), [("gsm8k", 512), ("math500", 1024), ("gpqa_diamond", 1024), ("jsonl", 1024), ("hub:a/b", 1024)]
)
def test_chat_models_may_finish_what_a_task_asks_for(task, least):
    config = load_config(overrides={"speakers.model": CHAT_MODEL, "task.name": task})
    assert config.style == default_style(CHAT_MODEL) != "tiny"
    assert config.limits == default_limits(task, config.style)
    assert min(config.limits.proposer, config.limits.reviewer) >= least
    assert config.utility.max_new_tokens == config.limits.longest


def test_what_is_set_wins_for_either_role_alone():
    overrides = {"speakers.model": CHAT_MODEL, "task.name": "gsm8k", "speakers.reviewer_max_new_tokens": 64}
    config = load_config(overrides=overrides)
    assert (config.limits.proposer, config.limits.reviewer) == (512, 64)
    assert config.token_budget == config.dialogue.rounds * 512


def test_limits_go_by_the_style_that_is_set():
    """A chat model that was trained on the embedded model's terse prompts answers tersely."""
    config = load_config(overrides={"speakers.model": CHAT_MODEL, "speakers.style": "tiny"})
    assert config.limits.longest == 96


@pytest.mark.parametrize(
    ("said", "style"), [('{"style": "tiny"}', "tiny"), ('{"style": "chat"}', "chat"), (None, "boxed")]
)
def test_a_folder_says_which_style_it_was_trained_on(said, style, tmp_path):
    if said is not None:
        (tmp_path / STYLE_FILE).write_text(said, "utf-8")
    assert load_config(overrides={"speakers.model": str(tmp_path)}).style == style
    assert load_config(overrides={"speakers.model": str(tmp_path), "speakers.style": "boxed"}).style == "boxed"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"style": "boxes"}', "'boxes' is no"),
    ],
)
def test_a_style_that_is_none_is_refused(said, message, tmp_path):
    (tmp_path / STYLE_FILE).write_text(said, "utf-8")
    with pytest.raises(ConfigError, match=rf"tracer\.json: .*{message}"):
        default_style(str(tmp_path))
