"""Trains reviews of one token on graded proposals, by the exact expectation over both verdicts.

A verdict is RIGHT or WRONG, so an expectation over what the reviewer may say is a sum of two terms: no sample, no
group and no generated token is needed where the truth is known. Both losses are proper scoring rules (Gneiting and
Raftery 2007) of p = P(RIGHT) = sigmoid(logit of RIGHT − logit of WRONG), the model's distribution restricted to both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tracer_agents.config import GSPOConfig, VerdictLoss
from tracer_agents.controllers.calibration import auroc
from tracer_agents.errors import TrainingDiverged
from tracer_agents.generation.attention import safe_width
from tracer_agents.generation.decoding.prompts import padded
from tracer_agents.generation.decoding.threads import suitable_threads
from tracer_agents.generation.weights import Weights
from tracer_agents.learners.backward import learning
from tracer_agents.learners.optimiser import MasterAdamW
from tracer_agents.learners.ranks import ALONE, Ranks

MAX_REFUSED = 3  # minibatches in a row without a finite gradient, before training stops


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSample:
    """A graded proposal as a reviewer's policy is asked about it.

    Args:
        prompt_ids: the prompt of the review.
        choices: the token that says RIGHT, and the one that says WRONG.
        right: whether the proposal is right.
        policy: which policy reviews.
    """

    prompt_ids: tuple[int, ...]
    choices: tuple[int, int]
    right: bool
    policy: str = "shared"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictStats:
    """What one update saw and did; probabilities are those before the step that each sample was first part of.

    ``auroc`` is the chance that a right proposal has the larger P(RIGHT) of a right and a wrong one, ties half. Means
    over nothing, and the AUROC of one class alone, are None.
    """

    samples: int
    right: int  # of them: the class balance
    optimiser_steps: int
    refused_minibatches: int  # whose loss or gradient was not finite: no step was taken
    loss: float | None
    p_right_of_right: float | None
    p_right_of_wrong: float | None
    auroc: float | None
    gradient_norm: float | None  # before it was scaled down


def verdict_loss(margin: torch.Tensor, right: torch.Tensor, loss: VerdictLoss) -> torch.Tensor:
    """The loss of each proposal, a sum over both verdicts.

    ``cross_entropy``: −Σ_v [v is true] log p(v). ``brier``: ½ Σ_v (p(v) − [v is true])² = (p − [right])².

    Args:
        margin: (B,) logit of RIGHT less that of WRONG.
        right: (B,) 1 where the proposal is right, otherwise 0.
        loss: which.

    Returns:
        (B,).
    """
    if loss == "cross_entropy":
        return torch.nn.functional.binary_cross_entropy_with_logits(margin, right, reduction="none")
    return (margin.sigmoid() - right).square()


class VerdictLearner:
    """Trains one policy's verdicts.

    Args:
        weights: trained in place; generation backends that share the object see the new ones at once.
        policy: which of them.
        pad_id: the token that fills padding (masked everywhere).
        config: learning rate, decay, largest gradient norm, padded tokens of one forward pass.
        loss: of a verdict.
        batch_size: proposals per optimiser step.
        beside: the optimiser of the same weights for another objective, with which weights in half precision share
            their master copies.
    """

    def __init__(
        self,
        weights: Weights,
        policy: str = "shared",
        *,
        pad_id: int,
        config: GSPOConfig,
        loss: VerdictLoss = "cross_entropy",
        batch_size: int = 64,
        beside: MasterAdamW | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self._weights = weights
        self._policy = policy
        self._model = weights.model.eval()
        self._pad_id = pad_id
        self._config = config
        self._loss: VerdictLoss = loss
        self._batch_size = batch_size
        self._optimiser = MasterAdamW(weights.parameters(policy), config, beside=beside)
        self._ranks = ranks
        self._refused_in_a_row = 0

    def update(self, samples: Sequence[VerdictSample], rng: np.random.Generator, *, epochs: int = 1) -> VerdictStats:
        """Goes through all samples, shuffled, ``epochs`` times; each minibatch's loss is the mean over its samples.

        Raises:
            TrainingDiverged: several minibatches in a row had a loss or gradient that is not finite.
        """
        chance = np.full(len(samples), np.nan)
        losses: list[float] = []
        norms: list[float] = []
        refused = 0
        with learning(self._weights, self._policy, self._config):
            for _ in range(epochs):
                order = rng.permutation(len(samples))
                for start in range(0, len(order), self._batch_size):
                    rows = order[start : start + self._batch_size]
                    loss, norm = self._step(samples, rows, chance)
                    if norm is None:
                        refused += 1
                    else:
                        losses.append(loss)
                        norms.append(norm)
                    self._count_refused(norm)
        self._optimiser.clear()
        right = np.array([sample.right for sample in samples], dtype=bool)
        return VerdictStats(
            samples=len(samples),
            right=int(right.sum()),
            optimiser_steps=len(norms),
            refused_minibatches=refused,
            loss=_mean(losses),
            p_right_of_right=_mean(chance[right]),
            p_right_of_wrong=_mean(chance[~right]),
            auroc=auroc(chance, right),
            gradient_norm=_mean(norms),
        )

    @torch.no_grad()
    def p_right(self, samples: Sequence[VerdictSample]) -> np.ndarray:
        """P(RIGHT) of each sample under the present weights, float64 of shape (samples,)."""
        chance = np.zeros(len(samples))
        with suitable_threads(self._model), self._weights.active(self._policy):
            for rows in self._micro_batches(samples, np.arange(len(samples))):
                chance[rows] = self._margin([samples[row] for row in rows]).double().sigmoid().cpu().numpy()
        return chance

    def _step(
        self, samples: Sequence[VerdictSample], rows: np.ndarray, chance: np.ndarray
    ) -> tuple[float, float | None]:
        """One minibatch: its loss, and the norm of its gradient; None: no step was taken. Fills unknown chances."""
        self._optimiser.clear()
        total = 0.0
        chances: list[tuple[np.ndarray, np.ndarray]] = []  # rows, and P(RIGHT) of each
        for part in self._ranks.dealt(self._micro_batches(samples, rows), np.array([], dtype=np.int64)):
            # A process that is left without a micro-batch computes one that weighs nothing.
            margin = self._margin([samples[row] for row in (part if len(part) else rows[:1])])
            if len(part):
                right = margin.new_tensor([float(samples[row].right) for row in part])
                loss = verdict_loss(margin, right, self._loss).sum() / len(rows)
                chances.append((part, margin.detach().double().sigmoid().cpu().numpy()))
            else:
                loss = (0 * margin).sum()
            loss.backward()
            self._optimiser.gather()
            total += float(loss.detach())
        collected = self._ranks.collect((total, chances))
        for part, computed in (each for _, theirs in collected for each in theirs):
            first = np.isnan(chance[part])
            chance[part[first]] = computed[first]
        total = sum(theirs for theirs, _ in collected)
        return total, self._optimiser.step(total)

    def _margin(self, samples: Sequence[VerdictSample]) -> torch.Tensor:
        """(B,) the logit of RIGHT less that of WRONG, in single precision at least."""
        model = self._model
        width = safe_width(max(len(sample.prompt_ids) for sample in samples), model.device)
        ids, mask = (
            each.to(model.device) for each in padded([sample.prompt_ids for sample in samples], width, self._pad_id)
        )
        positions = (mask.cumsum(-1) - 1).clamp_(min=0)
        output = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False, logits_to_keep=1)
        choices = torch.tensor([sample.choices for sample in samples], device=model.device)
        logits = output.logits[:, -1].gather(-1, choices)  # (B, 2)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return logits[:, 0] - logits[:, 1]

    def _micro_batches(self, samples: Sequence[VerdictSample], rows: np.ndarray) -> list[np.ndarray]:
        """Rows of like lengths together, at most ``micro_batch_tokens`` padded tokens each."""
        cuts: list[list[int]] = []
        for row in sorted(rows.tolist(), key=lambda row: (len(samples[row].prompt_ids), row)):
            if not cuts or len(samples[row].prompt_ids) * (len(cuts[-1]) + 1) > self._config.micro_batch_tokens:
                cuts.append([])
            cuts[-1].append(row)
        return [np.array(cut) for cut in cuts]

    def _count_refused(self, norm: float | None) -> None:
        self._refused_in_a_row = self._refused_in_a_row + 1 if norm is None else 0
        if self._refused_in_a_row >= MAX_REFUSED:
            raise TrainingDiverged(
                f"policy {self._policy!r}: the loss of verdicts or its gradient was not finite in {MAX_REFUSED} "
                "minibatches one after the other, and no step was taken on them. The last checkpoint is intact: lower "
                "credit.verdict_learning_rate, or check that speakers.model itself gives finite log-probabilities"
            )

    def save(self, folder: Path) -> None:
        """Writes the optimiser state to ``folder/verdicts.pt``, the same file whatever the number of processes."""
        state = self._optimiser.state()
        if self._ranks.leads:
            torch.save(state, folder / "verdicts.pt")

    def load(self, folder: Path) -> None:
        """Reads the optimiser state from ``folder/verdicts.pt``."""
        device = "cpu" if self._ranks.several else self._model.device  # of which each process then takes its part
        state = torch.load(folder / "verdicts.pt", map_location=device, weights_only=True)
        self._optimiser.load_state(state)


def _mean(values: Sequence[float] | np.ndarray) -> float | None:
    return float(np.mean(values)) if len(values) else None
