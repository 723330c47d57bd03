"""Log-probabilities in parts and with shared prompts are the plain pass's, gradients too."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.modeling_layers import GradientCheckpointingLayer

from tracer_agents.config import GSPOConfig
from tracer_agents.generation.attention import completion_logits
from tracer_agents.generation.decoding.cache import can_come_and_go
from tracer_agents.generation.weights import WholeModel
from tracer_agents.learners import batches, scoring
from tracer_agents.learners.backward import recomputed_layers
from tracer_agents.learners.batches import MicroBatch, Sample, micro_batches, sharing_pays
from tracer_agents.learners.objectives import token_logps
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.learners.scoring import Scorer
from tracer_env.dialogue import Role
from tracer_env.seeding import stream

CPU = torch.device("cpu")
SHAPE = {
    "vocab_size": 60,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
}
GEMMA = {**SHAPE, "head_dim": 8, "query_pre_attn_scalar": 8, "sliding_window": 6}
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", SHAPE),
    "tied": ("llama", {**SHAPE, "tie_word_embeddings": True}),
    "sliding window": ("mistral", {**SHAPE, "sliding_window": 6}),
    "window and whole": ("gemma3_text", GEMMA),
    "learned positions": ("gpt2", {"vocab_size": 60, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "position biases": ("bloom", {"vocab_size": 60, "hidden_size": 32, "n_layer": 2, "n_head": 4}),
    "scaled logits": ("granite", {**SHAPE, "logits_scaling": 3.0}),
    "capped logits": ("gemma2", {**GEMMA, "final_logit_softcapping": 3.0}),
}
WAYS = {"in parts": (0, False), "prompts once": (2**25, True), "both": (0, True)}


def _model(name: str) -> Any:
    kind, settings = MODELS[name]
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **settings), attn_implementation="eager")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval()


def _samples() -> list[Sample]:
    """Three groups of four, of unlike prompts and lengths; one completion is a single token."""
    rng = np.random.default_rng(2)
    made = []
    for length in (9, 31, 17):
        prompt = tuple(rng.integers(2, 60, length).tolist())
        for candidate in range(4):
            output = tuple(rng.integers(2, 60, 1 if length == 31 and not candidate else 3 + 4 * candidate).tolist())
            logps = tuple(rng.normal(-2, 0.5, len(output)).tolist())
            advantage = (-1.0) ** candidate
            made.append(
                Sample(
                    prompt_ids=prompt, output_ids=output, logps_engine=logps, role=Role.PROPOSER, advantage=advantage
                )
            )
    return made


def _batch(*, share: bool) -> MicroBatch:
    samples = _samples()
    [batch] = micro_batches(
        samples, np.arange(len(samples)), pad_id=0, max_tokens=10**6, device=CPU, share_prompts=share
    )
    order = np.argsort(batch.rows)
    assert (batch.rows[order] == np.arange(len(samples))).all()
    return batch


def _by_row(batch: MicroBatch, values: torch.Tensor) -> torch.Tensor:
    return torch.stack([values[place] for place in np.argsort(batch.rows)])


def _gradient(model: Any, batch: MicroBatch, logp: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    weight = torch.linspace(-1, 2, len(batch.rows))[torch.from_numpy(batch.rows)].unsqueeze(-1)
    (logp * batch.mask * weight).sum().backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_values_and_gradients_are_the_plain_passs(monkeypatch, name, way):
    limit, share = WAYS[way]
    monkeypatch.setattr(scoring, "WHOLE_LOGITS", limit)
    monkeypatch.setattr(scoring, "PART_LOGITS", 60 * 7)  # seven tokens at a time
    model = _model(name)
    plain = _batch(share=False)
    logits = completion_logits(model, plain.input_ids, plain.attention_mask, plain.completion_width)
    expected = token_logps(logits, plain.targets)
    gradient = _gradient(model, plain, expected)
    batch = _batch(share=share)
    logp = Scorer(model).logps(batch)
    torch.testing.assert_close(
        _by_row(batch, logp * batch.mask), _by_row(plain, expected * plain.mask), atol=2e-5, rtol=1e-5
    )
    difference = (_gradient(model, batch, logp) - gradient).norm() / gradient.norm()
    assert float(difference) < (1e-6 if way == "in parts" else 1e-5)


@pytest.mark.parametrize("name", ["llama", "scaled logits", "capped logits"])
def test_no_more_than_a_part_of_the_logits_is_held(monkeypatch, name):
    """Where logits are more than the output layer says, the plain pass is taken."""
    monkeypatch.setattr(scoring, "WHOLE_LOGITS", 0)
    monkeypatch.setattr(scoring, "PART_LOGITS", 60 * 7)
    model, sizes = _model(name), []
    scorer, batch = Scorer(model), _batch(share=False)
    model.get_output_embeddings().register_forward_hook(lambda module, inputs, output: sizes.append(output.numel()))
    scorer.logps(batch).sum().backward()
    tried, made = sizes[:2], sizes[2:]  # the model and its output layer on eight tokens
    assert tried == [8 * 60, 8 * 60]
    if name == "llama":
        assert max(made) == 60 * 7
        assert sum(made) == 2 * 60 * int(batch.mask.sum())  # again in the backward pass
    else:
        assert made == [60 * (batch.completion_width + 1) * len(batch.rows)]


def test_a_shared_prompt_is_computed_once(monkeypatch):
    model, shapes = _model("llama"), []
    forward = model.model.forward

    def watched(input_ids, **kwargs):
        shapes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(model.model, "forward", watched)
    batch = _batch(share=True)
    with torch.no_grad():
        Scorer(model).logps(batch)
    assert shapes == [(3, 31), (12, batch.completion_width - 1)]


@pytest.mark.parametrize("name", MODELS)
def test_layers_that_are_computed_again_give_the_same_gradient(name):
    """And the model is as before afterwards: nothing in it counts as in training at any time, so nothing drops out."""
    model = _model(name)
    model.config.attention_dropout = 0.5
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.5
    batch, calls = _batch(share=False), []
    expected = _gradient(model, batch, Scorer(model).logps(batch))
    [layer, *_] = [module for module in model.modules() if isinstance(module, GradientCheckpointingLayer)]
    layer.register_forward_pre_hook(lambda *_: calls.append(1))
    with recomputed_layers(model):
        gradient = _gradient(model, batch, Scorer(model).logps(batch))
    assert len(calls) == 2  # once more in the backward pass
    torch.testing.assert_close(gradient, expected, rtol=1e-6, atol=1e-7)
    assert not any(module.training for module in model.modules())
    Scorer(model).logps(batch).sum().backward()
    assert len(calls) == 3


def test_a_learner_that_computes_layers_again_learns_the_same(monkeypatch):
    """Where prompts would be shared it computes each for itself: its layers keep no memory of a prompt."""
    monkeypatch.setattr(batches, "LONG_PROMPT", 1)
    monkeypatch.setattr(batches, "SPARED", 1.01)
    weights = []
    for again in (False, True):
        model = _model("llama")
        config = GSPOConfig(learning_rate=1e-3, optimiser_steps=1, gradient_checkpointing=again)
        GSPOLearner(WholeModel(model), pad_id=0, config=config).update(_samples(), stream(0, "gspo"))
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    assert not torch.equal(weights[0], torch.cat([p.detach().flatten() for p in _model("llama").parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=0, atol=2e-5)


@pytest.mark.parametrize("share", [False, True])
def test_on_a_cpu_short_rows_are_computed_eagerly_and_shared_prompts_by_the_models_kernel(monkeypatch, share):
    monkeypatch.setattr(batches, "LONG_PROMPT", 1 if share else 10**6)
    monkeypatch.setattr(batches, "SPARED", 1.01)
    model = _model("llama")
    model.set_attn_implementation("sdpa")
    kernels: set[str] = set()
    model.register_forward_pre_hook(lambda module, inputs: kernels.add(module.config._attn_implementation))
    config = GSPOConfig(learning_rate=1e-3, optimiser_steps=2)
    GSPOLearner(WholeModel(model), pad_id=0, config=config).update(_samples(), stream(0, "gspo"))
    assert kernels == {"sdpa" if share else "eager"}


def test_sharing_pays_where_long_prompts_are_shared():
    def group(prompt: int, output: int, size: int) -> list[Sample]:
        sample = Sample(
            prompt_ids=(5,) * prompt, output_ids=(6,) * output, logps_engine=(0.0,) * output, role=Role.PROPOSER,
            advantage=0.0,
        )  # fmt: skip
        return [sample] * size

    def pays(samples: list[Sample]) -> bool:
        return sharing_pays(samples, np.arange(len(samples)))

    assert pays(group(256, 64, 8))
    assert not pays(group(100, 30, 8))  # short: two passes cost more than they spare
    assert not pays(group(256, 64, 1))
    assert not pays(group(130, 1000, 4))  # most tokens are the completions'
    assert not pays([])


def test_micro_batches_with_shared_prompts_count_a_prompt_once():
    samples = _samples()
    rows = np.arange(len(samples))
    made = micro_batches(samples, rows, pad_id=0, max_tokens=95, device=CPU, share_prompts=True)
    assert sorted(row for batch in made for row in batch.rows) == rows.tolist()
    assert len(made) < len(micro_batches(samples, rows, pad_id=0, max_tokens=95, device=CPU))
    for batch in made:
        assert batch.prompts is not None
        assert batch.prompts.ids.numel() + batch.mask.numel() <= 95
        for row, place in zip(batch.rows, batch.prompts.of_row.tolist(), strict=True):
            kept = batch.prompts.ids[place][batch.prompts.mask[place].bool()]
            assert tuple(kept.tolist()) == samples[row].prompt_ids


def test_a_learner_that_shares_learns_the_same(monkeypatch):
    """An update with both savings against one without."""
    samples, weights = _samples(), []
    for share in (False, True):
        model = _model("llama")
        monkeypatch.setattr(batches, "LONG_PROMPT", 1 if share else 10**6)
        monkeypatch.setattr(batches, "SPARED", 1.01)
        monkeypatch.setattr(scoring, "WHOLE_LOGITS", 0 if share else 10**9)
        config = GSPOConfig(learning_rate=1e-3, optimiser_steps=2, clip_low=0.1, clip_high=0.1)
        learner = GSPOLearner(WholeModel(model), pad_id=0, config=config)
        stats = learner.update(samples, stream(0, "gspo"))
        assert stats.ratio_first_deviation < 1e-6
        weights.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    start = torch.cat([parameter.detach().flatten() for parameter in _model("llama").parameters()])
    moved = (weights[0] - start).norm()
    assert moved > 1e-3
    assert (
        weights[1] - weights[0]
    ).norm() < 1e-2 * moved  # Adam's first steps are signs: rounding shows in the smallest


def test_models_with_a_state_of_their_own_do_not_share():
    assert can_come_and_go(_model("llama"))
    stateful = type("Model", (), {"config": AutoConfig.for_model("qwen3_next")})()
    assert not can_come_and_go(stateful)
