"""SGLang's CPU server beside our in-process engine, for ``benchmarks.peers.engine --sglang PYTHON``.

The server gets all requests in one call, at temperature 1, and its prefix cache is emptied before each repeat. Its
noise is its own, so its completions are others; tokens are counted as each says them. Seconds are CPU time: of the
server's process with its children, and of this process for ours.
"""

import socket
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from benchmarks.peers.figures import spread
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.sglang.server import Server, ServerSpec, find_python, running
from tracer_env.errors import ConfigError

TICKS = 100  # of /proc's clock per second
SECONDS_TO_START = 600.0


def cpu_seconds(process: int) -> float:
    """CPU time of a process and of its children that live, seconds."""
    ticks: dict[int, int] = {}
    parent: dict[int, int] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text("utf-8").rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        number = int(entry.parent.name)
        parent[number], ticks[number] = int(fields[1]), int(fields[11]) + int(fields[12])

    def belongs(number: int) -> bool:
        while number in parent and number != process:
            number = parent[number]
        return number == process

    return sum(spent for number, spent in ticks.items() if belongs(number)) / TICKS


def spoken(rows: Any, requests: Sequence[GenerationRequest]) -> int:
    """Tokens in a server's answer to some requests.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(rows, list) or len(rows) != len(requests):
        raise ConfigError(f"--sglang: the server's answer is not {len(requests)} completions: {str(rows)[:200]}")
    return sum(int(row["meta_info"]["completion_tokens"]) for row in rows)


def measure(
    ours: Callable[[Sequence[GenerationRequest]], float],
    workloads: Mapping[str, Sequence[GenerationRequest]],
    *,
    model: Path,
    python: Path,
    repeats: int,
) -> dict[str, Any]:
    """Tokens per CPU second of both and their ratio, for each workload.

    Args:
        ours: the same of our engine, for some requests.
        workloads: requests by name.
        model: the folder that the server loads.
        python: of the environment with SGLang.
        repeats: in each, both take their turn.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    spec = ServerSpec(model=str(model), python=find_python(python), device="cpu", port=port, cache_tokens=60_000)
    figures = {}
    with tempfile.TemporaryFile() as log, running(spec, seconds=SECONDS_TO_START, log=log) as server:
        for name, requests in workloads.items():
            _theirs(server, requests[:8])  # warm
            pairs = [(ours(requests), _theirs(server, requests)) for _ in range(repeats)]
            figures[name] = {
                "ours": spread([a for a, _ in pairs]),
                "sglang": spread([b for _, b in pairs]),
                "ratio": spread([a / b for a, b in pairs]),
            }
    return figures


def _theirs(server: Server, requests: Sequence[GenerationRequest]) -> float:
    """Tokens per CPU second."""
    assert server.pid is not None
    url = server.spec.url
    httpx.post(f"{url}/flush_cache", timeout=60, trust_env=False).raise_for_status()
    body = {
        "input_ids": [list(each.prompt_ids) for each in requests],
        "sampling_params": [{"temperature": 1.0, "max_new_tokens": each.max_new_tokens} for each in requests],
    }
    began = cpu_seconds(server.pid)
    answer = httpx.post(f"{url}/generate", json=body, timeout=3600, trust_env=False).raise_for_status()
    return spoken(answer.json(), requests) / (cpu_seconds(server.pid) - began)
