"""One request to one chat server, by the maintained ``openai`` client, with every failure as an error of ours.

The client retries what can be retried, waits as ``Retry-After`` says and knows the protocol. What it lacks is added
here: a deadline for the whole of an attempt, answers that are checked and asked for again if they are unusable, and
messages that name the setting and never hold the key.
"""

import asyncio
import re
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx2
import openai

from tracer_agents.errors import EngineFault, EngineGone, GenerationFailed
from tracer_agents.generation.openai.orders import MOST_LIKELIEST, Access, ChatCompletion, ChatRequest
from tracer_agents.generation.openai.replies import completion_of
from tracer_agents.generation.replies import BadReply, shorten
from tracer_env.errors import ConfigError

_SECRET = 8  # characters from which on a key is hidden wherever a server repeats it; a shorter one is no secret
_NO_KEY = "none"  # is sent where no key is set: servers without keys do not look at it
_TOO_LONG = re.compile(
    r"context.{0,20}(?:length|window|size)|maximum context|(?:too|longer) (?:long|than the model)", re.I
)
_FEWER = (5, 0)  # of the likeliest tokens are asked for where a server refuses more
_ONE_PROMPT = ("content_filter", "content_policy_violation", "invalid_prompt")
_BEYOND = "context_length_exceeded"
_LOCAL = ("localhost", "::1", "0.0.0.0")


class RequestRefused(GenerationFailed):
    """The server refused one request as malformed or not to be answered; asking again would not help."""


class PromptTooLong(GenerationFailed):
    """The prompt with its longest completion does not fit into the server's context."""


@dataclass(slots=True)
class _Sent:
    """How many attempts of the present request went out and may have been paid for without an answer."""

    unanswered: int = 0


_sent: ContextVar[_Sent] = ContextVar("sent")


