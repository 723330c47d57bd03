"""What SGLang servers and routers may answer."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from tracer_agents.generation.replies import LogProb, Reply


def _pair(value: Any) -> Any:
    """Of (log-probability, token id, text) the first two."""
    return tuple(value[:2]) if isinstance(value, list) else value


Token = Annotated[int, Field(ge=0, lt=2**31)]
Label = str | int | None


class Finish(Reply):
    """Why a completion ended."""

    type: str


class Span(Reply):
    """Tokens of a completion that one version of the weights made."""

    version: Label = None


class Meta(Reply):
    """What a server says about a completion."""

    output_token_logprobs: list[Annotated[tuple[LogProb, Token], BeforeValidator(_pair)]]
    output_token_ids_logprobs: list[list[Annotated[tuple[LogProb, Token], BeforeValidator(_pair)]]] | None = None
    finish_reason: Finish
    weight_version: Label = None
    weight_versions: list[Span] | None = None
    cached_tokens: Annotated[int, Field(ge=0)] | None = None

    @property
    def version(self) -> str | None:
        """The one label of the weights; None if they changed under way."""
        labels = {str(span.version) for span in self.weight_versions or ()} | {str(self.weight_version)}
        return labels.pop() if len(labels) == 1 else None


class Row(Reply):
    """One completion."""

    output_ids: Annotated[list[Token], Field(min_length=1)]
    meta_info: Meta


class ModelInfo(Reply):
    """``/model_info``."""

    weight_version: Label = None


class ServerInfo(Reply):
    """``/server_info``."""

    device: str | None = None
    context_length: int | None = None
    max_req_input_len: int | None = None
    max_total_num_tokens: int | None = None


class Tokens(Reply):
    """``/tokenize``."""

    tokens: list[Token]


class Loaded(Reply):
    """The answer to new weights."""

    success: bool


class RouterWorker(Reply):
    """A server that a router knows."""

    url: str
    is_healthy: bool = True


class RouterWorkers(Reply):
    """``/workers`` of a router."""

    workers: list[RouterWorker]


class RouterUrls(Reply):
    """``/list_workers`` of a router."""

    urls: list[str]
