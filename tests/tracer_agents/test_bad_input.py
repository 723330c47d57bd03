"""What a person may get wrong about models and servers: one clear line, before any work, and nothing is recorded."""

import json
import shutil
from typing import Any

import pytest
import yaml
from transformers import AutoTokenizer

from tracer_agents.cli import main


@pytest.fixture
def copied(small_folder, tmp_path):
    """A copy of the small model that may be damaged."""
    return shutil.copytree(small_folder, tmp_path / "copied")


@pytest.fixture
def run(tmp_path, capsys):
    """Runs a command with settings from a file; returns its exit status and what it says."""

    def command(name: str, settings: dict[str, Any]) -> tuple[int, str]:
        sections: dict[str, Any] = {}
        for dotted, value in settings.items():
            section, _, field = dotted.partition(".")
            sections.setdefault(section, {})[field] = value
        (tmp_path / "settings.yaml").write_text(yaml.safe_dump(sections))
        words = ["--config", str(tmp_path / "settings.yaml"), "--out", str(tmp_path / "out")]
        return main([name, *words]), capsys.readouterr().err

    return command


@pytest.fixture(params=["train", "eval", "fit"])
def refusal(request, run, tmp_path, monkeypatch):
    """Why a command refuses its settings, before a model is loaded."""

    def reason(settings: dict[str, Any], *, loads: bool = False) -> str:
        if not loads:
            monkeypatch.setattr("tracer_agents.build.policy._model", None)
        status, message = run(request.param, settings)
        assert status == 1
        left = {path.name for path in (tmp_path / "out").glob("*")}
        assert left <= {".lock", "config.yaml", "run.json"}  # begun, and begun again by the next try
        [message] = [row for row in message.splitlines() if row.startswith("error: ")]
        return message

    return reason


def test_a_folder_that_is_no_model(refusal, tmp_path):
    (tmp_path / "notes").mkdir()
    message = refusal({"speakers.model": str(tmp_path / "notes")})
    assert "holds no model: config.json is missing; give a folder in Hugging Face format" in message


def test_a_member_that_is_no_model(refusal, tmp_path):
    assert "there is no folder" in refusal(
        {"speakers.members": [{"model": str(tmp_path / "absent")}, {"model": "tiny"}]}
    )


def test_a_base_model_without_a_chat_template(refusal, copied):
    (copied / "chat_template.jinja").unlink()
    assert "has no chat template; use a chat model" in refusal({"speakers.model": str(copied)})


def test_a_context_smaller_than_the_prompt(refusal, copied):
    config = json.loads((copied / "config.json").read_text())
    (copied / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 32}))
    settings = {"speakers.proposer_max_new_tokens": 24, "speakers.reviewer_max_new_tokens": 24}
    message = refusal({"speakers.model": str(copied), **settings}, loads=True)
    assert "a context of 32 tokens less 24 for an utterance leaves 8 for prompts" in message


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("dtype", "bfloat16", "speakers.members.1.dtype: 'tiny' is a member twice"),
        ("train", False, "speakers.members.1.train: 'tiny' is a member twice, once trained, once frozen"),
    ],
)
def test_a_member_twice_in_two_ways(refusal, field, value, words):
    assert words in refusal({"speakers.members": [{"model": "tiny"}, {"model": "tiny", field: value}]})


@pytest.mark.parametrize("price", [0, -1])
def test_a_price_that_is_none(refusal, price):
    members = [{"model": "tiny"}, {"model": "tracer-small", "price": price}]
    message = refusal({"speakers.members": members})
    assert f"speakers.members.1.price: Input should be greater than 0 (got {price})" in message
    assert f"speakers.price: Input should be greater than 0 (got {price})" in refusal({"speakers.price": price})


@pytest.fixture
def locked(doubles, tmp_path):
    """A chat server that wants its key, and settings that name it."""
    with doubles.ChatServer(lambda body: "#### 1", wants_key=True) as server:
        settings = {"speakers.model": "m", "backend.name": "openai", "backend.url": server.url, "credit.train": False}
        yield server, {**settings, "backend.cache": str(tmp_path / "cache"), "backend.api_key_env": "MY_KEY"}


def test_a_key_that_is_not_set(refusal, locked, monkeypatch):
    server, settings = locked
    monkeypatch.delenv("MY_KEY", raising=False)
    assert "MY_KEY" in refusal(settings)
    assert server.bodies == []


def test_a_wrong_key_is_said_after_one_request_and_never_repeated(refusal, locked, monkeypatch):
    server, settings = locked
    monkeypatch.setenv("MY_KEY", "sk-wrong-987")
    message = refusal(settings)
    assert "backend.api_key_env" in message
    assert "MY_KEY" in message
    assert "sk-wrong-987" not in message
    assert len(server.bodies) <= 1


def test_a_tokenizer_without_pad_is_no_error(run, small_settings, copied, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(copied)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(copied)
    few = {"evaluation.questions": 2, "evaluation.baselines": False}
    assert run("eval", {**small_settings, "speakers.model": str(copied), **few})[0] == 0
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["after"]["n"] == 2