class _Connections(httpx2.AsyncClient):
    """Bounds each attempt as a whole, so that a trickle of bytes does not extend its deadline."""

    def __init__(self, access: Access) -> None:
        host = urlsplit(access.wording.url).hostname or ""
        super().__init__(
            timeout=httpx2.Timeout(access.generate_seconds, connect=access.connect_seconds, pool=None),
            limits=httpx2.Limits(max_connections=access.connections),
            follow_redirects=False,  # neither prompts nor keys go anywhere else
            trust_env=not (host in _LOCAL or host.startswith("127.")),
        )
        self._seconds = access.generate_seconds

    async def send(self, request: httpx2.Request, **settings: Any) -> httpx2.Response:
        """One attempt.

        Raises:
            httpx2.ReadTimeout: it took too long.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await super().send(request, **settings)
        except TimeoutError as error:
            _sent.get().unanswered += 1
            raise httpx2.ReadTimeout(f"no complete answer within {self._seconds:g} s", request=request) from error
        except (httpx2.ReadTimeout, httpx2.ReadError, httpx2.RemoteProtocolError, httpx2.DecodingError):
            _sent.get().unanswered += 1
            raise


class ChatServer:
    """One model of one server.

    Args:
        access: how it is reached.
        on_unanswered: is told of every attempt that may have been paid for without a usable answer.
    """

    def __init__(self, access: Access, on_unanswered: Callable[[ChatRequest], None]) -> None:
        self._access = access
        self._on_unanswered = on_unanswered
        self._names = frozenset(name for name in (access.wording.model, access.served_name) if name)
        client = openai.AsyncOpenAI(
            api_key=access.api_key or _NO_KEY,
            base_url=access.wording.url,
            http_client=_Connections(access),
            timeout=None,  # the connections know theirs
        )
        self._clients = [client.with_options(max_retries=retries) for retries in range(access.attempts)]
        for each in self._clients:  # settings come from the settings: these were taken from the environment
            each.organization = each.project = each.admin_api_key = None
        self._answered = False  # whether the server has ever completed anything
        self._lists = MOST_LIKELIEST  # how many of the likeliest tokens it lists, as far as is known

    async def close(self) -> None:
        """Closes the connections."""
        await self._clients[0].close()  # which all of them share

    async def complete(self, request: ChatRequest) -> ChatCompletion:
        """The completion of a request.

        Raises:
            EngineFault: none came in all attempts; the last failure is named.
            PromptTooLong, RequestRefused: of this prompt.
            ConfigError: a setting is wrong, so that no request can succeed.
            GenerationFailed: the account has no credit.
        """
        left = self._access.attempts
        while True:
            sent = _Sent()
            _sent.set(sent)
            try:
                raw, taken = await self._exchange(request, retries=left - 1)
            finally:
                for _ in range(sent.unanswered):
                    self._on_unanswered(request)
            left -= 1 + taken
            try:
                completion = completion_of(
                    self._hide(raw.decode(errors="replace")).encode(), request, names=self._names
                )
            except BadReply as error:
                self._on_unanswered(request)
                if left < 1:
                    raise EngineFault(self._say(str(error))) from None
                continue
            self._answered = True
            return completion

    async def models(self) -> list[str] | None:
        """The models that the server lists; None: it keeps no list.

        Raises:
            EngineGone: it does not answer.
            ConfigError: it refuses the key.
        """
        _sent.set(_Sent())
        try:
            page = await self._clients[0].models.list()
            return [self._hide(str(model.id)) for model in page.data or ()]
        except openai.AuthenticationError as error:
            self._refused(error)
        except openai.APIConnectionError as error:
            raise EngineGone(self._say(_cause(error))) from None
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):
            return None

    async def _exchange(self, request: ChatRequest, *, retries: int) -> tuple[bytes, int]:
        """The body of an answer, and how many retries the client took.

        A request for likeliest tokens that the server refuses is sent again for fewer, in the end for none; where this
        helps, the next ones ask for no more.
        """
        asked = replace(request, likeliest=min(request.likeliest, self._lists))
        while True:
            try:
                sent = await self._send(asked, retries=retries)
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                fewer = replace(asked, likeliest=next((count for count in _FEWER if count < asked.likeliest), 0))
                fields = self._access.wording.fields
                if fields(fewer) == fields(asked) or self._is_of_prompt(error):
                    self._refused(error)
                asked = fewer
            except openai.APIStatusError as error:
                self._refused(error)
            else:
                if asked.likeliest < request.likeliest:
                    self._lists = min(self._lists, asked.likeliest)
                return sent

    async def _send(self, request: ChatRequest, *, retries: int) -> tuple[bytes, int]:
        fields = self._access.wording.fields(request)
        completions = self._clients[retries].chat.completions.with_raw_response
        try:
            answer = await completions.create(
                model=fields.pop("model"), messages=fields.pop("messages"), stream=False, extra_body=fields
            )
            return answer.content, answer.retries_taken
        except openai.APIStatusError:
            raise
        except openai.APIConnectionError as error:
            raise EngineGone(self._say(f"{_cause(error)} (attempts: {retries + 1})")) from None
        except openai.OpenAIError as error:
            raise EngineFault(self._say(f"{type(error).__name__}: {error}")) from None

    def _is_of_prompt(self, error: openai.APIStatusError) -> bool:
        """Whether a refusal is plainly one of the prompt, whatever else was asked for."""
        return str(error.code or "") in (*_ONE_PROMPT, _BEYOND) or bool(_TOO_LONG.search(self._hide(_message(error))))

    def _refused(self, error: openai.APIStatusError) -> NoReturn:
        """Says whose fault a status is: the server's for now, this prompt's, or the settings'."""
        status, message = error.status_code, shorten(self._hide(_message(error)))
        code = str(error.code or "")
        access, wording = self._access, self._access.wording
        if status in (401, 403):
            remedy = (
                f"the key in {access.api_key_env} is not accepted"
                if access.api_key_env
                else "it wants a key: name the environment variable that holds it"
            )
            raise ConfigError(
                self._hide(f"backend.api_key_env: {wording.url} answered {status}: {message}; {remedy}")
            ) from None
        if status == 402 or code == "insufficient_quota":
            raise GenerationFailed(
                self._say(f"the account has no credit left ({status}: {message}); everything bought so far is on disk")
            ) from None
        if status in (408, 409, 429) or status >= 500:
            raise EngineFault(self._say(f"status {status}: {message}")) from None
        if status == 404:
            raise ConfigError(
                self._hide(
                    f"speakers.model, backend.url: {wording.url} has no chat completions of {wording.model!r} "
                    f"(404: {message}); the address ends with the interface's version, as in http://HOST:PORT/v1"
                )
            ) from None
        if 300 <= status < 400:
            raise ConfigError(
                self._hide(f"backend.url: {wording.url} redirects ({status}); name the address itself")
            ) from None
        if status == 413 or code == _BEYOND or _TOO_LONG.search(message):
            raise PromptTooLong(self._say(f"status {status}: {message}")) from None
        if self._answered or code in _ONE_PROMPT:
            raise RequestRefused(self._say(f"refused a request, status {status}: {message}")) from None
        raise ConfigError(
            self._hide(
                f"backend: {wording.url} refused the request ({status}: {message}); what is sent is settled by "
                "speakers.model, speakers.temperature, speakers.style, backend.logprobs, backend.limit_field and "
                "backend.body"
            )
        ) from None

    def _say(self, what: str) -> str:
        return self._hide(f"{self._access.wording.url}, model {self._access.wording.model!r}: {what}")

    def _hide(self, text: str) -> str:
        key = self._access.api_key
        return text.replace(key, "[api key]") if key and len(key) >= _SECRET else text


def _message(error: openai.APIStatusError) -> str:
    """What the server says, of a JSON answer its message alone."""
    body = error.body
    inner = body.get("message") if isinstance(body, dict) else None
    return str(inner if inner else error.response.text)


def _cause(error: openai.APIConnectionError) -> str:
    cause = error.__cause__
    return f"no answer ({type(cause).__name__}: {cause})" if cause else f"no answer ({error})"
