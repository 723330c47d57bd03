"""What the doctor says of memory, and what a server is to load."""

import json
import re
from pathlib import Path

import pytest
import torch
import transformers

import tracer_agents
from tracer_agents.build import TINY, build, load_policy
from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.doctor import _KEPT_BYTES, Finding, _linear_width, _shape, examine_setup, served_model
from tracer_agents.remedies import OTHERWISE, remedy_of
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.trainer import Trainer
from tracer_env.errors import ConfigError


def memory(**sections) -> str:
    return findings(**sections)["memory"].detail


def findings(**sections) -> dict[str, Finding]:
    """What the doctor says, by the first word of its name."""
    settings = {"task.name": "gsm8k", "speakers.device": "cpu"} | {
        f"{section}.{name}": value for section, values in sections.items() for name, value in values.items()
    }
    config = load_config(overrides=settings)
    return {finding.name.split()[0]: finding for finding in examine_setup(config)}


def test_memory_of_fine_tuning_counts_weight_gradient_and_moments():
    assert "the learner needs 113.5 GiB (float32, AdamW)" in memory(speakers={"model": "Qwen/Qwen2.5-7B-Instruct"})


def test_memory_of_adapters_is_little_more_than_the_frozen_models():
    speakers = {"model": "Qwen/Qwen2.5-7B-Instruct", "policy": "per_role", "lora_rank": 32, "dtype": "bfloat16"}
    assert "the learner needs 16.6 GiB (bfloat16, frozen, and 2 adapters of rank 32 in float32)" in memory(
        speakers=speakers
    )


def test_activations_and_the_engines_cache_are_counted_at_their_most():
    detail = memory(
        speakers={
            "model": "Qwen/Qwen2.5-1.5B-Instruct",
            "proposer_max_new_tokens": 400,
            "reviewer_max_new_tokens": 200,
        },
        gspo={"micro_batch_tokens": 1000},
        backend={"batch_size": 10},
    )
    kept, cached = 1000 * 28 * 41216 * 5.2, 10 * 1512 * 28 * 2 * 256 * 4  # 1512 = 512 + 2 * 400 + 200
    assert f"up to {kept / 2**30:.1f} GiB of activations (gspo.micro_batch_tokens 1000)" in detail
    assert f"up to {cached / 2**30:.1f} GiB of cache (backend.batch_size 10, 1512 tokens each)" in detail


def test_layers_that_are_computed_again_keep_their_inputs():
    detail = memory(
        speakers={"model": "Qwen/Qwen2.5-1.5B-Instruct"},
        gspo={"micro_batch_tokens": 10_000, "gradient_checkpointing": True},
    )
    kept = 10_000 * (28 * 1536 * 4 + 41216 * 5.2)
    assert f"up to {kept / 2**30:.1f} GiB of activations (gspo.micro_batch_tokens 10000)" in detail


@pytest.mark.parametrize("family", ["Llama", "Qwen2", "Qwen3"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_a_backward_pass_keeps_is_what_the_doctor_counts(family, dtype):
    """Within a third, by autograd's own count of the second and third layer."""
    inner, hidden, kv, rows, length = 1493, 256, 64, 4, 64
    kept = {}
    for layers in (1, 3):
        config = getattr(transformers, f"{family}Config")(
            vocab_size=64,
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=64,
        )
        model = getattr(transformers, f"{family}Model")(config).to(getattr(torch, dtype))
        weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        kept[layers] = saved_bytes(model, torch.zeros(rows, length, dtype=torch.long), weights)

    each = (kept[3] - kept[1]) / 2 / (rows * length)
    assert each == pytest.approx(_KEPT_BYTES[dtype] * _linear_width(hidden, hidden, kv, inner), rel=1 / 3)


def saved_bytes(model, ids, weights: set[int]) -> int:
    """Bytes that autograd keeps of a forward pass, weights aside."""
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: held.append(tensor) or tensor, lambda tensor: tensor):
        model(input_ids=ids, use_cache=False)
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in held}
    return sum(size for place, size in storages.items() if place not in weights)


