"""The settings of the engine that generates."""

from collections.abc import Sequence
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Section(BaseModel):
    """Settings that belong together: unknown names are errors, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BackendConfig(Section):
    """The engine that generates."""

    name: Literal["transformers", "sglang"] = Field(
        default="transformers", description="engine: transformers, in this process, or sglang, a server over HTTP"
    )
    batch_size: int = Field(default=256, ge=1, description="transformers: rows generated together")
    url: str | None = Field(default=None, description="sglang: address of a server or a router, for every policy")
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
    in_flight: int = Field(default=128, ge=1, description="sglang: prompts under way at once")
    attempts: int = Field(default=4, ge=1, description="sglang: how often a completion is asked for")
    backoff_seconds: float = Field(
        default=0.5, ge=0, description="sglang: wait before the second attempt; it doubles with each"
    )
    connect_seconds: float = Field(default=5.0, gt=0, description="sglang: deadline for a connection")
    generate_seconds: float = Field(default=300.0, gt=0, description="sglang: deadline for a prompt's completions")
    sync_seconds: float = Field(default=120.0, gt=0, description="sglang: deadline for loading weights into a server")
    recover_seconds: float = Field(default=180.0, ge=0, description="sglang: how long a lost server is waited for")
    parity_tolerance: float = Field(
        default=1e-4,
        gt=0,
        description="mean difference of the learner's and the engine's log-probabilities that rounding explains; a "
        "token's may be 10 times it at the start, a step's mean in training",
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.name == "sglang" and (self.url is None) == (not self.urls):
            raise ValueError(
                "backend.name: sglang needs backend.url, or backend.urls with an entry per policy; not both"
            )
        return self

    @property
    def served(self) -> bool:
        """Whether servers outside this process generate."""
        return self.name != "transformers"

    def servers(self, policies: Sequence[str]) -> dict[str, list[str]]:
        """Addresses by policy."""
        if self.url is not None:
            return {policy: [self.url] for policy in policies}
        return {policy: [urls] if isinstance(urls, str) else list(urls) for policy, urls in self.urls.items()}
