"""The GSPO learner: owns the optimiser state of one policy."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from tracer_agents.config import GSPOConfig
from tracer_agents.errors import TrainingDiverged
from tracer_agents.generation.decoding.cache import can_come_and_go
from tracer_agents.generation.weights import Weights
from tracer_agents.learners.backward import learning
from tracer_agents.learners.batches import MicroBatch, Sample, idle_batch, micro_batches, sharing_pays
from tracer_agents.learners.objectives import (
    importance_weight,
    kl_to_reference,
    make_objective,
    sequence_log_ratio,
)
from tracer_agents.learners.optimiser import MasterAdamW
from tracer_agents.learners.ranks import ALONE, Ranks
from tracer_agents.learners.scoring import Scorer

MAX_REFUSED = 3  # minibatches in a row without a finite gradient, before training stops


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPOStats:
    """What one rollout batch did to the policy; means are over the sequences trained on."""

    sequences: int
    tokens: int
    optimiser_steps: int
    skipped_minibatches: int  # without a sequence
    refused_minibatches: int  # whose loss or gradient was not finite: no step was taken, no other figure counts them
    loss: float | None  # None: no step was taken
    clip_fraction: float
    masked_sequences: int  # of those, the ones that gspo.sequence_mask learned nothing from
    ratio_first_deviation: float  # max |s − 1| of the first minibatch: 0 but for rounding
    ratio_max_deviation: float  # max |s − 1| over all minibatches
    gradient_norm: float | None  # before it was scaled down; None: no step was taken
    engine_logp_difference: float  # mean |logp_old − logp_engine| over tokens
    engine_logp_difference_max: float
    kl: float | None  # to the reference, per token; None: not asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Minibatch:
    """The samples of an optimiser step."""

    rows: np.ndarray  # indices into the rollout batch
    batches: list[MicroBatch]  # those that this process computes


class GSPOLearner:
    """Trains one policy by GSPO (arXiv 2507.18071).

    Args:
        weights: trained in place; generation backends that share the object see the new ones at once.
        policy: which of them.
        pad_id: the token that fills padding (masked everywhere).
        config: objective, learning rate, optimiser steps per batch.
        ranks: the processes over which the model is sharded; all of them are asked for the same.
    """

    def __init__(
        self, weights: Weights, policy: str = "shared", *, pad_id: int, config: GSPOConfig, ranks: Ranks = ALONE
    ) -> None:
        self._weights = weights
        self._policy = policy
        self._model = weights.model.eval()  # no dropout: sampling and scoring must be the same function
        self._scorer = Scorer(self._model)
        if ranks.several:
            self._scorer.settle()  # with forward passes, which all processes must make at the same time
        # Whether completions may attend to prompts computed before; layers that are computed again have no such memory,
        # and processes would not make as many forward passes each.
        self._shares = can_come_and_go(self._model) and not config.gradient_checkpointing and not ranks.several
        self._ranks = ranks
        self._pad_id = pad_id
        self._config = config
        self._objective = make_objective(config.loss, clip_low=config.clip_low, clip_high=config.clip_high)
        self._optimiser = MasterAdamW(weights.parameters(policy), config)
        self._refused_in_a_row = 0

    @property
    def optimiser(self) -> MasterAdamW:
        """Steps the policy's weights."""
        return self._optimiser

    def logps(self, batch: MicroBatch) -> torch.Tensor:
        """log-probabilities at temperature 1 of the completion tokens under the active weights, (B, T)."""
        return self._scorer.logps(batch)

    def update(self, samples: Sequence[Sample], rng: np.random.Generator) -> GSPOStats:
        """Takes ``optimiser_steps`` steps on one rollout batch of samples, all from groups with a signal.

        Each minibatch's loss is, for each role, the mean over its own sequences, summed over roles.

        Raises:
            TrainingDiverged: several minibatches in a row had a loss or gradient that is not finite.
        """
        minibatches = self.minibatches(samples, rng)
        shares = any(batch.prompts is not None for minibatch in minibatches for batch in minibatch.batches)
        with learning(self._weights, self._policy, self._config, shares_prompts=shares):
            return self._update(minibatches, samples)

    def _update(self, minibatches: Sequence[Minibatch], samples: Sequence[Sample]) -> GSPOStats:
        batches = [minibatch.batches for minibatch in minibatches]
        # Of a batch that is a single step, the weights that learn are those of the old log-probabilities.
        logp_old = self._score(batches) if len(batches) > 1 else _unknown(batches)
        reference = self._score_reference(batches)
        taken = _Tally()
        for minibatch, olds, initial in zip(minibatches, logp_old, reference, strict=True):
            if not len(minibatch.rows):
                taken.skipped += 1
                continue
            weights = _role_weights([samples[row] for row in minibatch.rows])
            self._optimiser.clear()
            for batch, old, ref in zip(minibatch.batches, olds, initial, strict=True):
                if len(batch.rows):
                    self._backward(batch, old, ref, [samples[row] for row in batch.rows], weights, taken.open)
                else:
                    (0 * self.logps(batch)).sum().backward()
                self._optimiser.gather()
            if self._ranks.several:
                taken.open = _merged(self._ranks.collect(taken.open.on_cpu()))
            norm = self._optimiser.step(taken.open.loss)
            taken.close(norm)
            self._count_refused(norm is None)
        self._optimiser.clear()
        return taken.stats()

    def _count_refused(self, refused: bool) -> None:
        """Some minibatches may overflow; if one after the other does, the weights or the precision are at fault."""
        self._refused_in_a_row = self._refused_in_a_row + 1 if refused else 0
        if self._refused_in_a_row >= MAX_REFUSED:
            dtype = str(self._model.dtype).removeprefix("torch.")
            remedy = "set speakers.dtype: float32" if dtype == "float16" else "lower gspo.learning_rate"
            raise TrainingDiverged(
                f"policy {self._policy!r}: the loss or its gradient was not finite in {MAX_REFUSED} minibatches one "
                f"after the other, and no step was taken on them (weights in {dtype}). The last checkpoint is intact: "
                f"{remedy}, or check that speakers.model itself gives finite log-probabilities"
            )

    def minibatches(self, samples: Sequence[Sample], rng: np.random.Generator) -> list[Minibatch]:
        """Those of each optimiser step on a rollout batch, samples shuffled."""
        parts = np.array_split(rng.permutation(len(samples)), self._config.optimiser_steps)
        return [Minibatch(rows=rows, batches=self._micro_batches(samples, rows)) for rows in parts]

    def _micro_batches(self, samples: Sequence[Sample], rows: np.ndarray) -> list[MicroBatch]:
        batches = micro_batches(
            samples,
            rows,
            pad_id=self._pad_id,
            max_tokens=self._config.micro_batch_tokens,
            device=self._model.device,
            share_prompts=self._shares and sharing_pays(samples, rows),
        )
        return self._ranks.dealt(batches, idle_batch(self._pad_id, self._model.device))

    @torch.no_grad()
    def _score(self, minibatches: list[list[MicroBatch]]) -> list[list[torch.Tensor]]:
        return [[self.logps(batch) for batch in minibatch] for minibatch in minibatches]

    def _score_reference(self, minibatches: list[list[MicroBatch]]) -> list[list[torch.Tensor]] | list[list[None]]:
        """The log-probabilities before any training, which the KL term is measured to; None without one."""
        if not self._config.kl:
            return _unknown(minibatches)
        with self._weights.reference():
            return self._score(minibatches)

    def _backward(
        self,
        batch: MicroBatch,
        logp_old: torch.Tensor | None,
        logp_reference: torch.Tensor | None,
        samples: Sequence[Sample],
        weights: dict[str, float],
        figures: "_Figures",
    ) -> None:
        config = self._config
        logp = self.logps(batch)
        logp_old = logp.detach() if logp_old is None else logp_old
        advantage = logp.new_tensor([sample.advantage for sample in samples])
        weight = logp.new_tensor([weights[sample.role] for sample in samples])
        loss = self._objective.loss(logp, logp_old, batch.mask, advantage)
        correction = importance_weight(
            logp_old, batch.logp_engine, batch.mask, cap=config.importance_cap, bound=config.sequence_mask
        )
        loss = loss * correction
        kl = None if logp_reference is None else kl_to_reference(logp, logp_reference, batch.mask)
        if kl is not None:
            loss = loss + config.kl * kl
        total = (loss * weight).sum()
        total.backward()
        with torch.no_grad():
            difference = (logp_old - batch.logp_engine).abs() * batch.mask
            figures.loss += float(total)
            figures.masked += int((correction == 0).sum())
            figures.clipped.append(self._objective.clipped(logp, logp_old, batch.mask, advantage))
            figures.deviations.append((sequence_log_ratio(logp, logp_old, batch.mask).exp() - 1).abs())
            figures.differences.append(float(difference.sum()))
            figures.difference_max = max(figures.difference_max, float(difference.max()))
            figures.tokens += float(batch.mask.sum())
            if kl is not None:
                figures.kl.append(float((kl * batch.mask.sum(-1)).sum()))

    def save(self, folder: Path) -> None:
        """Writes the optimiser state to ``folder/optimiser.pt``, the same file whatever the number of processes."""
        state = self._optimiser.state()
        if self._ranks.leads:
            torch.save(state, folder / "optimiser.pt")

    def load(self, folder: Path) -> None:
        """Reads the optimiser state from ``folder/optimiser.pt``."""
        device = "cpu" if self._ranks.several else self._model.device  # of which each process then takes its part
        state = torch.load(folder / "optimiser.pt", map_location=device, weights_only=True)
        self._optimiser.load_state(state)


