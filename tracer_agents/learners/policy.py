"""The GSPO learner: owns the optimiser state of one policy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tracer_agents.config import GSPOConfig
from tracer_agents.generation.attention import attention
from tracer_agents.generation.weights import Weights
from tracer_agents.learners.batches import MicroBatch, Sample, micro_batches
from tracer_agents.learners.objectives import (
    kl_to_reference,
    make_objective,
    sequence_log_ratio,
    token_logps,
    truncated_importance_weight,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPOStats:
    """What one rollout batch did to the policy; means are over the sequences trained on."""

    sequences: int
    tokens: int
    optimiser_steps: int
    skipped_minibatches: int
    loss: float
    clip_fraction: float
    ratio_first_deviation: float  # max |s − 1| of the first minibatch: 0 but for rounding
    ratio_max_deviation: float  # max |s − 1| over all minibatches
    gradient_norm: float
    engine_logp_difference: float  # mean |logp_old − logp_engine| over tokens
    engine_logp_difference_max: float
    kl: float | None  # to the reference, per token; None: not asked for


class GSPOLearner:
    """Trains one policy by GSPO (arXiv 2507.18071).

    Args:
        weights: trained in place; generation backends that share the object see the new ones at once.
        policy: which of them.
        pad_id: the token that fills padding (masked everywhere).
        config: objective, learning rate, optimiser steps per batch.
    """

    def __init__(self, weights: Weights, policy: str = "shared", *, pad_id: int, config: GSPOConfig) -> None:
        self._weights = weights
        self._policy = policy
        self._model = weights.model.eval()  # no dropout: sampling and scoring must be the same function
        self._pad_id = pad_id
        self._config = config
        self._objective = make_objective(config.loss, clip_low=config.clip_low, clip_high=config.clip_high)
        self._parameters = weights.parameters(policy)
        self._optimiser = torch.optim.AdamW(
            self._parameters, lr=config.learning_rate, betas=(0.9, config.beta2), weight_decay=config.weight_decay
        )

    def logps(self, batch: MicroBatch) -> torch.Tensor:
        """log-probabilities at temperature 1 of the completion tokens under the active weights, (B, T)."""
        width = batch.completion_width
        positions = (batch.attention_mask.cumsum(-1) - 1).clamp_(min=0)
        logits = self._model(
            input_ids=batch.input_ids,
            attention_mask=batch.attention_mask,
            position_ids=positions,
            logits_to_keep=width + 1,
            use_cache=False,
        ).logits
        return token_logps(logits[:, :-1], batch.targets)

    def update(self, samples: Sequence[Sample], rng: np.random.Generator) -> GSPOStats:
        """Takes ``optimiser_steps`` steps on one rollout batch of samples, all from groups with a signal.

        Each minibatch's loss is, for each role, the mean over its own sequences, summed over roles.
        """
        kernel = "eager" if self._model.device.type == "cpu" else "sdpa"  # sdpa's backward pass is slow on CPUs
        with attention(self._model, kernel), self._weights.active(self._policy):
            return self._update(self._minibatches(samples, rng), samples)

    def _update(self, minibatches: list[list[MicroBatch]], samples: Sequence[Sample]) -> GSPOStats:
        logp_old = self._score(minibatches)
        reference = self._score_reference(minibatches)
        taken = _Tally()
        for minibatch, olds, initial in zip(minibatches, logp_old, reference, strict=True):
            if not minibatch:
                taken.skipped += 1
                continue
            weights = _role_weights([samples[row] for batch in minibatch for row in batch.rows])
            self._optimiser.zero_grad(set_to_none=True)
            for batch, old, ref in zip(minibatch, olds, initial, strict=True):
                self._backward(batch, old, ref, [samples[row] for row in batch.rows], weights, taken)
            norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._config.max_gradient_norm)
            self._optimiser.step()
            taken.gradient_norms.append(float(norm))
            taken.close_minibatch()
        self._optimiser.zero_grad(set_to_none=True)
        return taken.stats()

    def _minibatches(self, samples: Sequence[Sample], rng: np.random.Generator) -> list[list[MicroBatch]]:
        parts = np.array_split(rng.permutation(len(samples)), self._config.optimiser_steps)
        limit, device = self._config.micro_batch_tokens, self._model.device
        return [micro_batches(samples, p, pad_id=self._pad_id, max_tokens=limit, device=device) for p in parts]

    @torch.no_grad()
    def _score(self, minibatches: list[list[MicroBatch]]) -> list[list[torch.Tensor]]:
        return [[self.logps(batch) for batch in minibatch] for minibatch in minibatches]

    def _score_reference(self, minibatches: list[list[MicroBatch]]) -> list[list[torch.Tensor]] | list[list[None]]:
        """The log-probabilities before any training, which the KL term is measured to; None without one."""
        if not self._config.kl:
            return [[None] * len(minibatch) for minibatch in minibatches]
        with self._weights.reference():
            return self._score(minibatches)

    def _backward(
        self,
        batch: MicroBatch,
        logp_old: torch.Tensor,
        logp_reference: torch.Tensor | None,
        samples: Sequence[Sample],
        weights: dict[str, float],
        taken: "_Tally",
    ) -> None:
        config = self._config
        logp = self.logps(batch)
        advantage = logp.new_tensor([sample.advantage for sample in samples])
        weight = logp.new_tensor([weights[sample.role] for sample in samples])
        loss = self._objective.loss(logp, logp_old, batch.mask, advantage)
        if config.importance_cap is not None:
            loss = loss * truncated_importance_weight(logp_old, batch.logp_engine, batch.mask, config.importance_cap)
        kl = None if logp_reference is None else kl_to_reference(logp, logp_reference, batch.mask)
        if kl is not None:
            loss = loss + config.kl * kl
        total = (loss * weight).sum()
        total.backward()
        with torch.no_grad():
            taken.add(
                loss=float(total),
                clipped=self._objective.clipped(logp, logp_old, batch.mask, advantage),
                deviation=(sequence_log_ratio(logp, logp_old, batch.mask).exp() - 1).abs(),
                difference=((logp_old - batch.logp_engine).abs() * batch.mask),
                tokens=float(batch.mask.sum()),
                kl=None if kl is None else float((kl * batch.mask.sum(-1)).sum()),
            )

    def save(self, folder: Path) -> None:
        """Writes the optimiser state to ``folder/optimiser.pt``."""
        torch.save(self._optimiser.state_dict(), folder / "optimiser.pt")

    def load(self, folder: Path) -> None:
        """Reads the optimiser state from ``folder/optimiser.pt``."""
        state = torch.load(folder / "optimiser.pt", map_location=self._model.device, weights_only=True)
        self._optimiser.load_state_dict(state)


def _role_weights(samples: Sequence[Sample]) -> dict[str, float]:
    """1 / (number of the role's sequences): with them a sum over sequences is a sum of per-role means."""
    roles = [sample.role for sample in samples]
    return {role: 1.0 / roles.count(role) for role in set(roles)}


class _Tally:
    """Collects the figures of one update."""

    def __init__(self) -> None:
        self.skipped = 0
        self.gradient_norms: list[float] = []
        self._losses = [0.0]
        self._clipped: list[torch.Tensor] = []
        self._deviations: list[list[torch.Tensor]] = [[]]
        self._difference = self._difference_max = self._tokens = 0.0
        self._kl: float | None = None

    def add(
        self,
        *,
        loss: float,
        clipped: torch.Tensor,
        deviation: torch.Tensor,
        difference: torch.Tensor,
        tokens: float,
        kl: float | None,
    ) -> None:
        self._losses[-1] += loss
        self._clipped.append(clipped)
        self._deviations[-1].append(deviation)
        self._difference += float(difference.sum())
        self._difference_max = max(self._difference_max, float(difference.max()))
        self._tokens += tokens
        self._kl = self._kl if kl is None else (self._kl or 0.0) + kl

    def close_minibatch(self) -> None:
        self._losses.append(0.0)
        self._deviations.append([])

    def stats(self) -> GSPOStats:
        steps = len(self.gradient_norms)
        deviations = [float(torch.cat(part).max()) for part in self._deviations if part]
        clipped = torch.cat(self._clipped) if self._clipped else torch.zeros(1)
        return GSPOStats(
            sequences=sum(len(part) for part in self._clipped),
            tokens=int(self._tokens),
            optimiser_steps=steps,
            skipped_minibatches=self.skipped,
            loss=sum(self._losses) / max(steps, 1),
            clip_fraction=float(clipped.mean()),
            ratio_first_deviation=deviations[0] if deviations else 0.0,
            ratio_max_deviation=max(deviations, default=0.0),
            gradient_norm=sum(self.gradient_norms) / max(steps, 1),
            engine_logp_difference=self._difference / max(self._tokens, 1.0),
            engine_logp_difference_max=self._difference_max,
            kl=None if self._kl is None else self._kl / self._tokens,
        )
