"""A benchmark whose workers or machines are killed at random moments ends with the records of ``--jobs 1``."""

import os
import signal
from collections.abc import Callable
from multiprocessing import active_children
from pathlib import Path
from random import Random

import pytest
import yaml

from benchmarks.suite import runner
from benchmarks.suite.cells import jobs_of
from benchmarks.suite.plan import make_plan
from benchmarks.suite.ray_workers import RayCluster
from benchmarks.suite.runner import run_plan
from benchmarks.suite.workers import Processes, ThisProcess
from tracer_env.errors import ConfigError

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000}


@pytest.fixture(scope="module")
def plan(small_settings):
    fields = {
        "settings": {**small_settings, "trainer.steps": 3, "trainer.checkpoint_every": 1},
        "methods": ["single", "best_fixed", "controllers_only", "tracer"],
        "seeds": [0, 1, 2],
        "tasks": {"easy": {"name": "arithmetic", "options": {"level": "1"}}},
        "questions": 24,
        "fit_questions": 8,
        "validation_questions": 4,
        "chunk": 1,
    }
    return make_plan(yaml.safe_load(yaml.safe_dump(fields)), "test")


@pytest.fixture(scope="module")
def alone(plan, tmp_path_factory) -> Path:
    """Where one undisturbed process has recorded it."""
    out = tmp_path_factory.mktemp("alone") / "out"
    run_plan(plan, out, workers=ThisProcess(), watch=unwatched)
    return out


@pytest.fixture
def cluster():
    """Two nodes of one CPU each; the first is the driver's."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'tracer-debate[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def unwatched(jobs, running) -> None:
    pass


def recorded(out: Path) -> dict[str, bytes]:
    """The bytes of every record but the training's measures of time."""
    paths = [path for path in sorted(out.rglob("*.jsonl")) if path.name != "metrics.jsonl"]
    return {str(path.relative_to(out)): path.read_bytes() for path in paths}


def size(out: Path) -> int:
    return sum(path.stat().st_size for path in out.rglob("*.jsonl"))


class KillsNodes:
    """Kills the second node each time the records have grown so far, and begins a new one."""

    def __init__(self, cluster, out: Path, thresholds: list[int]) -> None:
        self.cluster, self.out, self.thresholds = cluster, out, thresholds
        self.node = cluster.add_node(**NODE)
        self.killed_at: list[int] = []  # bytes of records
        self.most_at_once = 0

    def watch(self, jobs, running) -> None:
        self.most_at_once = max(self.most_at_once, len(running))
        reached = size(self.out)
        if running and self.thresholds and reached >= self.thresholds[0]:
            self.thresholds = [each for each in self.thresholds if each > reached]
            self.cluster.remove_node(self.node, allow_graceful=False)
            self.killed_at.append(reached)
            self.node = self.cluster.add_node(**NODE)


class KillsWorkers:
    """Kills one of the processes that do jobs, up to ten times, each time when all jobs under way have got on."""

    def __init__(self, processes: Callable[[], list[int]]) -> None:
        self.processes = processes
        self.killed: list[int] = []
        self.reached: dict[str, int] = {}  # at the last kill, by job
        self.random = Random(0)

    def watch(self, jobs, running) -> None:
        reached = {job.name: job.completed() for job in running}
        if len(self.killed) == 10 or not all(reached[name] > self.reached.get(name, -1) for name in reached):
            return
        alive = [process for process in self.processes() if process not in self.killed]
        if alive and running:
            self.killed.append(self.random.choice(alive))
            os.kill(self.killed[-1], signal.SIGKILL)
            self.reached |= reached


def children() -> list[int]:
    return [child.pid for child in active_children() if child.pid is not None]


def ray_tasks() -> list[int]:
    """The processes that do a job for Ray at present."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if b"ray::do_there" in (folder / "cmdline").read_bytes():
                processes.append(int(folder.name))
        except OSError:
            continue  # it has just ended
    return processes


def assert_killed_workers_change_no_record(plan, alone: Path, spread: Path, workers, processes) -> None:
    killer = KillsWorkers(processes)

    run_plan(plan, spread, workers=workers, watch=killer.watch)

    assert len(set(killer.killed)) >= 5  # ten, unless the jobs are done before
    assert recorded(spread) == recorded(alone)
    assert all(job.is_done for job in jobs_of(plan, spread))


@pytest.fixture
def often(monkeypatch) -> None:
    """A benchmark looks after its workers several times a second, and so does who kills them."""
    monkeypatch.setattr(runner, "POLL_SECONDS", 0.05)


@pytest.mark.slow
@pytest.mark.usefixtures("often")
@pytest.mark.timeout(1800)
def test_killed_processes_change_no_record(plan, alone, tmp_path):
    assert_killed_workers_change_no_record(plan, alone, tmp_path / "spread", Processes(2), children)


@pytest.mark.slow
@pytest.mark.usefixtures("often")
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")  # Ray's own
def test_killed_tasks_change_no_record(plan, cluster, alone, tmp_path):
    cluster.add_node(**NODE)
    spread = tmp_path / "spread"
    workers = RayCluster(spread, device="cpu", limit=None)
    assert_killed_workers_change_no_record(plan, alone, spread, workers, ray_tasks)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
def test_killed_nodes_change_no_record(plan, cluster, alone, tmp_path):
    spread = tmp_path / "spread"
    total, random = size(alone), Random(0)
    killer = KillsNodes(cluster, spread, sorted(random.sample(range(total), 10)))

    run_plan(plan, spread, workers=RayCluster(spread, device="cpu", limit=None), watch=killer.watch)

    assert len(killer.killed_at) >= 2  # what several thresholds were passed in a second is one kill
    assert killer.most_at_once >= 2  # a node that has just died may be counted still
    assert recorded(spread) == recorded(alone)
    assert all(job.is_done for job in jobs_of(plan, spread))
    assert not list(spread.glob(".shared-*"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_what_the_cluster_cannot_do_is_said(plan, cluster, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"speakers\.device is cuda, and the cluster has no GPU"):
        RayCluster(tmp_path, device="cuda", limit=None).__enter__()

    with RayCluster(tmp_path, device="cpu", limit=1) as workers:
        assert workers.places == 1
        workers._token.unlink()
        with pytest.raises(Exception, match=r"does not see it; share the folder"):
            workers.submit(unwatched).result()


def test_without_ray_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'tracer-debate\[ray\]'"):
        RayCluster(tmp_path, device="cpu", limit=None).__enter__()
