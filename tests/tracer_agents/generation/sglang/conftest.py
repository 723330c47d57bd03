"""The double of an SGLang server as a process of its own, and the learner that trains the same bigram model."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import pytest

from tracer_agents.generation.gate import Scores
from tracer_agents.generation.sglang.backend import Patience, ServedPolicy, SGLangBackend
from tracer_agents.generation.sglang.roster import Roster, listed_servers
from tracer_agents.generation.sglang.weights import AdapterWeights, DiskWeights
from tracer_agents.generation.sglang.wire import Deadlines, Worker

SCRIPT = Path(__file__).with_name("double.py")


def _load_double():
    spec = importlib.util.spec_from_file_location("sglang_double", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


double = _load_double()


class DoubleProcess:
    """Starts, plants faults in, kills and restarts the double, always on the same port."""

    def __init__(self) -> None:
        self.port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def start(self) -> None:
        self.process = subprocess.Popen([sys.executable, str(SCRIPT), str(self.port)], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def restart(self) -> None:
        self.stop()
        self.start()

    def post(self, path: str, **body) -> None:
        httpx.post(self.url + path, json=body, trust_env=False).raise_for_status()

    def plant(self, fault: str, times: int = 1_000_000) -> None:
        self.post("/plant", fault=fault, times=times)

    def get(self, path: str) -> dict:
        return httpx.get(self.url + path, trust_env=False).json()


@pytest.fixture(scope="session")
def _processes() -> Iterator[list[DoubleProcess]]:
    processes = [DoubleProcess(), DoubleProcess()]
    yield processes
    for process in processes:
        process.stop()


@pytest.fixture
def doubles(_processes) -> list[DoubleProcess]:
    """Two well-behaved servers with their first weights."""
    for process in _processes:
        if not process.alive:
            process.restart()
        process.post("/reset")
    return _processes


@pytest.fixture
def server(doubles) -> DoubleProcess:
    """One of them."""
    return doubles[0]


class BigramLearner:
    """The learner of the double's model.

    Its weights are ``scale`` times those that a server starts with.
    """

    def __init__(self, scale: float = 0.9) -> None:
        self.weights = double.initial_weights() * scale

    def save(self, folder: Path) -> None:
        np.save(folder / "weights.npy", self.weights)

    def save_adapter(self, folder: Path) -> None:
        folder.mkdir()
        np.save(folder / "adapter.npy", self.weights - double.initial_weights())

    def score(self, completions, temperature: float) -> list[Scores]:
        return [self._score(prompt, output, temperature) for prompt, output in completions]

    def _score(self, prompt, output, temperature: float) -> Scores:
        last = (prompt[-1], *output[:-1])
        logp = double.log_softmax(self.weights[list(last)] / temperature)  # (T, V)
        p = np.exp(logp)
        mean = (p * logp).sum(-1)
        variance = (p * (logp - mean[:, None]) ** 2).sum(-1)
        chosen = logp[np.arange(len(output)), list(output)]
        return Scores(logp=tuple(chosen), mean=tuple(mean), variance=tuple(variance))

    @contextmanager
    def perturbed(self) -> Iterator[None]:
        true = self.weights
        self.weights = true[::-1] * 1.5
        yield
        self.weights = true

    def tokenize(self, text: str) -> tuple[int, ...]:
        return tuple(double.tokenize(text))


@pytest.fixture
def learner() -> BigramLearner:
    """Its weights differ from those a server starts with."""
    return BigramLearner()


@pytest.fixture
def adapters(fleet, server, tmp_path):
    """Makes a backend whose policies are adapters of one server that has a GPU, with their learners by policy."""

    def make(scales: dict[str, float]) -> tuple[SGLangBackend, dict[str, BigramLearner]]:
        server.post("/set", device="cuda")
        learners = {policy: BigramLearner(scale) for policy, scale in scales.items()}
        save = {policy: learner.save_adapter for policy, learner in learners.items()}
        backend = fleet({"shared": [server]})
        served = ServedPolicy(
            roster=backend.policies.pop("shared").roster,
            weights=AdapterWeights(save=save, folder=tmp_path / "adapters"),
        )
        backend.policies.update(dict.fromkeys(scales, served))
        return backend, learners

    return make


@pytest.fixture
def fleet(tmp_path, learner):
    """Makes a backend over servers by policy; ``sleep`` is called instead of waiting."""

    def make(policies: dict[str, Sequence[DoubleProcess]], *, sleep=lambda _: None, **deadlines) -> SGLangBackend:
        resources = ExitStack()
        client = resources.enter_context(httpx.Client(trust_env=False))
        limits = Deadlines(**({"recover": 5.0, "generate": 10.0, "sync": 10.0, "status": 5.0} | deadlines))
        served = {
            name: ServedPolicy(
                roster=Roster(
                    [process.url for process in processes],
                    partial(listed_servers, client=client, deadlines=limits),
                    partial(Worker, client=client, deadlines=limits),
                ),
                weights=DiskWeights(save=learner.save, folder=tmp_path / name),
            )
            for name, processes in policies.items()
        }
        decode = SimpleNamespace(batch_decode=lambda rows, skip_special_tokens: [str(row) for row in rows])
        backend = SGLangBackend(
            served,
            decode,
            stops=[double.END],
            resources=resources,
            patience=Patience(backoff_seconds=0.01),
            sleep=sleep,
        )
        return opened.enter_context(backend)

    with ExitStack() as opened:
        yield make
