"""Settings become objects that belong together."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tracer_agents.build import build, build_task, load_policy
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.evaluation.play import draw_episodes, play_team
from tracer_agents.generation.sglang.backend import SGLangBackend
from tracer_agents.generation.sglang.weights import DiskWeights
from tracer_env.dialogue import Rules
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
    frozen = build(small_config({"speakers.temperature": 0.3, "credit.train": False}))
    assert frozen.training_speakers.temperature == 0.3  # controllers learn about speakers as they will be


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


@pytest.mark.parametrize(("given", "used"), [(None, "boxed"), ("tiny", "tiny"), ("chat", "chat")])
def test_prompt_style_follows_the_model_unless_named(small_config, given, used):
    assert load_policy(small_config({"speakers.style": given})).prompts.name == used


def test_precision_is_the_one_asked_for(small_config):
    policy = load_policy(small_config({"speakers.dtype": "bfloat16"}))
    assert {parameter.dtype for parameter in policy.model.parameters()} == {torch.bfloat16}


@pytest.fixture
def changed_model(small_folder, tmp_path):
    """A copy of the small model with another chat template, special tokens or sizes."""

    def make(*, template: str | None = None, pad_token_id: int | None = None, end: str | None = None) -> str:
        tokenizer = AutoTokenizer.from_pretrained(small_folder)
        model = AutoModelForCausalLM.from_pretrained(small_folder)
        tokenizer.chat_template = template or tokenizer.chat_template
        if pad_token_id is not None:
            tokenizer.add_special_tokens({"pad_token": "<|another pad|>"})
            assert tokenizer.pad_token_id >= model.get_input_embeddings().weight.shape[0]
        if end is not None:
            tokenizer.eos_token = end
            model.generation_config.eos_token_id = model.config.eos_token_id = tokenizer.eos_token_id
        model.save_pretrained(tmp_path / "changed")
        tokenizer.save_pretrained(tmp_path / "changed")
        return str(tmp_path / "changed")

    return make


def test_a_pad_token_without_an_embedding_is_replaced(small_config, changed_model):
    """Padding is masked everywhere, so that any token does; one outside the embedding would be an IndexError."""
    with build(small_config({"speakers.model": changed_model(pad_token_id=999)})) as parts:
        episodes = draw_episodes(parts.task, "test", 0, 3, seed=0, phase="test")
        play_team(
            episodes,
            Rules(),
            parts.speakers,
            AlwaysSpeak(),
            parts.task,
            method="team",
            phase="test",
            seed=0,
        )
        rows = parts.policy.model.get_input_embeddings().weight.shape[0]
    assert 0 <= parts.policy.pad_id < rows


def test_what_ends_a_turn_in_the_template_ends_a_completion(small_config, changed_model):
    """A base model with a chat template: its end token is another than that of the turns."""
    policy = load_policy(small_config({"speakers.model": changed_model(end="<|user|>")}))
    names = policy.tokenizer.convert_ids_to_tokens(policy.stops)
    assert sorted(names) == ["<|end|>", "<|user|>"]


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ raise_exception('no') }}", "the chat template fails"),
        ("{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}", "ignores add_generation_prompt"),
    ],
)
def test_templates_that_cannot_work_are_refused_before_the_model_is_loaded(
    small_config, changed_model, monkeypatch, template, message
):
    folder = changed_model(template=template)
    monkeypatch.setattr("tracer_agents.build.policy._model", None)
    with pytest.raises(ConfigError, match=message):
        load_policy(small_config({"speakers.model": folder}))


def test_arguments_reach_the_template(small_config, changed_model):
    template = (
        "{%- for m in messages -%}<|{{ m.role }}|>{{ m.content }}<|end|>{%- endfor -%}"
        "{%- if add_generation_prompt -%}<|assistant|>{{ opening }}{%- endif -%}"
    )
    settings = {"speakers.model": changed_model(template=template), "speakers.template_arguments": {"opening": "Well,"}}
    policy = load_policy(small_config(settings))
    prompt = policy.chat.encode([{"role": "user", "content": "7?"}])
    assert policy.tokenizer.decode(prompt).endswith("<|assistant|>Well,")


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
    (tmp_path / "mine").mkdir()
    with build(small_config({**settings, "backend.weights_folder": str(tmp_path)})) as parts:
        assert isinstance(parts.backend, SGLangBackend)
        proposer, reviewer = parts.backend.policies.values()
        assert proposer is reviewer
        for version in (1, 2, 3):
            parts.backend.publish(version)
        published = sorted(tmp_path.glob("tracer-weights-*/proposer-reviewer/*"))
        assert len(published) == 2
        assert sorted(path.name for path in published[0].iterdir()) == ["proposer", "reviewer"]
        assert {path.name for path in (published[0] / "reviewer").iterdir()} == {
            "adapter_config.json",
            "adapter_model.safetensors",
        }
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]  # what this run made is gone, what it did not stays


def test_two_runs_share_a_folder_for_weights(small_config, tmp_path):
    settings = {**PER_ROLE, "backend.url": "http://127.0.0.1:9", "backend.weights": "adapter"}
    config = small_config({**settings, "backend.weights_folder": str(tmp_path)})
    with build(config) as mine, build(config) as other:
        assert isinstance(mine.backend, SGLangBackend)
        assert isinstance(other.backend, SGLangBackend)
        other.backend.publish(1)
        theirs = set(tmp_path.glob("*/proposer-reviewer/*"))
        for version in (1, 2, 3, 4):
            mine.backend.publish(version)
        assert theirs <= set(tmp_path.glob("*/proposer-reviewer/*"))


def test_a_transport_removes_only_what_it_wrote(tmp_path):
    transport = DiskWeights(save=lambda folder: (folder / "weights").write_text("w"), folder=tmp_path)
    for name in ("dataset", "results", "other-run-1-v1"):
        (tmp_path / name).mkdir()
    for version in range(4):
        transport.publish(f"run-{version}")
    assert {path.name for path in tmp_path.iterdir()} == {"dataset", "results", "other-run-1-v1", "run-2", "run-3"}


def test_a_folder_for_weights_that_cannot_be_made_is_named(small_config, tmp_path):
    (tmp_path / "file").write_text("")
    settings = {**PER_ROLE, "backend.url": "http://127.0.0.1:9", "backend.weights_folder": str(tmp_path / "file")}
    with pytest.raises(ConfigError, match=r"backend\.weights_folder: .* cannot be written"):
        build(small_config(settings))


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


def test_a_model_that_cannot_compute_layers_again_is_refused_with_the_remedy(small_config, monkeypatch):
    config = small_config({"gspo.gradient_checkpointing": True})
    model = build(config).policy.model
    monkeypatch.setattr(type(model), "supports_gradient_checkpointing", False)
    with pytest.raises(ConfigError, match=r"gspo\.gradient_checkpointing: llama models.*set it to false"):
        build(config)