def _unknown(minibatches: Sequence[Sequence[MicroBatch]]) -> list[list[None]]:
    """In place of log-probabilities that nobody asks for."""
    return [[None] * len(minibatch) for minibatch in minibatches]


def _role_weights(samples: Sequence[Sample]) -> dict[str, float]:
    """1 / (number of the role's sequences): with them a sum over sequences is a sum of per-role means."""
    roles = [sample.role for sample in samples]
    return {role: 1.0 / roles.count(role) for role in set(roles)}


@dataclass(slots=True, kw_only=True)
class _Figures:
    """Sums over the sequences of one minibatch, or of several."""

    loss: float = 0.0
    masked: int = 0
    clipped: list[torch.Tensor] = field(default_factory=list)
    deviations: list[torch.Tensor] = field(default_factory=list)
    differences: list[float] = field(default_factory=list)
    difference_max: float = 0.0
    tokens: float = 0.0
    kl: list[float] = field(default_factory=list)

    def on_cpu(self) -> "_Figures":
        """The same, to be sent to other processes."""
        clipped, deviations = [each.cpu() for each in self.clipped], [each.cpu() for each in self.deviations]
        return replace(self, clipped=clipped, deviations=deviations)


def _merged(parts: Sequence[_Figures]) -> _Figures:
    """The figures of a minibatch that several processes computed."""
    return _Figures(
        loss=sum(part.loss for part in parts),
        masked=sum(part.masked for part in parts),
        clipped=[each for part in parts for each in part.clipped],
        deviations=[each for part in parts for each in part.deviations],
        differences=[each for part in parts for each in part.differences],
        difference_max=max(part.difference_max for part in parts),
        tokens=sum(part.tokens for part in parts),
        kl=[each for part in parts for each in part.kl],
    )


