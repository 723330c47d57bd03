"""Rows that enter, decode and leave at any time are what each would be alone."""

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tracer_agents.generation.decoding.cache import can_come_and_go
from tracer_agents.generation.decoding.flight import Flight
from tracer_agents.generation.decoding.prompts import Prompts

SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
}
MODELS = {
    "llama": ("llama", SHAPE),
    "sliding window": ("mistral", {**SHAPE, "sliding_window": 5}),
    "window and whole": ("gemma3_text", {**SHAPE, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 5}),
    "learned positions": ("gpt2", {"vocab_size": 50, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}),
    "position biases": ("bloom", {"vocab_size": 50, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
}
PROMPTS = [[7] * 4, list(range(3, 20)), [5, 6], list(range(30, 42)), list(range(2, 49)), [9, 8, 7]]
PAD = 0


def _model(kind: str, settings: dict):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model


@torch.no_grad()
def _alone(model, row: list[int]) -> torch.Tensor:
    return model(input_ids=torch.tensor([row]), use_cache=False).logits[0, -1]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("seed", range(3))
@torch.no_grad()
def test_rows_come_and_go_and_stay_themselves(name, seed):
    """A random schedule: some enter, some leave, all decode; every row's logits are those of its whole text alone."""
    model, rng = _model(*MODELS[name]), np.random.default_rng(seed)
    prompts = Prompts(model, PROMPTS, PAD)
    flight = Flight(model, slots=5, room=3)  # it grows and moves often
    texts: list[list[int]] = []
    compared = 0
    for _ in range(40):
        entering = rng.integers(0, len(PROMPTS), rng.integers(0, 6 - len(texts)))
        if len(entering):
            flight.enter(prompts, torch.from_numpy(entering))
            texts += [list(PROMPTS[place]) for place in entering]
        ended = np.array([rng.random() < 0.2 or len(text) == 60 for text in texts], dtype=bool)
        if ended.any():
            sources, targets = flight.leave(ended)
            for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
                texts[target] = texts[source]
            texts = texts[: flight.rows]
        if not texts:
            continue
        tokens = rng.integers(1, 50, len(texts))
        logits = flight.step(torch.from_numpy(tokens), torch.ones(len(texts), dtype=torch.bool))
        for text, token, computed in zip(texts, tokens.tolist(), logits, strict=True):
            text.append(token)
            torch.testing.assert_close(computed, _alone(model, text), atol=2e-4, rtol=0)
            compared += 1
    assert compared > 40


@torch.no_grad()
def test_rows_that_have_ended_stay_within_the_context():
    """They decode along until they leave, and there may be no next position."""
    model = _model(*MODELS["learned positions"])
    flight = Flight(model, slots=1, room=8)
    flight.enter(Prompts(model, [[3] * 63], PAD), torch.tensor([0]))
    for _ in range(4):
        logits = flight.step(torch.tensor([4]), torch.tensor([False]))
    assert torch.isfinite(logits).all()


def test_layers_that_keep_no_key_per_token_cannot_come_and_go():
    for kind, expected in {"llama": True, "gemma3_text": True, "llama4_text": False, "qwen3_next": False}.items():
        config = AutoConfig.for_model(kind)
        model = type("Model", (), {"config": config})()
        assert can_come_and_go(model) is expected
    stateful = type("Model", (), {"config": AutoConfig.for_model("llama"), "_is_stateful": True})()
    assert not can_come_and_go(stateful)
