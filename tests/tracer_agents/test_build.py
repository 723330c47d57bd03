"""Settings become objects that belong together."""

import pytest
import torch

from tracer_agents.build import build, build_task, load_policy
from tracer_agents.generation.sglang.backend import SGLangBackend
from tracer_agents.generation.sglang.weights import DiskWeights
from tracer_env.errors import ConfigError


def test_parts_share_one_model(small_config):
    parts = build(small_config())
    assert parts.backend._weights is parts.policy.weights is parts.learner._weights
    assert not parts.policy.model.training  # no dropout, neither when sampling nor when scoring
    temperatures = (parts.training_speakers.temperature, parts.speakers.temperature, parts.greedy_speakers.temperature)
    assert temperatures == (1.0, 1.0, 0.0)


def test_evaluation_may_sample_at_another_temperature_but_training_may_not(small_config):
    parts = build(small_config({"speakers.temperature": 0.3}))
    assert (parts.speakers.temperature, parts.training_speakers.temperature) == (0.3, 1.0)


def test_weights_come_from_the_checkpoint(small_config, tmp_path):
    config = small_config()
    first = load_policy(config)
    with torch.no_grad():
        next(first.model.parameters()).mul_(2)
    first.model.save_pretrained(tmp_path)
    first.tokenizer.save_pretrained(tmp_path)
    again, original = load_policy(config, tmp_path), load_policy(config)
    assert torch.equal(next(again.model.parameters()), next(first.model.parameters()))
    assert not torch.equal(next(again.model.parameters()), next(original.model.parameters()))


@pytest.mark.parametrize(("given", "used"), [(None, "chat"), ("tiny", "tiny"), ("chat", "chat")])
def test_prompt_style_follows_the_model_unless_named(small_config, given, used):
    assert load_policy(small_config({"speakers.style": given})).style == used


def test_precision_is_the_one_asked_for(small_config):
    policy = load_policy(small_config({"speakers.dtype": "bfloat16"}))
    assert {parameter.dtype for parameter in policy.model.parameters()} == {torch.bfloat16}


def test_devices_that_are_not_there(small_config):
    for name in ("abacus", "cuda:99"):
        with pytest.raises(ConfigError, match=r"speakers\.device"):
            load_policy(small_config({"speakers.device": name}))


def test_kl_without_room_on_the_disk_says_what_to_do(small_config, monkeypatch):
    def full(*_) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full)
    with pytest.raises(ConfigError, match=r"gspo\.kl: .*No space left.*TMPDIR"):
        load_policy(small_config({"gspo.kl": 0.1}))
    load_policy(small_config({"gspo.kl": 0.1, "speakers.lora_rank": 3}))  # adapters need none


def test_task_options_reach_the_task(small_config):
    assert (
        build_task(small_config({"task.options": {"level": "2-3"}}))
        .draw("test", 0, 1, seed=0)[0]
        .id.startswith("arithmetic-2-3-test")
    )


SERVERS = {"proposer": ["http://127.0.0.1:9"], "reviewer": ["http://127.0.0.1:10"]}  # nobody listens there
PER_ROLE = {"speakers.policy": "per_role", "speakers.lora_rank": 3, "backend.name": "sglang"}


def test_whole_models_go_to_a_server_each(small_config):
    with build(small_config({**PER_ROLE, "backend.urls": SERVERS})) as parts:
        assert isinstance(parts.backend, SGLangBackend)
        served = parts.backend.policies
    assert {name: [worker.url for worker in one.workers] for name, one in served.items()} == SERVERS
    assert all(isinstance(one.weights, DiskWeights) for one in served.values())


def test_adapters_share_a_server(small_config, tmp_path):
    settings = {**PER_ROLE, "backend.url": "http://127.0.0.1:9", "backend.weights": "adapter"}
    parts = build(small_config({**settings, "backend.weights_folder": str(tmp_path)}))
    assert isinstance(parts.backend, SGLangBackend)
    proposer, reviewer = parts.backend.policies.values()
    assert proposer is reviewer
    parts.backend.publish(1)
    [published] = (tmp_path / "proposer-reviewer").iterdir()
    assert sorted(path.name for path in published.iterdir()) == ["proposer", "reviewer"]
    assert {path.name for path in (published / "reviewer").iterdir()} == {
        "adapter_config.json",
        "adapter_model.safetensors",
    }


def test_nothing_is_left_behind_when_the_parts_end(small_config, tmp_path, monkeypatch):
    """Neither weights for servers nor the initial weights of KL stay on the disk."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with build(small_config({"backend.name": "sglang", "backend.url": "http://127.0.0.1:9", "gspo.kl": 0.1})) as parts:
        assert isinstance(parts.backend, SGLangBackend)
        parts.backend.publish(1)
        assert list(tmp_path.glob("tracer-weights-*/shared/*/model.safetensors"))
        [worker] = parts.backend.policies["shared"].workers
        with parts.policy.weights.reference():  # still there
            pass
    assert list(tmp_path.iterdir()) == []
    assert worker._client.is_closed


def test_nothing_is_left_behind_where_servers_and_policies_do_not_match(small_config, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(ConfigError, match="servers for"):
        build(small_config({"backend.name": "sglang", "backend.urls": {"critic": "http://127.0.0.1:9"}}))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend.url": "http://127.0.0.1:9"}, "a server holds one policy, got proposer, reviewer"),
        (
            {"backend.urls": {"proposer": ["http://127.0.0.1:9"]}},
            r"policies are \['proposer', 'reviewer'\]; got servers",
        ),
        (
            {"backend.urls": {**SERVERS, "reviewer": [*SERVERS["reviewer"], *SERVERS["proposer"]]}},
            "policies that share a server must share all their servers",
        ),
    ],
)
def test_servers_that_do_not_match_the_policies(small_config, settings, message):
    with pytest.raises(ConfigError, match=message):
        build(small_config({**PER_ROLE, **settings}))
