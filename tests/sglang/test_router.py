"""SGLang's own router before real servers: who joins late gets the weights, who leaves is missed by nobody."""

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tracer_agents.build import TINY
from tracer_agents.generation.sglang.roster import listed_servers
from tracer_agents.generation.sglang.server import ServerSpec, running
from tracer_agents.generation.sglang.wire import Deadlines, Worker
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent

pytestmark = [pytest.mark.sglang, pytest.mark.timeout(600)]


class Router:
    """The process; servers join and leave it by HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx.Client(trust_env=False)

    def wait_for(self, servers: Sequence[str], seconds: float = 120.0) -> None:
        end = time.monotonic() + seconds
        while sorted(listed_servers(self.url, self._client, Deadlines()) or []) != sorted(servers):
            assert time.monotonic() < end, f"the router does not list {servers}"
            time.sleep(0.5)

    def join(self, server: str) -> None:
        self._client.post(f"{self.url}/workers", json={"url": server}).raise_for_status()

    def leave(self, server: str) -> None:
        listed = self._client.get(f"{self.url}/workers").json()["workers"]
        [name] = [worker["id"] for worker in listed if worker["url"] == server]
        self._client.delete(f"{self.url}/workers/{name}").raise_for_status()

    def close(self) -> None:
        self._client.close()


@contextmanager
def routing(spec: ServerSpec, servers: Sequence[str], log: Path) -> Iterator[Router]:
    """A router on the port of ``spec``."""
    command = [str(spec.python), "-m", "sglang_router.launch_router", "--host", "127.0.0.1", "--port", str(spec.port)]
    with log.open("wb") as output:
        process = subprocess.Popen([*command, "--worker-urls", *servers], stdout=output, stderr=output)
    router = Router(spec.url)
    try:
        router.wait_for(servers)
        yield router
    finally:
        router.close()
        process.kill()
        process.wait()


def test_a_server_joins_and_another_leaves_in_the_middle_of_a_training(spec, server, settings, tmp_path, monkeypatch):
    complete, asked = Worker.complete, []
    with (
        (tmp_path / "late.txt").open("wb") as log,
        running(spec(TINY), log=log) as late,
        routing(spec(), [server.spec.url], tmp_path / "router.txt") as router,
    ):

        def watched(worker: Worker, order):
            asked.append(worker.url)
            if len(asked) == 20:
                router.join(late.spec.url)
                router.wait_for([server.spec.url, late.spec.url])
            if late.spec.url in asked and "left" not in asked:
                asked.append("left")
                router.leave(server.spec.url)
                router.wait_for([late.spec.url])
            return complete(worker, order)

        monkeypatch.setattr(Worker, "complete", watched)
        config = settings({"backend.url": router.url, "backend.in_flight": 1, "trainer.steps": 4})
        run_training(config, tmp_path / "run", resume=False, display=Silent())
    rows = RunDirectory(tmp_path / "run").metrics()
    assert [row["policy_version"] for row in rows] == [1, 2, 3, 4]
    assert max(row["gspo"]["engine_logp_difference_max"] for row in rows) <= 1e-3
    assert all(row["failed_questions"] == [] and row["failed_candidates"] == 0 for row in rows)
    left = asked.index("left")
    assert server.spec.url in asked[:20]
    assert late.spec.url not in asked[:20]
    assert set(asked[-50:]) == {late.spec.url}  # the last version went to it alone
    assert len(asked) - left > 50


@pytest.fixture(autouse=True)
def _router_is_installed(spec):
    probe = [str(spec().python), "-c", "import sglang_router"]
    if subprocess.run(probe, capture_output=True, check=False).returncode:
        pytest.fail("sglang_router is missing; run 'make venv-sglang' in a clean folder")
