"""Settings made in code are checked as those of files are."""

from typing import Any

import pytest
from pydantic import ValidationError

from tracer_agents.config import (
    BackendConfig,
    Config,
    DialogueConfig,
    EvaluationConfig,
    SpeakersConfig,
    TrainerConfig,
    load_config,
)
from tracer_env.errors import ConfigError

CONTRADICTIONS = [
    ({"dialogue": {"rounds": 4}}, ["dialogue.rounds", "odd"]),
    ({"trainer": {"steps": 3, "controller_steps": 4}}, ["trainer.controller_steps", "trainer.steps", "lower it"]),
    ({"backend": {"weights": "adapter"}}, ["backend.weights", "set speakers.lora_rank"]),
    ({"backend": {"name": "sglang"}}, ["backend.name", "backend.url", "backend.urls"]),
    ({"speakers": {"policy": "per_role"}}, ["speakers.policy", "set speakers.lora_rank"]),
    (
        {"controllers": {"expansion": "external"}, "credit": {"reviewer": "uplift"}},
        ["credit.reviewer", "controllers.expansion", "default"],
    ),
    (
        {"speakers": {"review": "verdict"}, "dialogue": {"revisions": True}},
        ["dialogue.revisions", "speakers.review: worked"],
    ),
    (
        {"speakers": {"review": "verdict"}, "credit": {"reviewer": "uplift"}},
        ["credit.reviewer: uplift", "speakers.review: worked"],
    ),
    ({"evaluation": {"certificate_questions": 1}}, ["evaluation.certificate_questions", "at least 2"]),
    ({"evaluation": {"checkpoint_questions": 1}}, ["evaluation.checkpoint_questions", "at least 2"]),
]


@pytest.mark.parametrize(("settings", "words"), CONTRADICTIONS)
def test_settings_that_contradict_each_other_are_refused_in_code_too(settings, words):
    with pytest.raises(ValidationError) as error:
        Config(**settings)
    assert all(word in str(error.value) for word in words)


@pytest.mark.parametrize(("settings", "words"), CONTRADICTIONS)
def test_a_files_contradictions_are_named_once_by_their_settings(settings, words):
    with pytest.raises(ConfigError) as error:
        load_config(overrides=settings)
    assert all(word in str(error.value) for word in words)
    assert "got {" not in str(error.value)


@pytest.mark.parametrize(
    ("section", "values"),
    [
        (DialogueConfig, {"rounds": 2}),
        (TrainerConfig, {"steps": 1, "controller_steps": 2}),
        (EvaluationConfig, {"checkpoint_questions": 1}),
        (BackendConfig, {"name": "sglang", "url": "http://a", "urls": {"shared": "http://b"}}),
        (SpeakersConfig, {"policy": "per_agent_role"}),
    ],
)
def test_a_section_checks_what_it_can_alone(section: Any, values):
    with pytest.raises(ValidationError):
        section(**values)


def test_every_setting_says_what_it_means():
    for name, field in Config.model_fields.items():
        fields = getattr(field.annotation, "model_fields", {name: field})
        assert [each for each, info in fields.items() if not info.description] == []


def test_dialogues_too_long_to_be_expanded_are_refused_with_the_settings_that_help():
    long = {"dialogue.rounds": 21}
    with pytest.raises(
        ConfigError, match=r"dialogue.rounds: .* 1,048,576 utterances .* controllers.expansion: external"
    ):
        load_config(overrides=long)
    settings = {"evaluation.certificate_questions": 0, "evaluation.checkpoint_questions": 0}
    with pytest.raises(ConfigError, match=r"set controllers\.expansion: external$"):
        load_config(overrides=long | settings)
    assert load_config(overrides=long | settings | {"controllers.expansion": "external"}).dialogue.rounds == 21
    with pytest.raises(ConfigError, match="4,096 are the most; choose fewer rounds"):
        load_config(overrides=long | settings | {"controllers.expansion": "external", "dialogue.n_agents": 1})


@pytest.mark.parametrize(
    ("review", "revisions", "seen"),
    [
        ("worked", None, True),
        ("verdict", None, False),
        ("worked", True, True),
        ("worked", False, False),
        ("verdict", False, False),
    ],
)
def test_proposers_see_reviews_that_are_worked_out_unless_the_settings_say_otherwise(review, revisions, seen):
    config = Config.model_validate({"speakers": {"review": review}, "dialogue": {"revisions": revisions}})

    assert config.rules.revisions is seen