class _Tally:
    """Collects the figures of one update; those of a minibatch count once its step was taken."""

    def __init__(self) -> None:
        self.skipped = self.refused = 0
        self._norms: list[float] = []
        self._kept: list[_Figures] = []
        self.open = _Figures()  # of the minibatch under way

    def close(self, gradient_norm: float | None) -> None:
        """Ends a minibatch; None: no step was taken."""
        if gradient_norm is None:
            self.refused += 1
        else:
            self._norms.append(gradient_norm)
            self._kept.append(self.open)
        self.open = _Figures()

    def stats(self) -> GSPOStats:
        kept, steps = self._kept, len(self._norms)
        deviations = [float(torch.cat(part.deviations).max()) for part in kept]
        clipped = [share for part in kept for share in part.clipped]
        tokens = sum(part.tokens for part in kept)
        kl = [part for figures in kept for part in figures.kl]
        return GSPOStats(
            sequences=sum(len(share) for share in clipped),
            tokens=int(tokens),
            optimiser_steps=steps,
            skipped_minibatches=self.skipped,
            refused_minibatches=self.refused,
            loss=sum(part.loss for part in kept) / steps if steps else None,
            clip_fraction=float(torch.cat(clipped).mean()) if clipped else 0.0,
            masked_sequences=sum(part.masked for part in kept),
            ratio_first_deviation=deviations[0] if deviations else 0.0,
            ratio_max_deviation=max(deviations, default=0.0),
            gradient_norm=sum(self._norms) / steps if steps else None,
            engine_logp_difference=sum(part for figures in kept for part in figures.differences) / max(tokens, 1.0),
            engine_logp_difference_max=max((part.difference_max for part in kept), default=0.0),
            kl=sum(kl) / tokens if kl else None,
        )
