"""Jobs done by the machines of a Ray cluster, which share the folder of the records with this one."""

import os
import socket
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from benchmarks.suite.workers import MachineLost, Work, WorkerLost
from tracer_agents.errors import RunError
from tracer_env.errors import ConfigError, TracerError

_START = "start one with `ray start --head` here and `ray start --address HOST:6379` on the other machines"


class RayCluster:
    """A job for each GPU of a running Ray cluster, or for each CPU where models are on the CPU.

    Ray is told to retry nothing: what a lost machine did is submitted again by who asked for it, as after any loss.

    Args:
        folder: of the records; every machine must see it under this path.
        device: ``speakers.device`` of the jobs; with ``auto`` they take a GPU where the cluster has any.
        limit: of jobs at a time; None: as many as the cluster has room for.
    """

    def __init__(self, folder: Path, *, device: str, limit: int | None) -> None:
        self._folder, self._device, self._limit = folder.resolve(), device, limit
        self._token = self._folder / f".shared-{uuid4().hex}"
        self._gpus = 0
        self._ray: Any = None
        self._ours = False

    def __enter__(self) -> Self:
        try:
            ray: Any = import_module("ray")
        except ImportError as error:
            raise ConfigError("--executor ray: Ray is not installed; pip install 'tracer-debate[ray]'") from error
        self._ray = ray
        if not ray.is_initialized():
            try:
                ray.init(address="auto", log_to_driver=False, logging_level="ERROR")
            except ConnectionError as error:
                raise ConfigError(f"--executor ray: no Ray cluster is found from here; {_START}") from error
            self._ours = True
        there = ray.cluster_resources().get("GPU", 0)
        if self._device.startswith("cuda") and not there:
            self._leave()
            raise ConfigError(f"--executor ray: speakers.device is {self._device}, and the cluster has no GPU")
        self._gpus = int(self._device != "cpu" and there > 0)
        self._token.write_text("")
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Ray ends what a driver began when it leaves."""
        self._token.unlink(missing_ok=True)
        self._leave()

    def _leave(self) -> None:
        if self._ours:
            self._ray.shutdown()

    @property
    def places(self) -> int:
        """As many as there are GPUs, or CPUs, among the machines that are there at present."""
        there = int(self._ray.cluster_resources().get("GPU" if self._gpus else "CPU", 0))
        return there if self._limit is None else min(there, self._limit)

    def submit(self, work: Work) -> Future[None]:
        """Begins the job on a machine that has room."""
        options = {"num_cpus": 1, "num_gpus": self._gpus, "max_retries": 0, "scheduling_strategy": "SPREAD"}
        there = self._ray.remote(**options)(do_there)
        future: Future[None] = Future()
        begun = there.remote(str(Path.cwd()), str(self._token), work).future()
        begun.add_done_callback(partial(_pass_on, future, self._ray.exceptions))
        return future


def _pass_on(future: Future[None], exceptions: Any, done: Future[TracerError | None]) -> None:
    error = done.exception() or done.result()
    if error is None:
        future.set_result(None)
    elif isinstance(error, exceptions.RayTaskError) or not isinstance(error, exceptions.RayError):
        future.set_exception(error)
    else:
        lost = MachineLost if isinstance(error, exceptions.NodeDiedError) else WorkerLost
        future.set_exception(lost(str(error).partition(". ")[0] or type(error).__name__))


def do_there(here: str, token: str, work: Callable[[], None]) -> TracerError | None:
    """Does a job on a machine of the cluster, in the driver's directory; what is wrong with the job is returned.

    Args:
        here: the driver's directory, from which relative paths of a plan are meant.
        token: a file that is there if the machine shares the folder of the records.
    """
    if not (Path(here).is_dir() and Path(token).is_file()):
        missing = here if not Path(here).is_dir() else str(Path(token).parent)
        return RunError(f"{missing}: machine {socket.gethostname()} of the cluster does not see it; share the folder")
    from transformers.utils import logging

    logging.disable_progress_bar()
    os.chdir(here)
    try:
        work()
    except TracerError as error:
        return error
    return None
