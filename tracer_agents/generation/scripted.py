"""The shipped fake engine: completions come from a function of the request, for tests and examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tracer_agents.generation.base import Generation, GenerationRequest
from tracer_agents.generation.decoding.choices import choose_among
from tracer_agents.generation.gate import Check, Learner, Probes
from tracer_env.dialogue import FinishReason


@dataclass(kw_only=True)
class ScriptedBackend:
    """Completes every prompt with ``script(request)``.

    Args:
        script: request -> completion text; of a request with choices, the log-probability of each.
        encode, decode: text -> token ids, to count and to train on, and back; UTF-8 bytes by default.
    """

    script: Callable[[GenerationRequest], str | Sequence[float]]
    encode: Callable[[str], Sequence[int]] = lambda text: list(text.encode())
    decode: Callable[[Sequence[int]], str] = lambda ids: bytes(ids).decode(errors="replace")
    version: int = 0
    calls: list[int] = field(default_factory=list)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """One scripted completion per request; ``calls`` records the size of each batch."""
        self.calls.append(len(requests))
        return [self._complete(request) for request in requests]

    def sync(self, version: int) -> None:
        """Remembers the label."""
        self.version = version

    def gate(self, learners: Mapping[str, Learner], probes: Probes) -> list[Check]:
        """No checks: a script has no weights."""
        return []

    @property
    def context(self) -> None:
        """No limit."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def _complete(self, request: GenerationRequest) -> Generation:
        text = self.script(request)
        if not isinstance(text, str):
            return self._choose(request, tuple(text))
        ids = tuple(self.encode(text))
        cut = ids[: request.max_new_tokens]
        return Generation(
            prompt_ids=request.prompt_ids,
            output_ids=cut,
            logps=(0.0,) * len(cut),
            text=text if cut == ids else self.decode(cut),
            finish_reason=FinishReason.STOP if len(ids) <= request.max_new_tokens else FinishReason.LENGTH,
            policy_version=self.version,
        )

    def _choose(self, request: GenerationRequest, logps: tuple[float, ...]) -> Generation:
        place, logp = choose_among(logps, request.seed, request.temperature)
        chosen = (request.choices[place],)
        return Generation(
            prompt_ids=request.prompt_ids,
            output_ids=chosen,
            logps=(logp,),
            text=self.decode(chosen),
            finish_reason=FinishReason.STOP,
            policy_version=self.version,
            choice_logps=logps,
        )
