"""The gate before any work: what an engine is examined with, what is found, and the refusal if something fails."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

from tracer_agents.errors import ParityFailed

Status = Literal["passed", "failed", "not applicable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """The learner's view of one completion, each of shape (tokens,), natural logs at the asked temperature."""

    logp: tuple[float, ...]
    mean: tuple[float, ...]  # E[log p] under the policy at that position
    variance: tuple[float, ...]  # of log p there


class Learner(Protocol):
    """What the gate asks of the learner."""

    def score(self, completions: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], temperature: float) -> list[Scores]:
        """Scores (prompt ids, output ids) pairs under the present weights."""
        ...

    def perturbed(self) -> AbstractContextManager[None]:
        """Holds visibly different weights while it is open, and the true ones again after."""
        ...

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids of a text, special tokens recognised, none added."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Probes:
    """What an engine is examined with.

    Args:
        prompts: token ids of at least two prompts that do not begin alike up to their last token.
        texts: probe the tokenizer.
        max_new_tokens: of the samples.
        temperatures: at which log-probabilities are compared; 1 is what training samples at.
        tolerance: the mean difference of log-probabilities that rounding explains; a single token's may be 10 times it.
    """

    prompts: Sequence[tuple[int, ...]]
    texts: Sequence[str]
    max_new_tokens: int
    temperatures: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of one engine; ``detail`` gives the numbers that were compared."""

    name: str
    server: str
    status: Status
    detail: str


def require(checks: Sequence[Check]) -> None:
    """Lets work begin only if no check failed.

    Raises:
        ParityFailed: names every failed check with its numbers.
    """
    failed = [f"{check.server}: {check.name}: {check.detail}" for check in checks if check.status == "failed"]
    if failed:
        raise ParityFailed(
            "the server does not generate from the learner's policy, so training is refused; " + "; ".join(failed)
        )
