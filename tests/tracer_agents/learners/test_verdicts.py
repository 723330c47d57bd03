"""Verdicts are trained on the exact expectation over both, and on nothing else."""

import numpy as np
import pytest
import torch

from tracer_agents.build import load_policy
from tracer_agents.config import GSPOConfig, load_config
from tracer_agents.learners.verdicts import VerdictLearner, VerdictSample, auroc, verdict_loss

CHOICES = (5, 60)


@pytest.fixture
def policy(small_settings):
    return load_policy(load_config(overrides=small_settings))


def learner(policy, **settings) -> VerdictLearner:
    config = GSPOConfig(learning_rate=settings.pop("rate", 1e-3), micro_batch_tokens=settings.pop("tokens", 8192))
    return VerdictLearner(policy.weights, pad_id=policy.pad_id, config=config, **settings)


def samples(policy, count: int = 24) -> list[VerdictSample]:
    """Proposals of which those with an even number are right."""
    made = []
    for row in range(count):
        text = f"<|user|>Ana has {row} pens{' and pencils' * (row % 3)}.<|end|><|assistant|>"
        ids = tuple(policy.tokenizer.encode(text, add_special_tokens=False))
        made.append(VerdictSample(prompt_ids=ids, choices=CHOICES, right=row % 2 == 0))
    return made


@pytest.mark.parametrize("loss", ["cross_entropy", "brier"])
def test_a_loss_is_the_sum_over_both_verdicts_and_so_is_its_gradient(loss):
    """Against both verdicts enumerated in double precision, with autograd through the softmax of their logits."""
    generator = torch.Generator().manual_seed(0)
    logits = (torch.randn(64, 2, generator=generator, dtype=torch.float64) * 3).requires_grad_()
    right = torch.rand(64, generator=generator) < 0.5
    truth = torch.stack([right, ~right], dim=-1).double()  # (B, 2): which verdict is true
    p = logits.softmax(-1)
    terms = -truth * p.log() if loss == "cross_entropy" else (p - truth).square() / 2
    expected = terms.sum(-1)
    [gradient] = torch.autograd.grad(expected.sum(), logits)

    single = logits.detach().float().requires_grad_()
    actual = verdict_loss(single[:, 0] - single[:, 1], right.float(), loss)
    actual.sum().backward()
    assert actual.detach().double().numpy() == pytest.approx(expected.detach().numpy(), rel=1e-4, abs=1e-6)
    assert single.grad.double().numpy() == pytest.approx(gradient.numpy(), rel=1e-4, abs=1e-6)


def test_the_gradient_of_cross_entropy_is_the_expected_policy_gradient_divided_by_the_chance_of_the_truth():
    """The sum over both verdicts of p(v) reward(v) ∇ log p(v), reward 1 for the true one, is p(true) ∇ log p(true)."""
    margin = torch.linspace(-4, 4, 33, dtype=torch.float64, requires_grad=True)
    p = margin.sigmoid()
    log_p = torch.stack([p.log(), (1 - p).log()])
    reward = torch.tensor([1.0, 0.0], dtype=torch.float64)  # the proposal is right
    surrogate = (torch.stack([p, 1 - p]).detach() * reward.unsqueeze(-1) * log_p).sum()
    [policy_gradient] = torch.autograd.grad(surrogate, margin)
    loss = verdict_loss(margin, torch.ones_like(margin), "cross_entropy").sum()
    [gradient] = torch.autograd.grad(loss, margin)
    assert (-policy_gradient / p).detach().numpy() == pytest.approx(gradient.numpy())


def test_an_update_teaches_verdicts_and_says_what_it_saw(policy):
    made, batch = learner(policy, batch_size=8), samples(policy)
    before = made.p_right(batch)
    stats = made.update(batch, np.random.default_rng(0), epochs=30)
    after, right = made.p_right(batch), np.array([sample.right for sample in batch])
    assert after[right].mean() - after[~right].mean() > 0.5 > abs(before[right].mean() - before[~right].mean())
    assert (stats.samples, stats.right, stats.optimiser_steps, stats.refused_minibatches) == (24, 12, 90, 0)
    stats = learner(policy, batch_size=24).update(batch, np.random.default_rng(0))
    assert stats.p_right_of_right == pytest.approx(after[right].mean(), abs=1e-5)  # before its only step
    assert stats.p_right_of_wrong == pytest.approx(after[~right].mean(), abs=1e-5)
    assert stats.auroc == auroc(after, right)
    truth = np.where(right, after, 1 - after)
    assert stats.loss == pytest.approx(-np.log(truth).mean(), rel=1e-4)


def test_micro_batches_change_nothing_but_rounding(small_settings):
    trained = []
    for tokens in (20, 8192):
        policy = load_policy(load_config(overrides=small_settings))
        made = learner(policy, tokens=tokens, batch_size=12)
        made.update(samples(policy), np.random.default_rng(0))
        trained.append(made.p_right(samples(policy)))
    assert trained[0] == pytest.approx(trained[1], abs=1e-4)


def test_the_optimiser_goes_on_where_it_was(policy, small_settings, tmp_path):
    batch = samples(policy)
    made = learner(policy)
    made.update(batch, np.random.default_rng(0))
    made.save(tmp_path)
    twin_policy = load_policy(load_config(overrides=small_settings))
    twin_policy.model.load_state_dict(policy.model.state_dict())
    twin = learner(twin_policy)
    twin.load(tmp_path)
    for each in (made, twin):
        each.update(batch, np.random.default_rng(1))
    for mine, theirs in zip(policy.model.parameters(), twin_policy.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_auroc_by_hand():
    right = np.array([True, False, True, False])
    assert auroc(np.array([0.9, 0.1, 0.4, 0.4]), right) == 3.5 / 4
    assert auroc(np.array([0.9, 0.1]), np.array([True, True])) is None
