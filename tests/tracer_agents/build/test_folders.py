"""What is no model is refused with what it is instead, before anything is loaded."""

import json
import shutil

import pytest
from transformers import AutoTokenizer

from tracer_agents.build import build, load_policy
from tracer_env.errors import ConfigError


@pytest.fixture
def copied(small_folder, tmp_path):
    """A copy of the small model, to be damaged."""
    return shutil.copytree(small_folder, tmp_path / "copied")


@pytest.fixture
def refusal(small_config, monkeypatch):
    """Why a model is refused; nothing may be loaded."""

    def reason(model) -> str:
        monkeypatch.setattr("tracer_agents.build.policy._model", None)
        with pytest.raises(ConfigError) as raised:
            load_policy(small_config({"speakers.model": str(model)}))
        return str(raised.value)

    return reason


def test_a_folder_without_a_model(refusal, tmp_path):
    (tmp_path / "notes.txt").write_text("milk")
    assert "holds no model: config.json is missing" in refusal(tmp_path)


def test_a_file_and_nothing(refusal, tmp_path, copied):
    assert "is a file" in refusal(copied / "model.safetensors")
    assert "there is no folder" in refusal(tmp_path / "absent")
    assert "there is no folder './absent'" in refusal("./absent")


def test_a_run_is_named_as_one_with_the_commands_that_take_it(refusal, tmp_path):
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    (tmp_path / "run" / "config.yaml").write_text("seed: 0\n")
    message = refusal(tmp_path / "run")
    assert "holds a run" in message
    assert f"tracer eval {tmp_path / 'run'} --out DIR" in message
    assert f"tracer export {tmp_path / 'run'} --out DIR" in message


def test_an_adapter_alone(refusal, tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    assert "holds an adapter" in refusal(tmp_path)


def test_a_model_without_its_tokenizer(refusal, copied):
    for path in copied.glob("tokenizer*"):
        path.unlink()
    assert "has no tokenizer" in refusal(copied)


def test_a_model_without_its_weights(refusal, copied):
    (copied / "model.safetensors").unlink()
    assert "has no weights" in refusal(copied)


def test_damaged_weights_are_told_in_a_line(small_config, copied):
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ConfigError, match=r"speakers\.model: cannot load .*copied") as raised:
        load_policy(small_config({"speakers.model": str(copied)}))
    assert "\n" not in str(raised.value)


def test_a_base_model_without_a_chat_template(refusal, copied):
    (copied / "chat_template.jinja").unlink()
    assert "has no chat template; use a chat model" in refusal(copied)


def test_a_tokenizer_without_pad_is_padded_with_a_token_that_the_model_has(small_config, copied):
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copied)
    policy = load_policy(small_config({"speakers.model": str(copied)}))
    assert policy.tokenizer.pad_token_id is None
    assert policy.pad_id == policy.tokenizer.eos_token_id


def test_a_context_that_no_prompt_fits_into(small_config, copied):
    path = copied / "config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "max_position_embeddings": 32}))
    limits = {"speakers.proposer_max_new_tokens": 8, "speakers.reviewer_max_new_tokens": 8}
    with pytest.raises(ConfigError, match=r"a context of 32 tokens.*leaves 24 for prompts.*lower them"):
        build(small_config({"speakers.model": str(copied), **limits}))
    with pytest.raises(ConfigError, match="leave no room for a prompt in a context of 32"):
        build(small_config({"speakers.model": str(copied), "speakers.proposer_max_new_tokens": 32}))
