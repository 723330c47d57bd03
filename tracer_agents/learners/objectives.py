"""The maths of sequence-level policy optimisation: pure functions on tensors.

Source: *Group Sequence Policy Optimization* (arXiv 2507.18071). B sequences, T completion positions,
V vocabulary entries; ``mask`` is 1 on the completion's tokens, its end token included, and 0 on padding.
"""

import torch


def token_logps(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """log π(y_t | x, y_<t).

    Args:
        logits: (B, T, V), position t predicting ``targets[:, t]``, already divided by the temperature.
        targets: (B, T) int64.

    Returns:
        (B, T) natural logs, in single precision at least.
    """
    precision = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits, dim=-1, dtype=precision).gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def token_mean(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The mean over each sequence's tokens, (B, T)² -> (B,)."""
    return (values * mask).sum(-1) / mask.sum(-1)


def sequence_log_ratio(logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """log s_i: the length-normalised log importance ratio of each sequence (equation 7), (B, T)³ -> (B,)."""
    return token_mean(logp - logp_old, mask)


def gspo_loss(log_ratio: torch.Tensor, advantage: torch.Tensor, clip_low: float, clip_high: float) -> torch.Tensor:
    """−min(s·A, clip(s, 1−ε_low, 1+ε_high)·A) of each sequence (equation 5), (B,)² -> (B,)."""
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high)
    return -torch.minimum(ratio * advantage, clipped * advantage)


def gspo_token_loss(
    logp: torch.Tensor,
    logp_old: torch.Tensor,
    mask: torch.Tensor,
    advantage: torch.Tensor,
    clip_low: float,
    clip_high: float,
) -> torch.Tensor:
    """GSPO-token (equations 13 and 14): per-token advantages under the sequence's ratio.

    Args:
        logp, logp_old, mask, advantage: (B, T) each.

    Returns:
        (B,); equals ``gspo_loss`` in value and gradient when a sequence's advantages are all equal.
    """
    sequence = sequence_log_ratio(logp, logp_old, mask).detach().unsqueeze(-1)  # (B, 1)
    log_ratio = sequence + logp - logp.detach()
    loss = gspo_loss(log_ratio, advantage, clip_low, clip_high)
    return token_mean(loss, mask)


def grpo_loss(
    logp: torch.Tensor,
    logp_old: torch.Tensor,
    mask: torch.Tensor,
    advantage: torch.Tensor,
    clip_low: float,
    clip_high: float,
) -> torch.Tensor:
    """GRPO without its KL term (arXiv 2402.03300, equation 3): each token under its own clipped ratio.

    Args:
        logp, logp_old, mask: (B, T) each.
        advantage: (B,).

    Returns:
        (B,), the mean over a sequence's tokens.
    """
    loss = gspo_loss(logp - logp_old, advantage.unsqueeze(-1), clip_low, clip_high)
    return token_mean(loss, mask)


def kl_to_reference(logp: torch.Tensor, logp_reference: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """An estimate of KL(π ‖ π_ref) of each sequence, (B, T)³ -> (B,): the mean over its tokens of r − log r − 1.

    r = π_ref / π. Unbiased for tokens sampled from π, never negative (GRPO, arXiv 2402.03300, equation 4).
    """
    log_ratio = logp_reference - logp
    return token_mean(log_ratio.exp() - log_ratio - 1, mask)


def is_clipped(log_ratio: torch.Tensor, advantage: torch.Tensor, clip_low: float, clip_high: float) -> torch.Tensor:
    """Which gradients the clip removes, of sequences or of tokens: bool, in the shape of ``log_ratio``."""
    ratio = log_ratio.exp()
    return ((advantage > 0) & (ratio > 1 + clip_high)) | ((advantage < 0) & (ratio < 1 - clip_low))


def truncated_importance_weight(
    logp_old: torch.Tensor, logp_engine: torch.Tensor, mask: torch.Tensor, cap: float
) -> torch.Tensor:
    """min(exp(mean_t(logp_old − logp_engine)), cap): corrects for an engine that is not quite the learner.

    The geometric mean per sequence, (B, T)³ -> (B,), without gradient.
    """
    return sequence_log_ratio(logp_old, logp_engine, mask).exp().clamp(max=cap).detach()
