"""How the bytes of another program become values: schemas, checked field by field.

A server is another program, on another machine, perhaps of another version: nothing that it says is believed before it
has the right shape, type and range.
"""

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json

_ROUNDING = 1e-3  # by which a log-probability may exceed 0


class BadReply(ValueError):
    """An answer that is not what it should be; the message says where and why."""


class Reply(BaseModel):
    """Further fields are ignored; numbers are numbers and no strings of digits."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


LogProb = Annotated[float, Field(le=_ROUNDING, allow_inf_nan=False)]
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
