"""The losses against hand-computed numbers, and against each other."""

import math
from typing import get_args

import pytest
import torch

from tracer_agents.config import ObjectiveName
from tracer_agents.learners.objectives import (
    GSPO,
    OBJECTIVES,
    grpo_loss,
    gspo_loss,
    importance_weight,
    is_clipped,
    kl_to_reference,
    make_objective,
    sequence_log_ratio,
    token_logps,
    token_mean,
)

LOW, HIGH = 0.1, 0.2


def test_token_logps_by_hand():
    logits = torch.tensor([[[0.0, math.log(3.0)], [math.log(4.0), 0.0]]])
    expected = torch.tensor([[math.log(3 / 4), math.log(1 / 5)]])
    assert torch.allclose(token_logps(logits, torch.tensor([[1, 1]])), expected)


@pytest.mark.parametrize(
    ("given", "computed"), [(torch.bfloat16, torch.float32), (torch.float32, torch.float32), (torch.float64,) * 2]
)
def test_token_logps_never_below_single_precision(given, computed):
    assert token_logps(torch.zeros(1, 1, 2, dtype=given), torch.tensor([[0]])).dtype is computed


def test_sequence_log_ratio_is_a_mean_over_the_mask():
    logp = torch.tensor([[1.0, 2.0, 9.0], [1.0, 1.0, 4.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert sequence_log_ratio(logp, torch.zeros_like(logp), mask).tolist() == [1.5, 2.0]


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope", "clipped"),
    [
        (1.0, 2.0, -2.0, -2.0, False),
        (1.15, 2.0, -2.3, -2.0, False),
        (1.30, 2.0, -2.4, 0.0, True),  # too likely already: no push up
        (1.30, -2.0, 2.6, 2.0, False),  # but a push down
        (0.85, 2.0, -1.7, -2.0, False),
        (0.85, -2.0, 1.8, 0.0, True),  # too unlikely already: no push down
    ],
)
def test_gspo_loss_by_hand(ratio, advantage, loss, slope, clipped):
    s = torch.tensor([ratio], dtype=torch.float64, requires_grad=True)
    a = torch.tensor([advantage], dtype=torch.float64)
    value = gspo_loss(s.log(), a, LOW, HIGH)
    value.sum().backward()
    assert value.item() == pytest.approx(loss)
    assert s.grad is not None
    assert s.grad.item() == pytest.approx(slope)
    assert is_clipped(s.detach().log(), a, LOW, HIGH).tolist() == [clipped]


def _random_batch():
    generator = torch.Generator().manual_seed(3)
    logp, logp_old = (torch.randn(6, 5, generator=generator, dtype=torch.float64) * 0.3 for _ in range(2))
    mask = (torch.arange(5) < torch.tensor([5, 4, 3, 2, 1, 5]).unsqueeze(-1)).double()
    advantage = torch.tensor([1.0, -1.0, 2.0, -0.5, 1.5, -2.0], dtype=torch.float64)
    return logp.requires_grad_(), logp_old, mask, advantage


def _token_form(logp, logp_old, mask, advantage):
    """GSPO-token (GSPO, equations 13 and 14), which is no setting: per-token advantages under the sequence's ratio."""
    sequence = sequence_log_ratio(logp, logp_old, mask).detach().unsqueeze(-1)
    loss = gspo_loss(sequence + logp - logp.detach(), advantage.unsqueeze(-1), LOW, HIGH)
    return token_mean(loss, mask)


def test_the_token_form_could_change_nothing_under_one_advantage_per_sequence():
    logp, logp_old, mask, advantage = _random_batch()
    sequence = GSPO(clip_low=LOW, clip_high=HIGH).loss(logp, logp_old, mask, advantage)
    [expected] = torch.autograd.grad(sequence.sum(), logp)
    token = _token_form(logp, logp_old, mask, advantage)
    [gradient] = torch.autograd.grad(token.sum(), logp)
    assert 0 < (expected[:, 0] == 0).sum() < 6  # some sequences are clipped, some are not
    assert torch.allclose(token, sequence)
    assert torch.allclose(gradient, expected, atol=1e-12)


@pytest.mark.parametrize(("name", "low", "high"), [("gspo", 3e-4, 4e-4), ("grpo", 0.2, 0.2)])
def test_each_objective_has_its_own_clip_which_a_setting_replaces_bound_by_bound(name, low, high):
    objective = make_objective(name)
    assert (objective.clip_low, objective.clip_high) == (low, high)
    wider = make_objective(name, clip_high=0.0)
    assert (wider.clip_low, wider.clip_high) == (low, 0.0)


def test_every_objective_can_be_named_in_the_settings():
    assert set(OBJECTIVES) == set(get_args(ObjectiveName))


def test_importance_weight_is_a_capped_geometric_mean_without_gradient():
    old = torch.tensor([[0.2, 0.4, 7.0], [3.0, 3.0, 3.0]], requires_grad=True)
    mask = torch.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    weight = importance_weight(old, torch.zeros(2, 3), mask, cap=2.0, bound=None)
    assert weight.tolist() == pytest.approx([math.exp(0.3), 2.0])
    assert not weight.requires_grad


@pytest.mark.parametrize(
    ("ratio", "weight"), [(0.49, 0.0), (0.51, 1.0), (1.0, 1.0), (1.99, 1.0), (2.01, 0.0), (math.nan, 0.0)]
)
def test_a_bound_masks_sequences_whose_geometric_mean_leaves_it_either_way(ratio, weight):
    old = torch.full((1, 4), math.log(ratio) if ratio == ratio else ratio)
    assert importance_weight(old, torch.zeros(1, 4), torch.ones(1, 4), cap=None, bound=2.0).tolist() == [weight]


def test_grpo_clips_each_token_by_its_own_ratio():
    logp, logp_old, mask, advantage = _random_batch()
    loss = grpo_loss(logp, logp_old, mask, advantage, LOW, HIGH)
    ratio = (logp - logp_old).exp().detach()
    for row in range(6):
        terms = [
            -min(r * advantage[row].item(), min(max(r, 1 - LOW), 1 + HIGH) * advantage[row].item())
            for r, m in zip(ratio[row].tolist(), mask[row].tolist(), strict=True)
            if m
        ]
        assert loss[row].item() == pytest.approx(sum(terms) / len(terms))
    [gradient] = torch.autograd.grad(loss.sum(), logp)
    clipped = is_clipped((logp - logp_old).detach(), advantage.unsqueeze(-1), LOW, HIGH)
    assert 0 < (clipped & (mask > 0)).sum() < mask.sum()
    expected = -ratio * advantage.unsqueeze(-1) * mask / mask.sum(-1, keepdim=True)
    assert torch.allclose(gradient, torch.where(clipped, torch.zeros_like(expected), expected))


def test_kl_estimate_is_the_divergence_in_the_mean():
    """Over all tokens of a small vocabulary, weighted by the policy, it is KL(π ‖ π_ref) exactly."""
    policy, reference = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.3, 0.3, 0.4])
    one_token = torch.ones(3, 1)
    estimate = kl_to_reference(policy.log().unsqueeze(1), reference.log().unsqueeze(1), one_token)
    assert (estimate > 0).all()
    exact = (policy * (policy / reference).log()).sum()
    assert float((policy * estimate).sum()) == pytest.approx(float(exact))


def test_kl_estimate_is_a_mean_over_a_sequences_own_tokens():
    logp, _, mask, _ = _random_batch()
    reference = logp.detach() + 0.1
    estimate = kl_to_reference(logp.detach(), reference, mask)
    assert estimate.tolist() == pytest.approx([math.exp(0.1) - 0.1 - 1] * len(logp), rel=1e-4)
    assert kl_to_reference(logp, logp, mask).abs().max() == 0
