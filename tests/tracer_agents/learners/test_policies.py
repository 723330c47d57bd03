"""Several policies on one model: each learns from its own samples alone, as if it were the only one."""

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from tracer_agents.config import GSPOConfig
from tracer_agents.generation.adapters import LoraAdapters
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policies import PolicyLearners, pooled
from tracer_agents.learners.policy import GSPOLearner, GSPOStats
from tracer_env.dialogue import Role
from tracer_env.seeding import stream

CONFIG = GSPOConfig(learning_rate=0.01, clip_low=0.2, clip_high=0.3, optimiser_steps=2, micro_batch_tokens=60)
POLICIES = ("proposer", "reviewer")


def _rng() -> np.random.Generator:
    return stream(0, "minibatches")


@pytest.fixture
def model() -> LlamaForCausalLM:
    torch.manual_seed(1)
    shape = LlamaConfig(
        vocab_size=23, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, pad_token_id=0, bos_token_id=None, eos_token_id=1,
    )  # fmt: skip
    return LlamaForCausalLM(shape).eval()


@pytest.fixture
def samples() -> list[Sample]:
    """Of both policies, shuffled."""
    rng = np.random.default_rng(5)
    made = []
    for row in range(24):
        role = Role.PROPOSER if row % 3 else Role.REVIEWER
        output = (*rng.integers(2, 23, rng.integers(1, 9)).tolist(), 1)
        made.append(
            Sample(
                prompt_ids=tuple(rng.integers(2, 23, 7).tolist()),
                output_ids=output,
                logps_engine=tuple((-rng.random(len(output))).tolist()),
                role=role,
                advantage=float(rng.normal()),
                policy=str(role),
            )
        )
    return made


def _adapters(model, names=POLICIES) -> LoraAdapters:
    return LoraAdapters(model, names, rank=3, alpha=6, targets="all-linear", seed=0)


def _learners(weights: LoraAdapters, config: GSPOConfig = CONFIG) -> PolicyLearners:
    return PolicyLearners(
        {name: GSPOLearner(weights, name, pad_id=0, config=config) for name in weights.names}, weights
    )


def _copies(parameters) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in parameters]


def _equal(a, b) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


def test_training_one_reaches_neither_the_other_nor_the_model(model, samples):
    weights = _adapters(model)
    adapted = {id(factor) for name in POLICIES for factor in weights.parameters(name)}
    frozen = [parameter for parameter in model.parameters() if id(parameter) not in adapted]
    before = {name: _copies(weights.parameters(name)) for name in POLICIES}, _copies(frozen)
    stats = _learners(weights).update([sample for sample in samples if sample.policy == "reviewer"], _rng)
    assert stats["reviewer"].sequences == 8
    assert stats["proposer"].sequences == stats["proposer"].optimiser_steps == 0
    assert _equal(weights.parameters("proposer"), before[0]["proposer"])
    assert not any(
        torch.equal(*pair) for pair in zip(weights.parameters("reviewer"), before[0]["reviewer"], strict=True)
    )
    assert _equal(frozen, before[1])
    assert all(parameter.grad is None for parameter in model.parameters())


def test_together_they_learn_what_each_learns_alone(model, samples):
    """Bit for bit: adapter by adapter on one model, or each on a model of its own."""
    twins = {name: copy.deepcopy(model) for name in POLICIES}
    weights = _adapters(model)
    learners = _learners(weights)
    together = [learners.update(samples, _rng) for _ in range(2)]
    for name in POLICIES:
        alone = _adapters(twins[name], [name])
        learner = GSPOLearner(alone, name, pad_id=0, config=CONFIG)
        mine = [sample for sample in samples if sample.policy == name]
        assert [stats[name] for stats in together] == [learner.update(mine, _rng()) for _ in range(2)]
        assert _equal(weights.parameters(name), alone.parameters(name))


