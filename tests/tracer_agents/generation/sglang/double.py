"""A real HTTP server process that speaks SGLang's protocol over a bigram model, and misbehaves on request.

Run as a program it serves; imported it gives the same model to the tests. ``POST /plant`` takes ``{"fault": NAME,
"times": N}``; the next N calls that it applies to go wrong.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

VOCABULARY, END = 32, 1


def initial_weights() -> np.ndarray:
    """Logits of the next token by the last one, (V, V)."""
    return np.random.default_rng(0).normal(size=(VOCABULARY, VOCABULARY))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def tokenize(text: str) -> list[int]:
    """A character is a token."""
    return [ord(letter) % VOCABULARY for letter in text]


def _of_tokens(body: dict, logp: np.ndarray) -> dict:
    """The log-probabilities of the tokens that were asked for, at the first position."""
    wanted = body.get("token_ids_logprob")
    if not wanted or STATE.strikes("no token log-probabilities"):
        return {}
    return {"output_token_ids_logprobs": [[[float(logp[token]), token, None] for token in wanted]]}


class State:
    """What the server holds; a restarted one begins here again."""

    def __init__(self) -> None:
        self.weights = initial_weights()
        self.version = "default"
        self.faults: dict[str, int] = {}
        self.cache: set[tuple[int, ...]] = set()
        self.rng = np.random.default_rng()
        self.adapters: dict[str, np.ndarray] = {}  # what each adds to the weights
        self.calls: list[str] = []
        self.device = "cpu"
        self.workers: list[str] = []
        self.further: dict = {}  # what else /server_info says
        self.lock = threading.Lock()

    def strikes(self, fault: str) -> bool:
        """Whether a planted fault hits this call."""
        with self.lock:
            left = self.faults.get(fault, 0)
            self.faults[fault] = max(left - 1, 0)
            return left > 0


STATE = State()


class Handler(BaseHTTPRequestHandler):
    """One exchange."""

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        if self.path == "/model_info":
            self._answer({"weight_version": STATE.version})
        elif self.path == "/server_info":
            self._answer({"device": STATE.device, **STATE.further})
        elif self.path in ("/health", "/health_generate"):
            self._answer({}, 503 if STATE.strikes("unready") else 200)
        elif self.path == "/workers" and STATE.workers:
            self._answer({"workers": [{"url": url} for url in STATE.workers]})
        elif self.path == "/calls":
            self._answer({"calls": STATE.calls, "adapters": list(STATE.adapters)})
        else:
            self._answer({"detail": "Not Found"}, 404)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        path = self.path.partition("?")[0]
        STATE.calls.append(path)
        if path == "/plant":
            STATE.faults[body["fault"]] = body["times"]
            self._answer({})
        elif path == "/set":
            STATE.device, STATE.workers = body.pop("device", "cpu"), body.pop("workers", [])
            STATE.further = body
            self._answer({})
        elif path == "/reset":
            STATE.__init__()
            self._answer({})
        elif path == "/tokenize":
            shift = 1 if STATE.strikes("other tokenizer") else 0
            self._answer({"tokens": [(token + shift) % VOCABULARY for token in tokenize(body["prompt"])]})
        elif path == "/flush_cache":
            if not STATE.strikes("keeps cache"):
                STATE.cache.clear()
            self._answer({})
        elif path == "/update_weights_from_disk":
            self._update(body)
        elif path == "/update_weight_version":
            STATE.version = body["new_version"]
            self._answer({"success": True})
        elif path == "/load_lora_adapter":
            self._load_adapter(body)
        elif path == "/unload_lora_adapter":
            known = STATE.adapters.pop(body["lora_name"], None) is not None
            self._answer({"success": known}, 200 if known else 400)
        else:
            self._generate(body)

    def _update(self, body: dict) -> None:
        if STATE.strikes("fails to load"):
            self._answer({"success": False, "message": "out of memory"}, 400)
            return
        if not STATE.strikes("keeps weights"):
            STATE.weights = np.load(Path(body["model_path"]) / "weights.npy")
        if not STATE.strikes("keeps label"):
            STATE.version = body["weight_version"]
        self._answer({"success": True, "message": ""})

    def _load_adapter(self, body: dict) -> None:
        if body["lora_name"] in STATE.adapters:
            self._answer({"success": False, "error_message": "already exists"}, 400)
            return
        STATE.adapters[body["lora_name"]] = np.load(Path(body["lora_path"]) / "adapter.npy")
        failed = STATE.strikes("fails half-way")  # the adapter is there, and nobody was told
        self._answer({"success": not failed}, 500 if failed else 200)

    def _generate(self, body: dict) -> None:
        if STATE.strikes("die"):
            os.kill(os.getpid(), signal.SIGKILL)
        if STATE.strikes("hang"):
            threading.Event().wait(30)
        if STATE.strikes("refuse"):
            self.close_connection = True
            self.connection.close()
            return
        if STATE.strikes("error"):
            self._answer({"detail": "internal"}, 500)
            return
        if STATE.strikes("malformed"):
            self._answer({"error": {"message": "the prompt is too long"}}, 400)
            return
        if body.get("lora_path") and body["lora_path"] not in STATE.adapters:
            self._answer({"error": {"message": "no such adapter"}}, 400)
            return
        sampling = body["sampling_params"]
        rows = [self._complete(body, sampling) for _ in range(sampling["n"])]
        if STATE.strikes("nan"):
            rows[0]["meta_info"]["output_token_logprobs"][0][0] = float("nan")
        if STATE.strikes("truncated"):
            self._send(json.dumps(rows).encode()[:-20], 200)
            return
        self._answer(rows if sampling["n"] > 1 else rows[0])

    def _complete(self, body: dict, sampling: dict) -> dict:
        prompt = tuple(body["input_ids"])
        cached = len(prompt) - 1 if prompt in STATE.cache else 0
        STATE.cache.add(prompt)
        rng = np.random.default_rng(7) if STATE.strikes("same seed") else STATE.rng
        greedy = sampling["temperature"] == 0
        heat = 1.0 if greedy or STATE.strikes("ignores temperature") else sampling["temperature"]
        ids: list[int] = []
        logps = []
        adapter = None if STATE.strikes("ignores adapters") else body.get("lora_path")
        weights = STATE.weights + STATE.adapters.get(adapter, 0.0)
        while len(ids) < sampling["max_new_tokens"] and (not ids or ids[-1] not in sampling["stop_token_ids"]):
            logits = weights[(prompt + tuple(ids))[-1]] / heat
            for token, bias in sampling.get("logit_bias", {}).items():
                logits = logits + bias * (np.arange(VOCABULARY) == int(token))
            logp = log_softmax(logits)
            ids.append(int(logp.argmax() if greedy else rng.choice(VOCABULARY, p=np.exp(logp))))
            logps.append(float(logp[ids[-1]]))
        stopped = ids[-1] in sampling["stop_token_ids"]
        return {
            "text": "",
            "output_ids": ids,
            "meta_info": {
                "finish_reason": {"type": "stop" if stopped else "length"},
                "weight_version": STATE.version,
                "weight_versions": [{"version": STATE.version, "start": 0, "end": len(ids)}],
                **(_of_tokens(body, log_softmax(weights[prompt[-1]] / heat))),
                "output_token_logprobs": [[p, token, None] for p, token in zip(logps, ids, strict=True)],
                "cached_tokens": cached,
            },
        }

    def _answer(self, value: object, status: int = 200) -> None:
        self._send(json.dumps(value).encode(), status)

    def _send(self, raw: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
    sys.stdout.write(f"{server.server_address[1]}\n")
    sys.stdout.flush()
    server.serve_forever()
