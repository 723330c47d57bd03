"""A real SGLang server on a CPU, holding the shipped model, in an environment of its own (``make venv-sglang``)."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tracer_agents.build import TINY, Parts, build
from tracer_agents.config import Config, load_config
from tracer_agents.generation.sglang.server import Server, ServerSpec, running

PYTHON = Path(__file__).parents[2] / ".venv-sglang" / "bin" / "python"


@pytest.fixture(scope="session")
def spec() -> Callable[..., ServerSpec]:
    """Describes a server on a free port."""
    if not PYTHON.exists():
        pytest.fail(f"{PYTHON} is missing; run 'make venv-sglang'")

    def make(model: str | Path = TINY) -> ServerSpec:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        return ServerSpec(model=str(model), python=PYTHON, device="cpu", port=port)

    return make


@pytest.fixture(scope="session")
def server(spec, tmp_path_factory) -> Iterator[Server]:
    """Shared by the tests that leave it alive."""
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as file, running(spec(), log=file) as started:
        yield started


@pytest.fixture
def settings(server) -> Callable[..., Any]:
    """Makes a configuration of the shipped model over the server, with further overrides by dotted name."""

    def make(overrides: dict[str, Any] | None = None):
        base = {
            "backend.name": "sglang",
            "backend.url": server.spec.url,
            "speakers.device": "cpu",
            "trainer.steps": 10,
            "trainer.controller_steps": 0,
            "trainer.questions_per_step": 4,
            "trainer.checkpoint_every": 5,
            "controllers.validation_questions": 4,
            "evaluation.questions": 12,
            "evaluation.baselines": False,
            "evaluation.greedy": False,
            "evaluation.certificate_questions": 4,
            "evaluation.checkpoint_questions": 0,
            "evaluation.bootstrap": 200,
        }
        return load_config(preset="demo-paper", overrides=base | (overrides or {}))

    return make


@pytest.fixture
def built() -> Iterator[Callable[[Config], Parts]]:
    """Builds a run's objects, whose connections are closed when the test ends."""
    with ExitStack() as resources:
        yield lambda config: resources.enter_context(build(config))