def test_the_doctor_says_how_many_threads_and_why(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS says so" in findings()["CPU"].detail


ADAPTERS = {"model": "Qwen/Qwen2.5-7B-Instruct", "lora_rank": 32, "dtype": "bfloat16"}


@pytest.fixture
def machine(monkeypatch):
    """A machine without a GPU and with as many GiB as it is told."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("tracer_agents.doctor._servers", lambda config: ())

    def of(gib: float) -> None:
        pages = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": int(gib * 2**30 / 4096)}
        monkeypatch.setattr("os.sysconf", lambda name: pages[name])

    return of


@pytest.mark.parametrize(("url", "status"), [("http://127.0.0.1:31000", "failed"), ("http://far:31000", "passed")])
def test_learner_and_server_on_this_machine_are_added_up(machine, url, status):
    """Each would fit; both do not."""
    machine(35)
    small = {"gspo": {"micro_batch_tokens": 512}}
    finding = findings(speakers=ADAPTERS, backend={"name": "sglang", "url": url}, **small)["memory"]
    assert finding.status == status
    assert findings(speakers=ADAPTERS, backend={"batch_size": 16}, **small)["memory"].status == "passed"


@pytest.mark.parametrize("setting", [{"gspo": {"micro_batch_tokens": 8192}}, {"backend": {"batch_size": 512}}])
def test_activations_or_a_cache_that_do_not_fit_are_found(machine, setting):
    machine(35)
    small = {"gspo": {"micro_batch_tokens": 512}, "backend": {"batch_size": 16}}
    assert findings(speakers=ADAPTERS, **{**small, **setting})["memory"].status == "failed"


def test_a_machine_that_is_too_small_is_told_the_remedy(machine):
    machine(8)
    assert "--speakers.lora_rank" in findings(speakers=ADAPTERS)["memory"].remedy


def test_cuda_without_cuda_fails(machine):
    machine(64)
    finding = findings(speakers={"model": "tiny", "device": "cuda"})["speakers.device"]
    assert finding.status == "failed"
    assert "--speakers.device auto" in finding.remedy
    assert findings(speakers={"model": "tiny", "device": "auto"})["speakers.device"].status == "passed"


def test_the_shape_counts_an_adapters_parameters(small_folder, small_config):
    """Against PEFT's own."""
    weights = load_policy(small_config({"speakers.lora_rank": 5})).weights
    shape = _shape(str(small_folder))
    assert shape is not None
    assert 5 * shape.layers * shape.linear_width == sum(factor.numel() for factor in weights.parameters("shared"))


@pytest.mark.parametrize("rank", [None, 3])
def test_a_run_is_served_by_its_checkpoint_or_by_the_model_under_its_adapters(small_config, tmp_path, rank):
    config = small_config({"speakers.lora_rank": rank})
    trainer = Trainer(config, build(config))
    with RunDirectory.create(tmp_path / "run", config) as run:
        run.checkpoints.save(0, lambda folder: trainer.save(folder, 0))
        expected = str(run.checkpoints.latest()) if rank is None else config.speakers.model
    assert served_model(str(tmp_path / "run")) == expected
    assert served_model("tiny") == str(TINY)
    assert served_model("OWNER/NAME") == "OWNER/NAME"


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "opt", "ffn_dim": 48, "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4},
        {"model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4},
        {"model_type": "bloom", "hidden_size": 32, "n_layer": 2, "n_head": 4},
        {
            "model_type": "gemma3",
            "text_config": {
                "model_type": "gemma3_text",
                "hidden_size": 32,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "head_dim": 8,
                "intermediate_size": 48,
            },
        },
    ],
    ids=lambda settings: settings["model_type"],
)
def test_the_shape_of_any_family_is_read_from_its_folder(tmp_path, settings):
    (tmp_path / "config.json").write_text(json.dumps(settings))
    shape = _shape(str(tmp_path))
    assert (shape.layers, shape.kv_width) == (2, 32)
    assert shape.linear_width in (4 * 64 + 3 * 80, 4 * 64 + 3 * 160)
    assert shape.context > 0


