"""The learners of several policies that share a model: each trains on what its own policy said."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from tracer_agents.generation.weights import Weights
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policy import GSPOLearner, GSPOStats
from tracer_agents.learners.verdicts import VerdictLearner, VerdictSample, VerdictStats


class PolicyLearners:
    """One learner per policy: each trains on what its own policy said, one after the other.

    Args:
        learners: by policy.
        weights: which they train.
        verdicts: by policy, where reviewers say one word.
    """

    def __init__(
        self,
        learners: Mapping[str, GSPOLearner],
        weights: Weights,
        verdicts: Mapping[str, VerdictLearner] | None = None,
    ) -> None:
        self._learners = dict(learners)
        self._verdicts = dict(verdicts or {})
        self._weights = weights

    def update(self, samples: Sequence[Sample], rng: Callable[[], np.random.Generator]) -> dict[str, GSPOStats]:
        """Takes each policy's steps; ``rng`` makes equal generators, so that no policy depends on the others' samples.

        Returns:
            Statistics by policy.
        """
        return {
            name: learner.update([sample for sample in samples if sample.policy == name], rng())
            for name, learner in self._learners.items()
        }

    def update_verdicts(
        self, samples: Sequence[VerdictSample], rng: Callable[[], np.random.Generator], *, epochs: int = 1
    ) -> dict[str, VerdictStats]:
        """Trains every reviewing policy on its own samples; ``rng`` makes equal generators.

        Returns:
            Statistics by policy, of those with samples.
        """
        by_policy = {name: [sample for sample in samples if sample.policy == name] for name in self._verdicts}
        return {
            name: learner.update(by_policy[name], rng(), epochs=epochs)
            for name, learner in self._verdicts.items()
            if by_policy[name]
        }

    def gather(self) -> None:
        """Nothing to do: one process holds the whole model."""

    def save(self, checkpoint: Path) -> None:
        """Writes every optimiser's state beside its policy's weights."""
        for name, learner in (*self._learners.items(), *self._verdicts.items()):
            learner.save(self._weights.folder(checkpoint, name))

    def load(self, checkpoint: Path) -> None:
        """Reads what ``save`` wrote."""
        for name, learner in (*self._learners.items(), *self._verdicts.items()):
            learner.load(self._weights.folder(checkpoint, name))


def pooled(stats: Collection[GSPOStats]) -> GSPOStats:
    """The figures of several policies as one policy's: sums, maxima, and means weighted by what they are means of."""

    def mean(field: str, weight: str) -> float:
        total = sum(getattr(each, weight) for each in stats)
        return sum((getattr(each, field) or 0.0) * getattr(each, weight) for each in stats) / max(total, 1)

    if len(stats) == 1:
        return next(iter(stats))
    return GSPOStats(
        sequences=sum(each.sequences for each in stats),
        tokens=sum(each.tokens for each in stats),
        optimiser_steps=sum(each.optimiser_steps for each in stats),
        skipped_minibatches=sum(each.skipped_minibatches for each in stats),
        refused_minibatches=sum(each.refused_minibatches for each in stats),
        loss=None if all(each.loss is None for each in stats) else mean("loss", "optimiser_steps"),
        clip_fraction=mean("clip_fraction", "sequences"),
        masked_sequences=sum(each.masked_sequences for each in stats),
        ratio_first_deviation=max(each.ratio_first_deviation for each in stats),
        ratio_max_deviation=max(each.ratio_max_deviation for each in stats),
        gradient_norm=(
            None if all(each.gradient_norm is None for each in stats) else mean("gradient_norm", "optimiser_steps")
        ),
        engine_logp_difference=mean("engine_logp_difference", "tokens"),
        engine_logp_difference_max=max(each.engine_logp_difference_max for each in stats),
        kl=None if all(each.kl is None for each in stats) else mean("kl", "tokens"),
    )
