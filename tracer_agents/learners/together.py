"""The learners of a model that is sharded over processes: what the leader is asked for, all do at the same time."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from tracer_agents.errors import RunError
from tracer_agents.generation.sharding import fingerprint, gather, scatter, shard
from tracer_agents.generation.weights import Weights
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.policy import GSPOLearner, GSPOStats
from tracer_agents.learners.ranks import Ranks, speaking
from tracer_agents.learners.verdicts import VerdictLearner, VerdictSample, VerdictStats
from tracer_env.errors import TracerError


def shard_alike(model: PreTrainedModel, ranks: Ranks) -> None:
    """Shards a model that all processes have loaded.

    Raises:
        ConfigError: it cannot be cut, or a process has no GPU of its own.
        RunError: a process holds other weights than the leader.
    """
    prints = ranks.collect(fingerprint(model))
    for rank, others in enumerate(prints):
        if others != prints[0]:
            raise RunError(
                f"rank {rank} loaded other weights than rank 0: speakers.model and the run's folder must be the same "
                "files on all machines"
            )
    ranks.alike(lambda: ranks.require_device(model.device))
    shard(model, ranks.mesh(model.device))


class SharedLearners(PolicyLearners):
    """The learners of one model in every process; they do nothing but what the leader tells all of them.

    Outside of what is told here the leader computes alone, with the whole model.

    Args:
        learners: by policy, of a sharded model.
        weights: which they train.
        verdicts: by policy, where reviewers say one word.
        ranks: the processes.
        label: tells this model from others that are trained.
    """

    def __init__(
        self,
        learners: Mapping[str, GSPOLearner],
        weights: Weights,
        verdicts: Mapping[str, VerdictLearner] | None = None,
        *,
        ranks: Ranks,
        label: str = "",
    ) -> None:
        super().__init__(learners, weights, verdicts)
        self._model = weights.model
        self._ranks = ranks
        self._label = label
        self._whole = False

    def update(self, samples: Sequence[Sample], rng: Callable[[], np.random.Generator]) -> dict[str, GSPOStats]:
        """See ``PolicyLearners``; the micro-batches of each minibatch are dealt to the processes."""
        return self._all_do("update", list(samples), rng())

    def update_verdicts(
        self, samples: Sequence[VerdictSample], rng: Callable[[], np.random.Generator], *, epochs: int = 1
    ) -> dict[str, VerdictStats]:
        """See ``PolicyLearners``; the micro-batches of each minibatch are dealt to the processes."""
        return self._all_do("update_verdicts", list(samples), rng(), epochs)

    def save(self, checkpoint: Path) -> None:
        """Writes, once, what a single process would."""
        self._all_do("save", checkpoint.absolute())

    def load(self, checkpoint: Path) -> None:
        """Reads it in every process.

        Raises:
            RunError: a process cannot.
        """
        self._all_do("load", checkpoint.absolute())

    def gather(self) -> None:
        """Makes the leader hold the whole model, until something is learned."""
        if not self._whole:
            self._all_do("gather")

    def _all_do(self, what: str, *arguments: Any) -> Any:
        self._ranks.tell((self._label, what, arguments))
        return self.do(what, arguments)

    def do(self, what: str, arguments: Sequence[Any]) -> Any:
        """Does what the leader has told all processes.

        Raises:
            RunError: another process has ended.
        """
        with speaking() if self._ranks.several else nullcontext():
            match what, *arguments:
                case "update", samples, rng:
                    self._take_apart()
                    return super().update(samples, lambda: copy.deepcopy(rng))
                case "update_verdicts", samples, rng, epochs:
                    self._take_apart()
                    return super().update_verdicts(samples, lambda: copy.deepcopy(rng), epochs=epochs)
                case "save", checkpoint:
                    return super().save(checkpoint)
                case "load", checkpoint:
                    return self._ranks.alike(lambda: super(SharedLearners, self).load(checkpoint))
                case "gather", *_:
                    gather(self._model, keep=self._ranks.leads)
                    self._whole = self._ranks.leads
        return None

    def _take_apart(self) -> None:
        scatter(self._model)
        self._whole = False


def follow(ranks: Ranks, models: Mapping[str, SharedLearners]) -> None:
    """Does what the leader tells of the models, which are by their labels, until it says that nothing is left.

    What fails for all processes, such as a step that diverges, is the leader's to say.

    Raises:
        RunError: the leader has ended without a word.
    """
    while (message := ranks.hear()) is not None:
        label, what, arguments = message
        with suppress(TracerError):
            models[label].do(what, arguments)
