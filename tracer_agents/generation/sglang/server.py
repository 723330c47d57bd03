"""Starts, waits for, watches and stops one SGLang server process, in an environment of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Literal

import httpx

from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.sglang.wire import Deadlines, Worker
from tracer_env.errors import ConfigError

Device = Literal["cpu", "cuda"]

# Plain torch everywhere: SGLang's kernels need a GPU, and an idle scheduler would spin on a whole core.
_CPU_FLAGS = (
    *("--model-impl", "transformers", "--attention-backend", "torch_native", "--sampling-backend", "pytorch"),
    *("--grammar-backend", "none", "--disable-cuda-graph", "--disable-overlap-schedule", "--sleep-on-idle"),
)
_STOP_SECONDS = 10.0  # SGLang takes seconds to go, and logs a crash that is none


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """One server to be.

    Args:
        model: a folder or a hub name.
        python: the interpreter of the environment that SGLang is installed in.
        device: ``"cpu"`` (float32, plain torch) or ``"cuda"``.
        context_length: tokens of a prompt with its completion; None: the model's.
        cache_tokens: tokens the prefix cache holds on a CPU; a GPU server takes ``memory_fraction`` instead.
        memory_fraction: of the GPU's memory, for weights and cache; leave room for a learner on the same GPU.
        adapters: whether LoRA adapters can be loaded (GPU only).
        further: more flags, passed on as they are.
    """

    model: str
    python: Path
    device: Device
    host: str = "127.0.0.1"
    port: int = 31000
    dtype: str = "auto"
    context_length: int | None = None
    cache_tokens: int = 20_000
    memory_fraction: float = 0.4
    adapters: bool = False
    further: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Where the server answers."""
        return f"http://{self.host}:{self.port}"

    def command(self) -> list[str]:
        """The process to start.

        Raises:
            ConfigError: adapters are asked for on a CPU.
        """
        words = [str(self.python), "-m", "sglang.launch_server", "--model-path", self.model]
        words += ["--host", self.host, "--port", str(self.port), "--device", self.device]
        if self.device == "cpu":
            if self.adapters:
                raise ConfigError("adapters: SGLang has no LoRA on a CPU; serve merged weights, one server per policy")
            words += ["--dtype", "float32", *_CPU_FLAGS]
            words += ["--mem-fraction-static", "0.2", "--max-total-tokens", str(self.cache_tokens)]
        else:
            words += ["--dtype", self.dtype, "--mem-fraction-static", f"{self.memory_fraction:g}"]
            words += ["--enable-lora", "--max-lora-rank", "64", "--lora-target-modules", "all"] if self.adapters else []
        if self.context_length is not None:
            words += ["--context-length", str(self.context_length)]
        return [*words, *self.further]


def find_python(given: Path | None) -> Path:
    """The interpreter to serve with: the given one, this one, or that of ``.venv-sglang`` in the working directory.

    Raises:
        ConfigError: none of them has SGLang.
    """
    if given is not None:
        if not given.exists():
            raise ConfigError(f"--python {given}: no such file; give the interpreter of the environment with SGLang")
        return given.absolute()  # a virtual environment's link must not be followed
    if find_spec("sglang") is not None:
        return Path(sys.executable)
    beside = Path(".venv-sglang/bin/python")
    if beside.exists():
        return beside.absolute()
    raise ConfigError("no environment with SGLang was found; run 'make venv-sglang', or name one with --python")


def detect_device() -> Device:
    """``"cuda"`` where an NVIDIA driver answers."""
    return "cuda" if Path("/proc/driver/nvidia/version").exists() else "cpu"


class Server:
    """A server process that belongs to this one.

    Args:
        spec: what to start.
        log: where the server's output goes; None: this process's standard error.
    """

    def __init__(self, spec: ServerSpec, log: IO[bytes] | None = None) -> None:
        self.spec = spec
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts the process; ``wait_ready`` says when it answers."""
        threads = {"OMP_NUM_THREADS": "1"} if self.spec.device == "cpu" else {}
        local = {"HF_HUB_OFFLINE": "1"} if Path(self.spec.model).exists() else {}
        output = self._log if self._log is not None else sys.stderr
        self._process = subprocess.Popen(
            self.spec.command(),
            env={**os.environ, **threads, **local},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # its workers go with it, and Ctrl-C reaches only us
        )

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        return self._process.pid if self._process is not None and self.returncode is None else None

    @property
    def returncode(self) -> int | None:
        """How the process ended; None while it runs."""
        return None if self._process is None else self._process.poll()

    def wait_ready(self, seconds: float) -> None:
        """Waits until the server generates.

        Raises:
            GenerationFailed: it ended, or was not ready in time.
        """
        end = time.monotonic() + seconds
        with httpx.Client(trust_env=False) as client:
            worker = Worker(self.spec.url, client, Deadlines())
            while not worker.ready():
                if self.returncode is not None:
                    raise GenerationFailed(
                        f"{self.spec.url}, stage 'start': the server ended with status {self.returncode}; see its log"
                    )
                if time.monotonic() > end:
                    raise GenerationFailed(f"{self.spec.url}, stage 'start': not ready within {seconds:g} s")
                time.sleep(1.0)

    def wait(self) -> int:
        """Waits until the process ends; returns its status."""
        assert self._process is not None  # start comes first
        return self._process.wait()

    def stop(self) -> None:
        """Asks the server and its workers to go, and kills what is left."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """Kills the server and its workers at once."""
        assert self._process is not None  # start comes first
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextmanager
def running(spec: ServerSpec, *, seconds: float = 300.0, log: IO[bytes] | None = None) -> Iterator[Server]:
    """A server that is ready, and stopped at the end.

    Raises:
        GenerationFailed: it ended, or was not ready in time.
    """
    server = Server(spec, log)
    server.start()
    try:
        server.wait_ready(seconds)
        yield server
    finally:
        server.stop()


def watch(server: Server, *, restarts: int, seconds: float = 300.0) -> Iterator[str]:
    """Runs a server for good, starting it anew when it dies; yields a line whenever its state changes.

    A client notices that a new server holds other weights, and sends its own again.

    Raises:
        GenerationFailed: it died ``restarts`` + 1 times, or did not become ready.
    """
    try:
        for again in range(restarts + 1):
            server.start()
            server.wait_ready(seconds)
            yield f"ready at {server.spec.url}"
            status = server.wait()
            yield f"the server ended with status {status}; {restarts - again} restarts are left"
            server.kill()  # workers that outlive it
        raise GenerationFailed(f"{server.spec.url}: the server ended {restarts + 1} times; see its log")
    finally:
        server.stop()
