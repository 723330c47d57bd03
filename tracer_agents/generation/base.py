"""The seam between dialogues and engines: records and protocols every generation backend speaks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from tracer_agents.generation.gate import Check, Learner, Probes
from tracer_env.dialogue import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One completion wanted.

    Args:
        prompt_ids: the prompt's token ids; the chat template is already applied.
        seed: of this row's sampling noise; rows never share noise.
        max_new_tokens: the completion's longest length, end token included.
        temperature: 0 is greedy decoding.
        policy: which policy speaks, a name the backend knows.
        choices: where some are given, exactly one token is generated, and it is one of these ids: sampled from the
            next-token distribution restricted to them, at the request's temperature (0: the likeliest of them), with
            the request's seed; ``max_new_tokens`` has no meaning.
    """

    prompt_ids: tuple[int, ...]
    seed: int
    max_new_tokens: int
    temperature: float = 1.0
    policy: str = "shared"
    choices: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One completion, as the engine sampled it.

    ``output_ids`` includes the end token where generation stopped by itself; the reason is ``LENGTH`` where the limit
    cut it, and ``FAILED``, with no tokens, where an engine outside this process did not deliver. ``logps`` holds each
    output token's log-probability at the sampling temperature (natural log; temperature 1 for greedy rows).
    ``policy_version`` names the weights.

    Of a request with ``choices``, ``choice_logps`` holds each choice's log-probability among all tokens, at temperature
    1, and ``logps`` the generated one's among the choices, at the sampling temperature (1 for greedy rows): the
    distribution that it was sampled from. The reason is ``STOP``.
    """

    prompt_ids: tuple[int, ...]
    output_ids: tuple[int, ...]
    logps: tuple[float, ...]
    text: str
    finish_reason: FinishReason
    policy_version: int
    choice_logps: tuple[float, ...] = ()


def not_generated(request: GenerationRequest, reason: FinishReason, version: int) -> Generation:
    """What stands for a completion that did not come, without tokens."""
    return Generation(
        prompt_ids=request.prompt_ids, output_ids=(), logps=(), text="", finish_reason=reason, policy_version=version
    )


class GenerationBackend(Protocol):
    """An engine that completes prompts."""

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """One completion per request, in order; everything asked for is batched."""
        ...


class WeightReceiver(Protocol):
    """An engine that can be given new weights."""

    def sync(self, version: int) -> None:
        """Makes the learner's present weights those that generate, labelled ``version``."""
        ...


class Engine(GenerationBackend, WeightReceiver, Protocol):
    """What training needs: an engine that completes prompts with the learner's weights.

    It is a context manager: connections and folders of its own are gone when it ends.
    """

    @property
    def context(self) -> int | None:
        """The most tokens of a prompt with its completion; None: no limit is known."""
        ...

    def gate(self, learners: Mapping[str, Learner], probes: Probes) -> list[Check]:
        """Examines whether the engine generates from exactly the policies of the ``learners``, which are by policy.

        Raises:
            GenerationFailed: it does not answer.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
