"""A process between the client and a real SGLang server that tells one lie: ``lying_proxy.py SERVER LIE``."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx

SERVER, LIE = sys.argv[1:]
CLIENT = httpx.Client(base_url=SERVER, timeout=120, trust_env=False)


class Handler(BaseHTTPRequestHandler):
    """One exchange, forwarded with the lie applied."""

    def log_message(self, *_: object) -> None:
        """Silent."""

    def do_GET(self) -> None:
        self._send(CLIENT.get(self.path))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"] or 0)) or b"{}")
        path = self.path.partition("?")[0]
        copies = body.get("sampling_params", {}).get("n", 1)
        if LIE == "weights not swapped" and path == "/update_weights_from_disk":
            body = {"new_version": body["weight_version"]}
            CLIENT.post("/flush_cache")
            self.path = "/update_weight_version"
        elif LIE == "cache not flushed" and path == "/update_weights_from_disk":
            body["flush_cache"] = False
        elif LIE == "cache not flushed" and path == "/flush_cache":
            self._write(b"", 200)
            return
        elif LIE == "wrong temperature" and path == "/generate":
            body["sampling_params"]["temperature"] = 1.0
        elif LIE == "repeated seed" and path == "/generate":
            body["sampling_params"]["n"] = 1
        elif LIE == "another tokenizer" and path == "/tokenize":
            body["prompt"] = body["prompt"].lower()
        answer = CLIENT.post(self.path, json=body)
        if LIE == "repeated seed" and path == "/generate" and copies > 1:
            self._write(json.dumps([answer.json()] * copies).encode(), answer.status_code)
            return
        self._send(answer)

    def _send(self, answer: httpx.Response) -> None:
        self._write(answer.content, answer.status_code)

    def _write(self, raw: bytes, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
sys.stdout.write(f"{server.server_address[1]}\n")
sys.stdout.flush()
server.serve_forever()