def test_policies_learn_opposite_things_from_opposite_rewards(model):
    """What one is paid for, the other is fined for: each comes to prefer its own, whatever the model prefers."""
    with torch.no_grad():
        model.lm_head.weight.mul_(20)  # it is frozen, and bounds what adapters can make of the logits
    weights = _adapters(model)
    learners = _learners(weights, CONFIG.model_copy(update={"clip_low": 10.0, "clip_high": 10.0}))
    texts = {"liked by proposers": (5, 6, 1), "liked by reviewers": (7, 8, 9, 1)}
    samples = [
        Sample(
            prompt_ids=(2, 3, 4),
            output_ids=output,
            logps_engine=(0.0,) * len(output),
            role=role,
            advantage=1.0 if role in liked else -1.0,
            policy=str(role),
        )
        for role in Role
        for liked, output in texts.items()
        for _ in range(2)
    ]

    def preference(policy: str) -> float:
        """Mean log-probability of a token of the first text, minus that of the second."""
        with torch.no_grad(), weights.active(policy):
            means = []
            for output in texts.values():
                ids = torch.tensor([[2, 3, 4, *output]])
                logp = model(input_ids=ids).logits[0, 2:-1].log_softmax(-1)
                means.append(float(logp.gather(-1, ids[0, 3:, None]).mean()))
        return means[0] - means[1]

    assert preference("proposer") == preference("reviewer")
    for number in range(10):
        learners.update(samples, lambda number=number: stream(number, "minibatches"))
    assert preference("proposer") > 1
    assert preference("reviewer") < -1


def test_kl_is_measured_to_the_model_with_adapters_off(model, samples):
    """At first there is none; a strong penalty then keeps a policy closer than a weak one."""
    kl = {}
    for coefficient in (1e-9, 30.0):
        weights = _adapters(copy.deepcopy(model))
        learners = _learners(weights, CONFIG.model_copy(update={"kl": coefficient, "optimiser_steps": 1}))
        kl[coefficient] = [learners.update(samples, _rng)["proposer"].kl for _ in range(8)]
        assert kl[coefficient][0] == 0
    assert 0 < kl[30.0][-1] < 0.5 * kl[1e-9][-1]


def test_optimiser_states_survive_a_round_trip(model, samples, tmp_path):
    twin = copy.deepcopy(model)
    whole = _adapters(model)
    learners = _learners(whole)
    learners.update(samples, _rng)
    whole.save(tmp_path)
    learners.save(tmp_path)
    again = _adapters(twin)
    again.load(tmp_path)
    resumed = _learners(again)
    resumed.load(tmp_path)
    for either in (learners, resumed):
        either.update(samples, lambda: stream(1, "minibatches"))
    for name in POLICIES:
        assert _equal(whole.parameters(name), again.parameters(name))


def test_pooled_figures_are_those_of_all_sequences():
    small = GSPOStats(
        sequences=1, tokens=10, optimiser_steps=1, skipped_minibatches=3, refused_minibatches=2, loss=1.0,
        clip_fraction=0.0, masked_sequences=1, ratio_first_deviation=1e-7, ratio_max_deviation=0.1, gradient_norm=1.0,
        engine_logp_difference=0.1, engine_logp_difference_max=0.4, kl=0.2,
    )  # fmt: skip
    other = replace(
        small, sequences=3, tokens=30, optimiser_steps=4, skipped_minibatches=0, refused_minibatches=1, loss=2.0,
        clip_fraction=1.0, masked_sequences=2, ratio_max_deviation=0.3, engine_logp_difference=0.3,
        engine_logp_difference_max=0.3, kl=None,
    )  # fmt: skip
    both = pooled([small, other])
    expected = GSPOStats(
        sequences=4, tokens=40, optimiser_steps=5, skipped_minibatches=3, refused_minibatches=3, loss=1.8,
        clip_fraction=0.75, masked_sequences=3, ratio_first_deviation=1e-7, ratio_max_deviation=0.3, gradient_norm=1.0,
        engine_logp_difference=0.25, engine_logp_difference_max=0.4, kl=0.05,
    )  # fmt: skip
    for field in fields(GSPOStats):
        assert getattr(both, field.name) == pytest.approx(getattr(expected, field.name)), field.name
    assert pooled([small]) is small
    assert pooled([other, other]).kl is None
