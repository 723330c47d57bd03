"""Prompts behind shared prefixes are what they are alone."""

from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tracer_agents.generation.decoding import prompts as module
from tracer_agents.generation.decoding.prefixes import Asked
from tracer_agents.generation.decoding.prompts import Prefill
from tracer_agents.generation.weights import WholeModel

SHAPE = {
    "vocab_size": 90,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 256,
}
PLAIN: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SHAPE),
    "qwen2": ("qwen2", SHAPE),
    "learned positions": ("gpt2", {"vocab_size": 90, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256}),
    "position biases": ("bloom", {"vocab_size": 90, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
}
WINDOWS: dict[str, tuple[str, dict[str, Any]]] = {
    "window": ("mistral", {**SHAPE, "sliding_window": 8}),
    "window and whole": ("gemma3_text", {**SHAPE, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 8}),
}
PAD = 0


@pytest.fixture(autouse=True)
def short_prefixes_are_shared(monkeypatch):
    monkeypatch.setattr(module, "LEAST_SHARED", 5)


@torch.no_grad()
def _weights(kind: str, settings: dict[str, Any], kernel: str = "sdpa") -> WholeModel:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings), attn_implementation=kernel)
    for parameter in model.parameters():
        parameter.add_(0.2 * torch.randn_like(parameter))
    return WholeModel(model.eval())


def _asked() -> list[Asked]:
    """Three levels, endings of 1 to 30 tokens, a prompt that others begin with, and two that share nothing."""
    head, question, other = tuple(range(2, 12)), tuple(range(20, 33)), tuple(range(40, 49))
    return [
        ("shared", ids)
        for ids in (
            (*head, *question),
            (*head, *question, *range(50, 80), 3),
            (*head, *question, *range(50, 80), *range(5, 35)),
            (*head, *question, 9),
            (*head, *other, 4, 4),
            (*head, *other, *range(60, 75)),
            (*range(80, 87),),
            (85,),
        )
    ]


def _alone(weights: WholeModel, ids: tuple[int, ...]) -> torch.Tensor:
    return weights.model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


def _sizes(weights: WholeModel) -> list[int]:
    """Tokens of every forward pass from now on, padding included."""
    sizes: list[int] = []
    weights.model.register_forward_pre_hook(
        lambda model, inputs, named: sizes.append(named["input_ids"].numel()), with_kwargs=True
    )
    return sizes


@pytest.mark.parametrize("rows", [2, 100])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("name", PLAIN)
@torch.no_grad()
def test_keys_values_and_logits_are_those_of_the_prompt_alone(name, kernel, rows):
    if name == "position biases" and kernel == "sdpa":
        pytest.skip("bloom has its own attention alone")
    weights = _weights(*PLAIN[name], kernel)
    seen = set()
    for computed in Prefill(weights, pad_id=PAD, rows=rows)(_asked()):
        for (policy, ids), row in computed.places.items():
            seen.add((policy, ids))
            torch.testing.assert_close(computed.prompts.logits[row], _alone(weights, ids), atol=1e-4, rtol=1e-4)
            assert int(computed.prompts.lengths[row]) == len(ids)
            alone = weights.model(input_ids=torch.tensor([ids]), use_cache=True).past_key_values
            used = computed.prompts.cache.used
            for mine, theirs in zip(computed.prompts.cache.layers, alone.layers, strict=True):
                kept = mine.keys[row, :, used.stop - len(ids) : used.stop]  # on the right, without a gap
                torch.testing.assert_close(kept, theirs.keys[0], atol=1e-4, rtol=1e-4)
    assert seen == set(_asked())


@torch.no_grad()
def test_what_is_shared_is_computed_once():
    weights = _weights(*PLAIN["llama"])
    prefill = Prefill(weights, pad_id=PAD, rows=100)
    list(prefill(_asked()))  # tries whether sharing is sound
    sizes = _sizes(weights)
    list(prefill(_asked()))
    # head and the two that share nothing; question and other; solution, endings; two endings
    assert sizes == [3 * 10, 2 * 13, 4 * 30, 2 * 30]


@pytest.mark.parametrize("name", WINDOWS)
@torch.no_grad()
def test_a_model_with_windows_computes_every_prompt_whole(name):
    weights = _weights(*WINDOWS[name], "eager")
    sizes = _sizes(weights)
    for computed in Prefill(weights, pad_id=PAD, rows=100)(_asked()):
        for (_, ids), row in computed.places.items():
            torch.testing.assert_close(computed.prompts.logits[row], _alone(weights, ids), atol=1e-4, rtol=1e-4)
    assert sizes[0] == 8 * 83  # in one pass


@torch.no_grad()
def test_a_model_that_loses_count_behind_a_prefix_is_found_out(monkeypatch):
    """It numbers columns, whatever positions it is told: behind a prefix, padding counts."""
    weights = _weights(*PLAIN["llama"])
    plain = weights.model.forward

    def forward(input_ids, position_ids=None, **named):
        return plain(input_ids=input_ids, **named)

    monkeypatch.setattr(weights.model, "forward", forward)
    sizes = _sizes(weights)
    list(Prefill(weights, pad_id=PAD, rows=100)(_asked()))
    assert sizes[-1] == 8 * 83


@torch.no_grad()
def test_short_prefixes_are_not_worth_a_pass(monkeypatch):
    monkeypatch.setattr(module, "LEAST_SHARED", 64)
    weights = _weights(*PLAIN["llama"])
    sizes = _sizes(weights)
    list(Prefill(weights, pad_id=PAD, rows=100)(_asked()))
    assert sizes == [8 * 83]
