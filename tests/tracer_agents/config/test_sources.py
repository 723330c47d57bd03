"""Settings from presets, files and overrides: merged, checked, written and read back."""

from typing import get_args

import pytest
import yaml

from tracer_agents.config import PRESETS, Config, MinimiserName, dump_config, load_config, policy_of
from tracer_agents.controllers.regret import MINIMISERS
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError


def test_defaults_need_nothing():
    assert load_config() == Config()


@pytest.mark.parametrize("preset", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_presets_are_valid_and_complete_when_dumped(preset, tmp_path):
    config = load_config(preset=preset)
    file = tmp_path / "config.yaml"
    file.write_text(dump_config(config))
    assert load_config(file=file) == config
    assert yaml.safe_load(file.read_text()).keys() == Config.model_fields.keys()


def test_later_sources_win_field_by_field(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("trainer: {steps: 7, questions_per_step: 3}\ndialogue: {rounds: 3}\n")
    config = load_config(preset="demo", file=file, overrides={"trainer.steps": 9, "trainer.controller_steps": 0})
    demo = load_config(preset="demo")
    assert (config.trainer.steps, config.trainer.questions_per_step, config.dialogue.rounds) == (9, 3, 3)
    assert config.dialogue.infoset == demo.dialogue.infoset
    assert config.gspo == demo.gspo


def test_a_whole_section_as_override_replaces_it(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("task: {name: jsonl, data: train.jsonl, options: {grader: numeric}}\n")
    config = load_config(file=file, overrides={"task": {"name": "gsm8k"}, "task.eval_data": "test.jsonl"})
    assert config.task.model_dump() == {"name": "gsm8k", "data": None, "eval_data": "test.jsonl", "options": {}}


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("trainer.stepz", 3),
        ("trainer.steps", -1),
        ("trainer.steps", "many"),
        ("dialogue.n_agents", 0),
        ("dialogue.schedule", "random"),
        ("dialogue.price_of_speech", -0.1),
        ("dialogue.price_of_speech", float("nan")),
        ("controllers.minimiser", "Foo"),
        ("controllers.exploration", 1.5),
        ("credit.group_size", 1),
        ("gspo.learning_rate", 0),
        ("evaluation.questions", 0),
        ("seed", -1),
    ],
)
def test_unusable_settings_name_their_field(dotted, value):
    with pytest.raises(ConfigError) as error:
        load_config(overrides={dotted: value})
    assert dotted in str(error.value)


def test_every_problem_is_named_at_once():
    with pytest.raises(ConfigError) as error:
        load_config(overrides={"trainer.steps": -1, "gspo.loss": "ppo"})
    assert "trainer.steps" in str(error.value)
    assert "gspo.loss" in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        ({"dialogue.rounds": 4}, "rounds"),
        ({"trainr.steps": 3}, r"trainr: there is no such setting; did you mean trainer\?"),
        ({"trainer.stepz": 3}, r"trainer\.stepz: there is no such setting; did you mean trainer\.steps\?"),
        ({"trainer.steps": 3, "trainer.controller_steps": 4}, "trainer.controller_steps"),
        ({"seed": 3, "seed.steps": 4}, "'seed' is not a section"),
        ({"speakers.policy": "per_role"}, r"'per_role' takes adapters on one frozen model: set speakers\.lora_rank"),
        ({"backend.weights": "adapter"}, r"backend\.weights: adapter needs adapters: set speakers\.lora_rank"),
    ],
)
def test_settings_that_do_not_go_together(overrides, named):
    with pytest.raises(ConfigError, match=named):
        load_config(overrides=overrides)


@pytest.mark.parametrize(
    ("scheme", "names"),
    [
        ("shared", ("shared",)),
        ("per_role", ("proposer", "reviewer")),
        ("per_agent_role", ("proposer_0", "reviewer_0", "proposer_1", "reviewer_1", "proposer_2", "reviewer_2")),
    ],
)
def test_policies_go_by_role_and_agent(scheme, names):
    config = load_config(overrides={"speakers.policy": scheme, "speakers.lora_rank": 4, "dialogue.n_agents": 3})
    assert config.policies == names
    assert policy_of(scheme, Role.REVIEWER, 1) == names[min(3, len(names) - 1)]


def test_unknown_preset_lists_those_there_are():
    with pytest.raises(ConfigError, match=r"no preset 'dmo'.*did you mean demo\?"):
        load_config(preset="dmo")


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"trainer: [", "cannot be read as YAML"), (b"- 1\n", "must be a mapping"), (b"\xff\xfe\xff", "cannot be read")],
)
def test_unreadable_files_are_named(tmp_path, content, problem):
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=problem) as error:
        load_config(file=file)
    assert str(file) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_config(file=tmp_path / "absent.yaml")
    (tmp_path / "empty.yaml").write_text("")
    assert load_config(file=tmp_path / "empty.yaml") == Config()


def test_settings_cannot_be_changed_afterwards():
    with pytest.raises(ValueError, match="frozen"):
        load_config().trainer.steps = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_every_minimiser_can_be_named():
    assert set(get_args(MinimiserName)) == set(MINIMISERS)


def test_utility_is_priced_over_the_longest_dialogue():
    config = load_config(
        overrides={
            "dialogue.price_of_speech": 0.5,
            "dialogue.rounds": 3,
            "speakers.proposer_max_new_tokens": 10,
            "speakers.reviewer_max_new_tokens": 20,
        }
    )
    assert config.utility(True, 30) == pytest.approx(1 - 0.5 * 30 / 60)


def test_the_token_form_of_older_settings_is_refused_with_what_to_set_instead():
    with pytest.raises(ConfigError, match=r"gspo\.loss: .*gspo_token is gone.*set gspo\.loss: gspo"):
        load_config(overrides={"gspo.loss": "gspo_token"})
