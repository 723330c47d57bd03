"""Models of many families, tiny and random: a row is the same alone, in company and in plain transformers.

Weights are large, so that whatever a kernel passes over shows.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from tracer_agents.build import load_policy
from tracer_agents.config import GSPOConfig
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.soundness import context_of
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.learners.batches import Sample, micro_batches
from tracer_agents.learners.policy import GSPOLearner
from tracer_env.dialogue import FinishReason, Role
from tracer_env.errors import ConfigError

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
HEADS = {"head_dim": 8}
GEMMA = {**SHAPE, **HEADS, "query_pre_attn_scalar": 8, "sliding_window": 8}
EXPERTS = {**SHAPE, "num_experts_per_tok": 2}
VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
LONG_ROPE = {"type": "longrope", "short_factor": [1.0] * 4, "long_factor": [8.0, 4.0, 2.0, 1.5]}
ORIGINAL_LENGTH = 64

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {  # name -> model type, settings
    "llama": ("llama", SHAPE),
    "llama, tied": ("llama", {**SHAPE, "tie_word_embeddings": True}),
    "qwen2": ("qwen2", SHAPE),
    "qwen3": ("qwen3", {**SHAPE, **HEADS}),
    "gemma2": ("gemma2", {**GEMMA, "attn_logit_softcapping": 2.0}),
    "gemma3": ("gemma3_text", GEMMA),
    "gemma3, nested": (
        "gemma3",
        {"text_config": GEMMA, "vision_config": VISION, "mm_tokens_per_image": 4, "image_token_index": 5},
    ),
    "mistral": ("mistral", {**SHAPE, "sliding_window": 8}),
    "phi3, LongRoPE": (
        "phi3",
        {**SHAPE, "original_max_position_embeddings": ORIGINAL_LENGTH, "rope_scaling": LONG_ROPE},
    ),
    "llama, dynamic RoPE": (
        "llama",
        {**SHAPE, "max_position_embeddings": ORIGINAL_LENGTH, "rope_scaling": {"rope_type": "dynamic", "factor": 4.0}},
    ),
    "opt": (
        "opt",
        {
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "ffn_dim": 48,
            "max_position_embeddings": 256,
            "word_embed_proj_dim": 32,
        },
    ),
    "gpt2": ("gpt2", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "gpt_neox": ("gpt_neox", {**SHAPE, "rotary_pct": 0.5}),
    "bloom": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "falcon": ("falcon", {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}),
    "granite": ("granite", {**SHAPE, "embedding_multiplier": 6.0, "logits_scaling": 3.0}),
    "qwen3_moe": ("qwen3_moe", {**EXPERTS, **HEADS, "moe_intermediate_size": 16, "num_experts": 4}),
    "mixtral": ("mixtral", {**EXPERTS, "num_local_experts": 4}),
    "glm4_moe": (
        "glm4_moe",
        {
            **EXPERTS,
            **HEADS,
            "moe_intermediate_size": 16,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
        },
    ),
    "gpt_oss": ("gpt_oss", {**EXPERTS, **HEADS, "num_local_experts": 4, "sliding_window": 8}),
    "deepseek_v3": (
        "deepseek_v3",
        {
            **EXPERTS,
            "num_key_value_heads": 4,
            "moe_intermediate_size": 16,
            "n_routed_experts": 4,
            "n_shared_experts": 1,
            "first_k_dense_replace": 1,
            "n_group": 1,
            "topk_group": 1,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 8,
        },
    ),
}
FAMILIES["qwen3_next"] = (
    "qwen3_next",
    {
        **EXPERTS,
        **HEADS,
        "moe_intermediate_size": 16,
        "shared_expert_intermediate_size": 16,
        "num_experts": 4,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "layer_types": ["linear_attention", "full_attention"],
    },
)
LENGTHS = (5, 12, 23, 40, 17)
LIMIT = 6


@torch.no_grad()
def _random(kind: str, settings: dict[str, Any], tokenizer: Any) -> PreTrainedModel:
    tokens = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.eos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    nested = {name: {**part, **tokens} for name, part in settings.items() if name == "text_config"}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**tokens, **settings, **nested})
    model = AutoModelForCausalLM.from_config(config).eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in model.parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        parameter.copy_(0.25 * noise) if parameter.ndim > 1 else parameter.add_(0.05 * noise)
    kept = model.state_dict()
    for name, buffer in model.named_buffers():
        if name in kept and buffer.is_floating_point():
            buffer.add_(0.3 * torch.randn(buffer.shape, generator=generator))
    return model


@pytest.fixture(scope="module")
def family(small_folder, tmp_path_factory) -> Callable[[str], Path]:
    """Makes the folder of a family's model."""
    tokenizer = AutoTokenizer.from_pretrained(small_folder)
    made: dict[str, Path] = {}

    def make(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("family") / "model"
            _random(*FAMILIES[name], tokenizer).save_pretrained(made[name])
            tokenizer.save_pretrained(made[name])
        return made[name]

    return make


@pytest.fixture
def load(family, small_config):
    """Loads a family's model with settings."""

    def make(name: str, overrides: dict[str, Any] | None = None):
        return load_policy(small_config({"speakers.model": str(family(name)), **(overrides or {})}))

    return make


def _requests(lengths=LENGTHS) -> list[GenerationRequest]:
    rng = np.random.default_rng(1)
    return [
        GenerationRequest(prompt_ids=tuple(rng.integers(10, 90, length).tolist()), seed=row, max_new_tokens=LIMIT)
        for row, length in enumerate(lengths)
    ]


@torch.no_grad()
def _plain_logps(model: PreTrainedModel, prompt: tuple[int, ...], output: tuple[int, ...]) -> np.ndarray:
    """(T,) by plain transformers: the row alone, no mask, no positions, no cache."""
    logits = model(input_ids=torch.tensor([[*prompt, *output]])).logits[0]
    logp = torch.log_softmax(logits.float(), -1)[len(prompt) - 1 : -1]
    return logp.gather(-1, torch.tensor(output).unsqueeze(-1)).squeeze(-1).numpy()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_row_is_the_same_alone_in_company_and_in_plain_transformers(family, load, name):
    policy = load(name)
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    together = backend.generate(_requests())
    plain = AutoModelForCausalLM.from_pretrained(family(name), attn_implementation="eager").eval()
    samples = []
    for request, generation in zip(_requests(), together, strict=True):
        [alone] = backend.generate([request])
        assert alone.output_ids == generation.output_ids
        assert alone.logps == pytest.approx(generation.logps, abs=1e-4)
        expected = _plain_logps(plain, request.prompt_ids, generation.output_ids)
        assert generation.logps == pytest.approx(expected, abs=1e-4)
        samples.append(
            Sample(
                prompt_ids=request.prompt_ids,
                output_ids=generation.output_ids,
                logps_engine=tuple(expected.tolist()),
                role=Role.PROPOSER,
                advantage=1.0,
            )
        )
    learner = GSPOLearner(policy.weights, pad_id=policy.pad_id, config=GSPOConfig())
    [batch] = micro_batches(
        samples, np.arange(len(samples)), pad_id=policy.pad_id, max_tokens=10_000, device=policy.model.device
    )
    with torch.no_grad():
        difference = (learner.logps(batch) - batch.logp_engine).abs() * batch.mask
    assert float(difference.max()) < 1e-4


def test_soft_capping_chooses_the_kernel_that_knows_it(load):
    assert load("gemma2").model.config._attn_implementation == "eager"
    assert load("llama").model.config._attn_implementation == "sdpa"
    assert load("llama", {"speakers.attention": "eager"}).model.config._attn_implementation == "eager"


@pytest.mark.parametrize("name", ["gemma2", "gpt_oss"])
def test_a_kernel_that_is_wrong_for_a_model_is_refused_with_the_right_one(load, name):
    with pytest.raises(ConfigError, match=r"with sdpa attention .*: set speakers\.attention: eager"):
        load(name, {"speakers.attention": "sdpa"})


def test_a_model_that_depends_on_its_company_is_refused(load, monkeypatch):
    """Whatever the reason: here positions are counted from the left edge of the batch, padding and all."""
    forward = torch.nn.Embedding.forward

    def flawed(self, ids):
        if self.num_embeddings == 256:  # the positions'
            ids = torch.arange(ids.shape[-1]).expand(ids.shape)
        return forward(self, ids)

    monkeypatch.setattr(torch.nn.Embedding, "forward", flawed)
    with pytest.raises(ConfigError, match=r"gpt2: with sdpa attention .*in a padded batch differ by .*choose another"):
        load("gpt2")


def test_rope_that_changes_with_length_is_kept_below_the_length_at_which_it_does(load):
    policy = load("phi3, LongRoPE")
    limit = context_of(policy.model)
    assert limit == ORIGINAL_LENGTH - 8
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    fits, too_long = backend.generate(_requests([limit - LIMIT, limit - LIMIT + 1]))
    assert fits.output_ids
    assert too_long.finish_reason is FinishReason.TOO_LONG


def test_the_context_of_nested_settings_is_the_language_models(load):
    assert context_of(load("gemma3, nested").model) == 256
    assert context_of(load("bloom").model) is None


TRAINED: dict[str, dict[str, Any]] = {
    "whole": {},
    "all-linear": {"speakers.lora_rank": 2},
    "all-linear, two policies": {"speakers.lora_rank": 2, "speakers.policy": "per_role"},
    "attention": {"speakers.lora_rank": 2, "speakers.lora_targets": ["q_proj", "v_proj"]},
    "nothing": {"speakers.lora_rank": 2, "speakers.lora_targets": ["q_proj", "nowhere"]},
    "output layer": {"speakers.lora_rank": 2, "speakers.lora_targets": ["lm_head"]},
    "embeddings": {"speakers.lora_rank": 2, "speakers.lora_targets": ["embed_tokens"]},
}


@pytest.mark.parametrize("trained", TRAINED)
@pytest.mark.parametrize("name", FAMILIES)
def test_what_is_exported_is_what_was_trained_or_refused(load, tmp_path, name, trained):
    """The merged model, read by plain transformers, says what the policy says."""
    policy, refusal = None, ""
    try:
        policy = load(name, TRAINED[trained])
    except ConfigError as error:
        refusal = str(error)
    if policy is None:
        assert "speakers.lora_targets: " in refusal
        return
    assert trained != "nothing"
    generator = torch.Generator().manual_seed(1)
    ids = torch.randint(10, 90, (1, 12), generator=generator)
    with torch.no_grad():
        before = policy.model(input_ids=ids).logits
    for each in policy.weights.names:
        with torch.no_grad():
            for parameter in policy.weights.parameters(each):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        policy.weights.export(each, tmp_path / each)
        named = {key for file in (tmp_path / each).glob("*.safetensors") for key in load_file(file)}
        assert {key for key, _ in policy.weights.merged(each)} == named
        exported = AutoModelForCausalLM.from_pretrained(tmp_path / each, attn_implementation="eager").eval()
        with torch.no_grad(), policy.weights.active(each):
            expected, computed = policy.model(input_ids=ids).logits, exported(input_ids=ids).logits
        assert float((expected - before).abs().max()) > 1e-2
        assert float((expected - computed).abs().max()) < 1e-4
