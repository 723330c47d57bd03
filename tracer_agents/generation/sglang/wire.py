"""Speaks HTTP to one SGLang server: ids in, ids and log-probabilities out, new weights, cache, labels.

Everything a server can do wrong becomes an ``EngineFault`` here, with the stage and the server's address; what to
do about it is the backend's business. This process never imports SGLang.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tracer_agents.errors import EngineFault, EngineGone, GenerationFailed
from tracer_agents.generation.replies import BadReply, Shape, parse, read, shorten
from tracer_agents.generation.sglang.replies import (
    Loaded,
    ModelInfo,
    Row,
    ServerInfo,
    Tokens,
)
from tracer_env.dialogue import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """The longest that each stage of talking to a server may take, seconds."""

    connect: float = 5.0
    status: float = 30.0  # a question about the server, a flush, a tokenisation
    generate: float = 300.0  # one prompt with all its candidates
    sync: float = 120.0  # loading new weights
    recover: float = 180.0  # a server that went away is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Several completions of one prompt, which share its prefix in the server's cache.

    ``end_bias`` is added to the logits of the end tokens; ``adapter`` names a loaded LoRA adapter. ``choices`` are
    tokens whose log-probabilities are wanted where the completion begins.
    """

    prompt_ids: tuple[int, ...]
    copies: int
    max_new_tokens: int
    temperature: float
    stops: tuple[int, ...]
    adapter: str | None = None
    end_bias: float = 0.0
    choices: tuple[int, ...] = ()

    def body(self) -> dict[str, Any]:
        """The request, every sampling parameter explicit: a model's own defaults must not reach training."""
        sampling: dict[str, Any] = {
            "n": self.copies,
            "temperature": self.temperature,
            "max_new_tokens": self.max_new_tokens,
            "stop_token_ids": list(self.stops),
            "top_p": 1.0,
            "top_k": -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
            "frequency_penalty": 0.0,
            "presence_penalty": 0.0,
            "min_new_tokens": 0,
            "ignore_eos": False,
        }
        if self.end_bias:
            sampling["logit_bias"] = {str(token): self.end_bias for token in self.stops}
        body: dict[str, Any] = {
            "input_ids": list(self.prompt_ids),
            "sampling_params": sampling,
            "return_logprob": True,
        }
        if self.choices:
            body["token_ids_logprob"] = list(self.choices)
        return body | ({"lora_path": self.adapter} if self.adapter else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One completion as the server gave it, checked; ``version`` is the label of the weights that produced it."""

    output_ids: tuple[int, ...]
    logps: tuple[float, ...]
    stopped: bool
    version: str
    cached_tokens: int
    choice_logps: tuple[float, ...] = ()


class Worker:
    """One SGLang server.

    Args:
        url: its address, e.g. ``http://127.0.0.1:31000``.
        client: shared connections; closed by whoever opened it.
        deadlines: of each stage.
        vocabulary: how many token ids the model knows; None: whatever the server says.
    """

    def __init__(self, url: str, client: httpx.Client, deadlines: Deadlines, *, vocabulary: int | None = None) -> None:
        self.url = url.rstrip("/")
        self.deadlines = deadlines
        self._client = client
        self._vocabulary = vocabulary

    def complete(self, order: Order) -> list[Completion | EngineFault]:
        """``order.copies`` completions; a flawed one is a fault in its place.

        Raises:
            EngineFault: the call as a whole failed; ``EngineGone`` if no answer came.
            GenerationFailed: the server refused the request as malformed.
        """
        rows = self._json("generate", "POST", "/generate", order.body(), self.deadlines.generate)
        rows = rows if isinstance(rows, list) else [rows]
        if len(rows) != order.copies:
            raise self._fault("generate", f"{order.copies} completions were asked for and {len(rows)} came")
        return [self._read(row, order) for row in rows]

    def ready(self) -> bool:
        """Whether the server generates; it tries one token."""
        try:
            self._bytes("health", "GET", "/health_generate", None, self.deadlines.status)
        except GenerationFailed:
            return False
        return True

    def version(self) -> str:
        """The label of the weights that the server holds."""
        return str(self._get("version", "/model_info", ModelInfo).weight_version)

    def info(self) -> ServerInfo:
        """What the server says about itself."""
        return self._get("info", "/server_info", ServerInfo)

    def context(self) -> int | None:
        """The most tokens of a prompt with its completion that the server takes; None: it does not say."""
        info = self.info()
        limits = (info.context_length, info.max_req_input_len, info.max_total_num_tokens)
        return min((limit for limit in limits if limit is not None and limit > 0), default=None)

    def tokenize(self, text: str) -> tuple[int, ...]:
        """The ids that the server's own tokenizer gives a text, special tokens recognised, none added."""
        body = {"model": "default", "prompt": text, "add_special_tokens": False}
        answer = self._json("tokenize", "POST", "/tokenize", body, self.deadlines.status)
        return tuple(self._shaped("tokenize", Tokens, answer).tokens)

    def _get(self, stage: str, path: str, shape: type[Shape]) -> Shape:
        return self._shaped(stage, shape, self._json(stage, "GET", path, None, self.deadlines.status))

    def _shaped(self, stage: str, shape: type[Shape], answer: Any) -> Shape:
        try:
            return read(shape, answer)
        except BadReply as error:
            raise self._fault(stage, str(error)) from error

    def load(self, path: str, body: Mapping[str, Any]) -> None:
        """Posts new weights, or a step of it; the server must say that it succeeded.

        Raises:
            EngineFault: it failed, or did not answer within ``deadlines.sync``.
        """
        answer = self._json("sync", "POST", path, body, self.deadlines.sync, refusal_is_final=False)
        if not self._shaped("sync", Loaded, answer).success:
            raise self._fault("sync", f"{path} answered {shorten(repr(answer))}")

    def flush(self) -> None:
        """Empties the prefix cache; the server must be idle."""
        deadline = self.deadlines.status
        self._bytes("flush", "POST", f"/flush_cache?timeout={deadline / 2:g}", None, deadline, refusal_is_final=False)

    def _json(
        self, stage: str, method: str, path: str, body: Any, seconds: float, *, refusal_is_final: bool = True
    ) -> Any:
        raw = self._bytes(stage, method, path, body, seconds, refusal_is_final=refusal_is_final)
        try:
            return parse(raw)
        except BadReply as error:
            raise self._fault(stage, str(error)) from error

    def _bytes(
        self, stage: str, method: str, path: str, body: Any, seconds: float, *, refusal_is_final: bool = True
    ) -> bytes:
        """The answer's body, within ``seconds`` overall: a trickle of bytes does not extend the deadline."""
        limit = httpx.Timeout(seconds, connect=min(self.deadlines.connect, seconds))
        end = time.monotonic() + seconds
        chunks = []
        try:
            with self._client.stream(method, self.url + path, json=body, timeout=limit) as response:
                for chunk in response.iter_bytes():
                    chunks.append(chunk)
                    if time.monotonic() > end:
                        raise self._gone(stage, f"no complete answer within {seconds:g} s")
        except httpx.TimeoutException as error:
            raise self._gone(stage, f"no answer within {seconds:g} s ({type(error).__name__})") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise self._gone(stage, f"{type(error).__name__}: {error}") from error
        answer = b"".join(chunks)
        if response.is_success:
            return answer
        status = f"status {response.status_code}: {shorten(answer.decode(errors='replace'))}"
        if response.status_code < 500 and refusal_is_final:
            raise GenerationFailed(f"{self.url} refused the request at stage {stage!r}: {status}")
        raise self._gone(stage, status) if response.status_code == 503 else self._fault(stage, status)

    def _read(self, value: Any, order: Order) -> Completion | EngineFault:
        try:
            row = read(Row, value)
        except BadReply as error:
            return self._fault("generate", f"a completion is unusable: {error}")
        ids, meta = row.output_ids, row.meta_info
        if [token for _, token in meta.output_token_logprobs] != ids:
            return self._fault("generate", "log-probabilities and output_ids name different tokens")
        if self._vocabulary is not None and max(ids) >= self._vocabulary:
            return self._fault("generate", f"token {max(ids)} is outside the model's vocabulary of {self._vocabulary}")
        if meta.version is None:
            return self._fault("generate", "the weights changed while a completion was being generated")
        kind, ended = meta.finish_reason.type, ids[-1] in order.stops
        if (
            kind not in (FinishReason.STOP, FinishReason.LENGTH)
            or (kind == FinishReason.STOP) != ended
            or len(ids) > order.max_new_tokens
        ):
            return self._fault(
                "generate",
                f"a completion of {len(ids)} tokens (at most {order.max_new_tokens}) finished by {shorten(repr(kind))} "
                f"with token {ids[-1]}; the end tokens are {list(order.stops)}",
            )
        of_choices = dict((token, logp) for logp, token in (meta.output_token_ids_logprobs or [[]])[0])
        if not of_choices.keys() >= set(order.choices):
            return self._fault("generate", f"no log-probabilities of the tokens {list(order.choices)} were given")
        return Completion(
            output_ids=tuple(ids),
            logps=tuple(logp for logp, _ in meta.output_token_logprobs),
            stopped=ended,
            version=meta.version,
            cached_tokens=meta.cached_tokens or 0,
            choice_logps=tuple(of_choices[token] for token in order.choices),
        )

    def _fault(self, stage: str, what: str) -> EngineFault:
        return EngineFault(f"{self.url}, stage {stage!r}: {what}")

    def _gone(self, stage: str, what: str) -> EngineGone:
        return EngineGone(f"{self.url}, stage {stage!r}: {what}")
