"""What is asked of a chat server and what comes back, as records; how many tokens and how much money that can be."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tracer_env.dialogue import FinishReason

MOST_LIKELIEST = 20  # tokens that chat servers list for a place of a text, at most
_PER_MESSAGE = 8  # tokens that a chat template adds to each message, generously
_PER_PROMPT = 32  # and to the whole: a system message of its own, the opening of the answer
_BYTES_PER_TOKEN = 4  # of ordinary English text, about


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One completion wanted.

    Args:
        messages: (role, content) pairs, the conversation so far.
        seed: tells samples of one prompt apart, and is sent along; without meaning at temperature 0.
        max_new_tokens: the completion's longest length.
        temperature: 0 is greedy decoding.
        likeliest: how many of the likeliest first tokens are wanted with their log-probabilities.
    """

    messages: tuple[tuple[str, str], ...]
    seed: int
    max_new_tokens: int
    temperature: float = 1.0
    likeliest: int = 0

    @classmethod
    def of(cls, messages: Sequence[Mapping[str, str]], **settings: Any) -> "ChatRequest":
        """A request with messages as prompts make them."""
        return cls(messages=tuple((message["role"], message["content"]) for message in messages), **settings)

    @property
    def prompt_bytes(self) -> int:
        """The length of all contents in UTF-8."""
        return sum(len(content.encode(errors="replace")) for _, content in self.messages)

    @property
    def most_prompt_tokens(self) -> int:
        """What the prompt has at most, with any tokenizer that never needs more than a token per byte."""
        return self.prompt_bytes + len(self.messages) * _PER_MESSAGE + _PER_PROMPT

    @property
    def likely_prompt_tokens(self) -> int:
        """A guess for ordinary text: four bytes per token, and what a template adds."""
        return likely_tokens(self.prompt_bytes) + len(self.messages) * _PER_MESSAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCompletion:
    """One completion; of a request that failed, or was too long for the server, everything but the reason is empty.

    ``logps`` holds each token's log-probability (natural log), or None where the server gave none that belong to the
    text. ``counted`` is False where the server did not say how many tokens there were: both numbers are then
    estimates. ``generated_tokens`` includes those of a thought that is not part of the text. ``likeliest`` holds tokens
    that the text could begin with, each with its log-probability, or None where none were asked for or given.
    """

    text: str
    finish_reason: FinishReason
    prompt_tokens: int = 0
    generated_tokens: int = 0
    counted: bool = True
    logps: tuple[float, ...] | None = None
    likeliest: tuple[tuple[str, float], ...] | None = None

    def as_json(self) -> dict[str, Any]:
        """A value that ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "ChatCompletion":
        """What ``as_json`` wrote."""
        logps, likeliest = value["logps"], value.get("likeliest")
        return cls(
            **{
                **value,
                "finish_reason": FinishReason(value["finish_reason"]),
                "logps": None if logps is None else tuple(logps),
                "likeliest": None if likeliest is None else tuple((token, logp) for token, logp in likeliest),
            }
        )


def missing(reason: FinishReason) -> ChatCompletion:
    """What stands for a completion that did not come."""
    return ChatCompletion(text="", finish_reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Money per million tokens, in whatever currency; 0 where nothing is charged."""

    prompt: float = 0.0
    generated: float = 0.0

    def of(self, prompt_tokens: float, generated_tokens: float) -> float:
        """What so many tokens cost."""
        return (prompt_tokens * self.prompt + generated_tokens * self.generated) / 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What may be spent into one folder of completions, by every run that shares it; None: no limit."""

    money: float | None = None
    tokens: int | None = None

    @property
    def any(self) -> bool:
        """Whether there is a limit."""
        return self.money is not None or self.tokens is not None


@dataclass(slots=True, kw_only=True)
class Spending:
    """What completions took: requests answered by the server or from disk, tokens, money.

    ``lost`` requests have no completion, and ``uncounted`` ones no count of the server's: their tokens are estimates.
    """

    bought: int = 0
    remembered: int = 0
    lost: int = 0
    uncounted: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    money: float = 0.0

    def add(self, other: "Spending") -> None:
        """Sums up, in place."""
        for name, value in asdict(other).items():
            setattr(self, name, getattr(self, name) + value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How requests to one server are worded beside messages, seed and temperature.

    Args:
        url: the server's, up to and including its version, e.g. ``https://api.openai.com/v1``.
        model: its name there.
        limit_field: ``max_tokens``, which most servers know, or ``max_completion_tokens``, which some demand.
        logprobs: whether log-probabilities are asked for.
        body: further fields of the request's body; a None takes away one that is sent otherwise.
    """

    url: str
    model: str
    limit_field: str = "max_tokens"
    logprobs: bool = True
    body: Mapping[str, Any] = field(default_factory=dict)

    def fields(self, request: ChatRequest) -> dict[str, Any]:
        """The request's body; the seed in 31 bits, which every server takes."""
        listed = request.likeliest and self.logprobs and self.body.get("logprobs", True)
        sent: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": role, "content": content} for role, content in request.messages],
            self.limit_field: request.max_new_tokens,
            "temperature": request.temperature,
            "seed": request.seed & 0x7FFFFFFF,
            **({"logprobs": True} if self.logprobs else {}),
            **({"top_logprobs": request.likeliest} if listed else {}),
            **self.body,
        }
        return {name: value for name, value in sent.items() if value is not None}

    def key(self, request: ChatRequest) -> str:
        """What a completion is known by: all that it depends on; the whole seed, except where decoding is greedy."""
        seed = request.seed if request.temperature > 0 else None
        whole = {**self.fields(request), "url": self.url, "seed": seed, "limit": request.max_new_tokens}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a server is reached.

    Args:
        wording: of the requests.
        api_key: sent as a bearer token; None: the server needs none.
        api_key_env: the variable that the key was read from, for messages.
        served_name: what the server calls the model, if not as it is asked for.
        attempts: how often a request is sent at most.
        connect_seconds: deadline for a connection.
        generate_seconds: deadline for an attempt as a whole.
        connections: under way at once.
    """

    wording: Wording
    api_key: str | None = field(default=None, repr=False)
    api_key_env: str | None = None
    served_name: str | None = None
    attempts: int = 4
    connect_seconds: float = 5.0
    generate_seconds: float = 300.0
    connections: int = 16


def likely_tokens(length: int) -> int:
    """A guess of the tokens in so many bytes of text."""
    return math.ceil(length / _BYTES_PER_TOKEN)
