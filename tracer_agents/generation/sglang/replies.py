"""What SGLang servers and routers may answer: schemas, and the one way by which their bytes become values.

A server is another program, on another machine, perhaps of another version: nothing that it says is believed before it
has the right shape, type and range.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

_ROUNDING = 1e-3  # by which a log-probability may exceed 0


class BadReply(ValueError):
    """An answer that is not what it should be; the message says where and why."""


class _Reply(BaseModel):
    """Further fields are ignored; numbers are numbers and no strings of digits."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


def _pair(value: Any) -> Any:
    """Of (log-probability, token id, text) the first two."""
    return tuple(value[:2]) if isinstance(value, list) else value


Token = Annotated[int, Field(ge=0, lt=2**31)]
LogProb = Annotated[float, Field(le=_ROUNDING, allow_inf_nan=False)]
Label = str | int | None


class Finish(_Reply):
    """Why a completion ended."""

    type: str


class Span(_Reply):
    """Tokens of a completion that one version of the weights made."""

    version: Label = None


class Meta(_Reply):
    """What a server says about a completion."""

    output_token_logprobs: list[Annotated[tuple[LogProb, Token], BeforeValidator(_pair)]]
    finish_reason: Finish
    weight_version: Label = None
    weight_versions: list[Span] | None = None
    cached_tokens: Annotated[int, Field(ge=0)] | None = None

    @property
    def version(self) -> str | None:
        """The one label of the weights; None if they changed under way."""
        labels = {str(span.version) for span in self.weight_versions or ()} | {str(self.weight_version)}
        return labels.pop() if len(labels) == 1 else None


class Row(_Reply):
    """One completion."""

    output_ids: Annotated[list[Token], Field(min_length=1)]
    meta_info: Meta


class ModelInfo(_Reply):
    """``/model_info``."""

    weight_version: Label = None


class ServerInfo(_Reply):
    """``/server_info``."""

    device: str | None = None
    context_length: int | None = None
    max_req_input_len: int | None = None
    max_total_num_tokens: int | None = None


class Tokens(_Reply):
    """``/tokenize``."""

    tokens: list[Token]


class Loaded(_Reply):
    """The answer to new weights."""

    success: bool


class RouterWorker(_Reply):
    """A server that a router knows."""

    url: str


class RouterWorkers(_Reply):
    """``/workers`` of a router."""

    workers: list[RouterWorker]


class RouterUrls(_Reply):
    """``/list_workers`` of a router."""

    urls: list[str]


Shape = TypeVar("Shape", bound=BaseModel)


def parse(raw: bytes) -> Any:
    """The JSON value in an answer.

    Raises:
        BadReply: it is no JSON, or nested too deeply.
    """
    try:
        return from_json(raw)
    except ValueError as error:
        raise BadReply(f"the answer is not JSON: {shorten(raw.decode(errors='replace'))}") from error


def read(shape: type[Shape], value: Any) -> Shape:
    """The value as what it should be.

    Raises:
        BadReply: it is not; names the first field that is wrong.
    """
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise BadReply(f"{_place(first['loc'])}: {first['msg']} (got {shorten(repr(first['input']))})") from error


def _place(location: Sequence[int | str]) -> str:
    return ".".join(map(str, location)) or "the answer"


def shorten(text: str, limit: int = 200) -> str:
    """The beginning of a text."""
    return text if len(text) <= limit else f"{text[:limit]}…"
