"""What a chat server may answer: the shape of a reply, and how it becomes a completion.

What makes a completion unusable is an error. What is only missing, counts of tokens or log-probabilities, is left out
or estimated, and said: the text was paid for.
"""

import math
import re
from typing import Annotated, Any

from pydantic import Field, ValidationError

from tracer_agents.generation.openai.orders import ChatCompletion, ChatRequest, likely_tokens
from tracer_agents.generation.replies import BadReply, LogProb, Reply, parse, read
from tracer_env.dialogue import FinishReason

_REASONS = {
    "stop": FinishReason.STOP,
    "eos": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "content_filter": FinishReason.STOP,  # the provider ended it; what there is was said
}
_MOST_LISTED = 64  # tokens in a list of the likeliest; no server lists more
_MOST_ROUNDING = 0.01  # by which the probabilities in such a list may exceed 1 together
_DATE = re.compile(r"[-@:](?:\d{4}[\d-]*|latest)$")  # gpt-x-2026-03-01, model:latest


class _Message(Reply):
    content: str | None = None
    reasoning_content: str | None = None  # SGLang, vLLM, DeepSeek
    reasoning: str | None = None  # newer vLLM, OpenRouter

    @property
    def thought(self) -> bool:
        """Whether the server set a thought apart."""
        return bool(self.reasoning_content or self.reasoning)


class _Choice(Reply):
    message: _Message
    finish_reason: str | None = None
    logprobs: Any = None


class _Completion(Reply):
    model: str | None = None
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: Any = None


class _Usage(Reply):
    prompt_tokens: Annotated[int, Field(ge=0, lt=2**31)]
    completion_tokens: Annotated[int, Field(ge=0, lt=2**31)]


class _Token(Reply):
    logprob: LogProb


class _LogProbs(Reply):
    content: list[_Token]


class _Likely(Reply):
    token: Annotated[str, Field(max_length=1_000)]
    logprob: LogProb


class _First(Reply):
    top_logprobs: Annotated[list[_Likely], Field(min_length=1, max_length=_MOST_LISTED)]


class _Firsts(Reply):
    content: Annotated[list[Any], Field(min_length=1)]


def completion_of(raw: bytes, request: ChatRequest, *, names: frozenset[str]) -> ChatCompletion:
    """The completion in an answer's body.

    Args:
        raw: the body.
        request: what was asked.
        names: what the model may be called; a dated version of one of them is that model too.

    Raises:
        BadReply: it holds no completion, one that was cut by something other than the limit, or another model's.
    """
    reply = read(_Completion, parse(raw))
    if reply.model is not None and not _is_named(reply.model, names):
        raise BadReply(
            f"model {reply.model!r} answered instead of {min(names)!r}; if that is its name, set backend.served_name"
        )
    choice = reply.choices[0]
    reason = _REASONS.get(choice.finish_reason or "")
    if reason is None:
        raise BadReply(f"the completion ended by {choice.finish_reason!r}, which is neither 'stop' nor 'length'")
    text = choice.message.content or ""
    logps = None if choice.message.thought else _logps(choice.logprobs)
    usage = _usage(reply.usage, text)
    if usage is not None:
        prompt_tokens, generated_tokens = usage.prompt_tokens, usage.completion_tokens
    else:
        prompt_tokens = request.likely_prompt_tokens
        guess = len(logps) if logps else likely_tokens(len(text.encode(errors="replace")))
        at_limit = reason is FinishReason.LENGTH or choice.message.thought
        generated_tokens = request.max_new_tokens if at_limit else min(guess, request.max_new_tokens)
    return ChatCompletion(
        text=text,
        finish_reason=reason,
        prompt_tokens=prompt_tokens,
        generated_tokens=generated_tokens,
        counted=usage is not None,
        logps=logps,
        likeliest=_likeliest(choice.logprobs) if request.likeliest and not choice.message.thought else None,
    )


def _is_named(answered: str, names: frozenset[str]) -> bool:
    """Whether a name is one of those asked for: itself, with a date, or without its folder or owner."""
    undated = _DATE.sub("", answered)
    return any(name in (answered, undated) or name.endswith(f"/{answered}") for name in names)


def _usage(value: Any, text: str) -> _Usage | None:
    """What the server counted; None if it did not, or said that a text has no tokens."""
    try:
        usage = _Usage.model_validate(value)
    except ValidationError:
        return None
    return None if text and not usage.completion_tokens else usage


def _logps(value: Any) -> tuple[float, ...] | None:
    try:
        return tuple(token.logprob for token in _LogProbs.model_validate(value).content) or None
    except ValidationError:
        return None


def _likeliest(value: Any) -> tuple[tuple[str, float], ...] | None:
    """The likeliest first tokens; None where the list is missing, or is none of probabilities."""
    try:
        listed = _First.model_validate(_Firsts.model_validate(value).content[0]).top_logprobs
    except ValidationError:
        return None
    whole = sum(math.exp(each.logprob) for each in listed)
    return tuple((each.token, each.logprob) for each in listed) if whole <= 1 + _MOST_ROUNDING else None
