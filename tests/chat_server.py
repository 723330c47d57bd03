"""A real HTTP server with OpenAI's chat interface that misbehaves on request.

``plant`` queues faults: each is met by one completion request, in order. What it says is a function of the body.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

KEY = "sk-test-0123456789"


def answer_for(body: dict[str, Any], text: str, **changed: Any) -> dict[str, Any]:
    """An answer as it should be, a word a token."""
    words = text.split()
    logprobs = {"content": [{"token": word, "logprob": -0.25, "bytes": None} for word in words]}
    answer = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text},
                "finish_reason": "stop",
                "logprobs": logprobs if body.get("logprobs") else None,
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": len(words), "total_tokens": 20 + len(words)},
    }
    return {**answer, **changed}


class ChatServer:
    """The server, a context manager.

    Args:
        say: body -> text, or body -> a whole answer.
        wants_key: whether requests need ``KEY``.
    """

    def __init__(self, say: Callable[[dict[str, Any]], Any], *, wants_key: bool = False) -> None:
        self.say = say
        self.wants_key = wants_key
        self.faults: deque[str] = deque()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.under_way, self.most_under_way = 0, 0
        self.lock = threading.Lock()
        self.released = threading.Event()  # ends what hangs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def plant(self, *faults: str) -> None:
        self.faults.extend(faults)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        class Bound(_Handler):
            server_state = self

        return Bound


_REFUSALS = {  # fault -> status, what is wrong, headers
    "429": (429, {"message": "slow down"}, {"Retry-After": "7"}),
    "429 for an hour": (429, {"message": "slow down"}, {"Retry-After": "3600"}),
    "no credit": (429, {"message": "pay first", "code": "insufficient_quota"}, {}),
    "500": (500, {"message": "oops"}, {}),
    "400": (400, {"message": "logprobs are not supported", "code": "bad"}, {}),
    "refused": (400, {"message": "not this", "code": "content_filter"}, {}),
    "too long": (400, {"message": "x", "code": "context_length_exceeded"}, {}),
    "404": (404, {"message": "no model m"}, {}),
    "redirect": (307, {}, {"Location": "http://127.0.0.1:9/v1/chat/completions"}),
}
_ODD_LOGPROBS = {"content": [{"token": "a", "logprob": 3.0}]}
_ODDITIES: dict[str, Callable[[dict, dict], dict]] = {  # fault -> (answer, its choice) -> what is changed
    "none": lambda answer, choice: {},
    "no choices": lambda answer, choice: {"choices": []},
    "no finish": lambda answer, choice: {"choices": [{**choice, "finish_reason": None}]},
    "wrong model": lambda answer, choice: {"model": f"{answer['model']}-mini"},
    "dated model": lambda answer, choice: {"model": f"{answer['model']}-2026-03-01"},
    "no usage": lambda answer, choice: {"usage": None},
    "odd usage": lambda answer, choice: {"usage": {"prompt_tokens": -1, "completion_tokens": "9"}},
    "no logprobs": lambda answer, choice: {"choices": [{**choice, "logprobs": None}]},
    "odd logprobs": lambda answer, choice: {"choices": [{**choice, "logprobs": _ODD_LOGPROBS}]},
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out in one piece
    server_state: ChatServer

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._write(200, {"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server_state
        with server.lock:
            server.bodies.append(body)
            server.headers.append({name.lower(): value for name, value in self.headers.items()})
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            fault = server.faults.popleft() if server.faults else "none"
        try:
            self._reply(fault, body)
        finally:
            with server.lock:
                server.under_way -= 1

    def _reply(self, fault: str, body: dict[str, Any]) -> None:
        server, given = self.server_state, self.headers["Authorization"].removeprefix("Bearer ")
        if server.wants_key and given != KEY:
            self._write(401, {"error": {"message": "no such key", "code": "invalid_api_key"}})
        elif fault in _REFUSALS:
            status, wrong, headers = _REFUSALS[fault]
            self._write(status, {"error": wrong}, headers)
        elif fault == "key in an error":
            self._write(400, {"error": {"message": f"bad key {given}"}})
        elif fault == "key in a text":
            self._write(200, answer_for(body, f"the key is {given}"))
        elif fault == "no json":
            self._raw(200, b"<html>gateway</html>")
        elif fault == "hang":
            server.released.wait()
            self.close_connection = True
        elif fault == "trickle":
            self._trickle()
        else:
            reply = server.say(body)
            answer = reply if isinstance(reply, dict) else answer_for(body, reply)
            if fault == "cut":
                raw = json.dumps(answer).encode()
                self._head(200, len(raw))
                self.wfile.write(raw[: len(raw) // 2])
                self.close_connection = True
            else:
                self._write(200, {**answer, **_ODDITIES[fault](answer, answer["choices"][0])})

    def _trickle(self) -> None:
        """White space for ever, as some gateways send to keep a connection open."""
        self._head(200, 1_000_000)
        try:
            while not self.server_state.released.wait(0.02):
                self.wfile.write(b" ")
                self.wfile.flush()
        except OSError:
            pass  # the client has gone
        self.close_connection = True

    def _head(self, status: int, length: int, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(length))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _raw(self, status: int, raw: bytes, headers: dict[str, str] | None = None) -> None:
        self._head(status, len(raw), headers)
        self.wfile.write(raw)

    def _write(self, status: int, answer: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(status, json.dumps(answer).encode(), headers)
