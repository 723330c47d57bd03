"""The settings of the engine that generates."""

import re
from collections.abc import Sequence
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_FIXED = ("model", "messages", "stream", "n", "temperature")  # of a request's body: other settings, or ours to say
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_UNDER_WAY = {"sglang": 128, "openai": 16}
# Which server generates, and with how much patience, changes nothing in what a run means.
UNBINDING = frozenset(
    {
        "url", "urls", "weights_folder", "in_flight", "attempts", "backoff_seconds", "connect_seconds",
        "generate_seconds", "sync_seconds", "recover_seconds", "api_key_env", "cache", "max_spend", "max_spend_tokens",
        "money_per_million_prompt_tokens", "money_per_million_generated_tokens",
    }
)  # fmt: skip


class Section(BaseModel):
    """Settings that belong together: unknown names are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackendConfig(Section):
    """The engine that generates."""

    name: Literal["transformers", "sglang", "openai"] = Field(
        default="transformers",
        description="engine: transformers, in this process; sglang, a server that is given weights; or openai, any "
        "server with OpenAI's chat interface, for speakers that are not trained",
    )
    batch_size: int = Field(default=256, ge=1, description="transformers: rows generated together")
    url: str | None = Field(
        default=None,
        description="sglang: address of a server or a router, for every policy; openai: the server's, with the "
        "interface's version, e.g. https://api.openai.com/v1",
    )
    urls: dict[str, str | list[str]] = Field(
        default_factory=dict, description="sglang: the address or addresses of each policy, instead of url"
    )
    weights: Literal["disk", "tensor", "adapter"] = Field(
        default="disk",
        description="sglang: how new weights reach servers: whole by disk or by shared memory, or adapters alone",
    )
    weights_folder: str | None = Field(
        default=None,
        description="sglang: where a folder is made for weights that servers read; by default a temporary one",
    )
    in_flight: int | None = Field(
        default=None,
        ge=1,
        description="sglang, openai: prompts under way at once; by default 128 for sglang, 16 for openai",
    )
    attempts: int = Field(default=4, ge=1, description="sglang, openai: how often a completion is asked for")
    backoff_seconds: float = Field(
        default=0.5, ge=0, description="sglang: wait before the second attempt; it doubles with each"
    )
    connect_seconds: float = Field(default=5.0, gt=0, description="sglang, openai: deadline for a connection")
    generate_seconds: float = Field(
        default=300.0,
        gt=0,
        description="sglang, openai: deadline for a prompt's completions, each time they are asked for",
    )
    sync_seconds: float = Field(default=120.0, gt=0, description="sglang: deadline for loading weights into a server")
    recover_seconds: float = Field(default=180.0, ge=0, description="sglang: how long a lost server is waited for")
    parity_tolerance: float = Field(
        default=1e-4,
        gt=0,
        description="mean difference of the learner's and the engine's log-probabilities that rounding explains; a "
        "token's may be 10 times it at the start, a step's mean in training",
    )

    api_key_env: str | None = Field(
        default=None, description="openai: name of the environment variable that holds the key; null: none is needed"
    )
    served_name: str | None = Field(
        default=None, description="openai: what the server calls the model in its answers, if not speakers.model"
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens",
        description="openai: the request's field for the most tokens, of which servers know one or both",
    )
    logprobs: bool = Field(default=True, description="openai: ask for log-probabilities, which some models refuse")
    body: dict[str, Any] = Field(
        default_factory=dict,
        description="openai: further fields of every request, e.g. {reasoning_effort: low}; null leaves a field out: "
        "{seed: null}",
    )
    cache: str = Field(
        default="~/.cache/tracer",
        description="openai: folder that keeps every completion, so that none is bought twice",
    )
    max_spend: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="openai: money that the completions in backend.cache may have cost, all runs together; null: no "
        "limit",
    )
    max_spend_tokens: int | None = Field(
        default=None, ge=0, description="openai: likewise, prompt and generated tokens; null: no limit"
    )
    money_per_million_prompt_tokens: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="openai: the provider's price, in the currency of max_spend"
    )
    money_per_million_generated_tokens: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="openai: the provider's price, in the currency of max_spend"
    )

    @field_validator("api_key_env")
    @classmethod
    def _names_a_variable(cls, value: str | None) -> str | None:
        if value is not None and not _VARIABLE.fullmatch(value):  # it may be the key itself: it is not repeated
            raise ValueError(
                "must be the name of an environment variable in capitals, such as OPENAI_API_KEY; the key itself never "
                "stands in settings"
            )
        return value

    @model_validator(mode="after")
    def _complete_for_openai(self) -> Self:
        if self.name != "openai":
            return self
        try:
            parts = urlsplit(self.url or "")
            usable = parts.scheme in ("http", "https") and parts.hostname is not None and parts.port != 0
        except ValueError:
            parts, usable = urlsplit(""), False
        if not usable or self.urls:
            raise ValueError(
                "backend.name: openai needs backend.url, one address with the interface's version, such as "
                "http://127.0.0.1:8000/v1 or https://api.openai.com/v1"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "backend.url: must not hold a user, a password or parameters, since settings are written to files; a "
                "key comes from the variable that backend.api_key_env names"
            )
        if taken := [name for name in self.body if name in (*_FIXED, "max_tokens", "max_completion_tokens")]:
            raise ValueError(f"backend.body: {taken[0]!r} is said by other settings, or is not to be changed")
        priced = self.money_per_million_prompt_tokens + self.money_per_million_generated_tokens
        if self.max_spend is not None and not priced:
            raise ValueError(
                "backend.max_spend: needs the prices: set backend.money_per_million_prompt_tokens and "
                "backend.money_per_million_generated_tokens, or limit tokens by backend.max_spend_tokens"
            )
        return self

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.name == "sglang" and (self.url is None) == (not self.urls):
            raise ValueError(
                "backend.name: sglang needs backend.url, or backend.urls with an entry per policy; not both"
            )
        return self

    @property
    def served(self) -> bool:
        """Whether servers that are given weights generate."""
        return self.name == "sglang"

    @property
    def trainable(self) -> bool:
        """Whether the weights that generate are at hand, so that they can be trained."""
        return self.name != "openai"

    @property
    def under_way(self) -> int:
        """How many prompts are under way at once."""
        return self.in_flight or _UNDER_WAY.get(self.name, 1)

    @property
    def binding(self) -> Self:
        """The settings without those that may change while a run goes on."""
        defaults = {name: BackendConfig.model_fields[name].get_default(call_default_factory=True) for name in UNBINDING}
        return self.model_copy(update=defaults)

    def servers(self, policies: Sequence[str]) -> dict[str, list[str]]:
        """Addresses by policy."""
        if self.url is not None:
            return {policy: [self.url] for policy in policies}
        return {policy: [urls] if isinstance(urls, str) else list(urls) for policy, urls in self.urls.items()}
