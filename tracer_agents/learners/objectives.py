"""The losses of the speakers: pure functions on tensors, and one class per objective that composes them.

Sources: *Group Sequence Policy Optimization* (GSPO, arXiv 2507.18071) and GRPO (arXiv 2402.03300). B sequences,
T completion positions, V vocabulary entries; ``mask`` is 1 on the completion's tokens, its end token included, and 0
on padding.
"""

from dataclasses import dataclass
from typing import Protocol

import torch


class Objective(Protocol):
    """A clipped policy-gradient loss with the clip range that suits it."""

    @property
    def clip_low(self) -> float:
        """How far below 1 a ratio still counts."""
        ...

    @property
    def clip_high(self) -> float:
        """How far above 1."""
        ...

    def loss(
        self, logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor
    ) -> torch.Tensor:
        """The loss of each sequence, (B, T)³ and (B,) -> (B,)."""
        ...

    def clipped(
        self, logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor
    ) -> torch.Tensor:
        """The share of each sequence whose gradient the clip removes, (B, T)³ and (B,) -> (B,)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPO:
    """One ratio per sequence (GSPO, equation 5).

    The ratio is a geometric mean over tokens, which moves far less than a token's ratio does; so the range is narrow:
    the paper's 3e-4 and 4e-4.
    """

    clip_low: float = 3e-4
    clip_high: float = 4e-4

    def loss(
        self, logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor
    ) -> torch.Tensor:
        """See ``gspo_loss``."""
        return gspo_loss(sequence_log_ratio(logp, logp_old, mask), advantage, self.clip_low, self.clip_high)

    def clipped(
        self, logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor
    ) -> torch.Tensor:
        """1 for a clipped sequence, otherwise 0."""
        log_ratio = sequence_log_ratio(logp, logp_old, mask)
        return is_clipped(log_ratio, advantage, self.clip_low, self.clip_high).float()


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPO:
    """One ratio per token (GRPO, equation 3), clipped at 0.2 on either side as in PPO and the paper."""

    clip_low: float = 0.2
    clip_high: float = 0.2

    def loss(
        self, logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor
    ) -> torch.Tensor:
        """See ``grpo_loss``."""
        return grpo_loss(logp, logp_old, mask, advantage, self.clip_low, self.clip_high)

    def clipped(
        self, logp: torch.Tensor, logp_old: torch.Tensor, mask: torch.Tensor, advantage: torch.Tensor
    ) -> torch.Tensor:
        """The share of its tokens."""
        tokens = is_clipped(logp - logp_old, advantage.unsqueeze(-1), self.clip_low, self.clip_high)
        return token_mean(tokens, mask)


OBJECTIVES: dict[str, type[GSPO] | type[GRPO]] = {"gspo": GSPO, "grpo": GRPO}


def make_objective(name: str, *, clip_low: float | None = None, clip_high: float | None = None) -> Objective:
    """The objective of that name; a bound that is None is the objective's own."""
    given = {"clip_low": clip_low, "clip_high": clip_high}
    return OBJECTIVES[name](**{bound: value for bound, value in given.items() if value is not None})


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


def importance_weight(
    logp_old: torch.Tensor, logp_engine: torch.Tensor, mask: torch.Tensor, *, cap: float | None, bound: float | None
) -> torch.Tensor:
    """Corrects for an engine that is not quite the learner, by r = exp(mean_t(logp_old − logp_engine)).

    Args:
        logp_old, logp_engine, mask: (B, T) each.
        cap: the weight is min(r, cap); None: it is 1.
        bound: sequences with r outside [1/bound, bound] have weight 0, as those whose r is not a number; None: none.

    Returns:
        (B,), without gradient.
    """
    ratio = sequence_log_ratio(logp_old, logp_engine, mask).exp().detach()
    weight = torch.ones_like(ratio) if cap is None else ratio.clamp(max=cap)
    return weight if bound is None else weight.where((ratio <= bound) & (ratio >= 1 / bound), 0.0)