def test_a_folder_that_is_no_models_is_named(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"speakers\.model: .*config\.json cannot be read"):
        _shape(str(tmp_path))


def test_a_chat_server_is_asked_once_and_what_it_lacks_is_said(remote_settings, model_server):
    config = load_config(overrides={**remote_settings, "backend.logprobs": False})
    by_name = {finding.name.removeprefix(model_server.url).strip(): finding for finding in examine_setup(config)}
    assert {name: by_name[name].status for name in ("answers", "tokens are counted", "model is listed")} == {
        "answers": "passed",
        "tokens are counted": "passed",
        "model is listed": "passed",
    }
    assert not any(name.startswith("memory") or name == "speakers.device" for name in by_name)
    list(examine_setup(config))
    assert len(model_server.bodies) == 1


def test_a_chat_server_that_does_not_answer_fails(remote_settings, model_server):
    model_server.__exit__()
    config = load_config(overrides={**remote_settings, "backend.attempts": 1})
    *_, last = examine_setup(config)
    assert (last.name, last.status) == ("servers", "failed")
    assert model_server.url in last.detail


@pytest.mark.parametrize(
    "sections",
    [
        {"speakers": {"model": "OWNER/NAME"}},
        {"speakers": {**ADAPTERS, "device": "cuda:7"}},
        {"speakers": ADAPTERS, "backend": {"name": "sglang", "url": "http://127.0.0.1:31000"}},
    ],
)
def test_every_finding_that_is_not_passed_says_what_to_do(machine, monkeypatch, sections):
    machine(4)
    monkeypatch.setattr("tracer_agents.doctor._PACKAGES", ("torch", "no-such-package"))
    missing = [finding for finding in findings(**sections).values() if finding.status != "passed"]

    assert {finding.name for finding in missing} >= {"no-such-package", "GPU"}
    for finding in missing:
        assert finding.remedy, finding.name
        assert finding.remedy != OTHERWISE, finding.name
    assert all(not finding.remedy for finding in findings(**sections).values() if finding.status == "passed")


def test_every_check_of_a_server_has_a_remedy_of_its_own():
    """By the names that stand in the sources of the checks."""
    agents = Path(tracer_agents.__file__).parent
    checks = (agents / "generation" / "sglang" / "parity.py").read_text("utf-8")
    names = set(re.findall(r'(?:return|yield|name =) f?"([a-z][^"{]*)"?', checks)) - {"passed"}
    assert {"tokenizer", "weight label", "end tokens", "adapter is applied", "weights are swapped"} <= names
    for name in names:
        assert remedy_of(f"http://127.0.0.1:31000 {name}", "failed") != OTHERWISE, name
        assert remedy_of(f"http://127.0.0.1:31000 {name}", "passed") == ""
    facts = ("answers", "tokens are counted", "log-probabilities", "model is listed")
    remote = (agents / "build" / "remote.py").read_text("utf-8")
    for fact in facts:
        assert f'"{fact}": (' in remote
        for name in (fact, f"strong.{fact}"):
            assert remedy_of(f"http://host/v1 {name}", "not applicable") != OTHERWISE, name


def test_the_doctor_prints_what_to_do_below_a_finding(machine, capsys):
    machine(4)
    assert main(["doctor", "--speakers.device", "cuda"]) == 1
    rows = capsys.readouterr().out.splitlines()
    at_fault = next(number for number, row in enumerate(rows) if "failed  speakers.device" in row)
    assert rows[at_fault + 1].split(maxsplit=1) == ["do", remedy_of("speakers.device", "failed")]
