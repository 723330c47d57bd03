"""Who does the jobs of a benchmark: this process, processes beside it, or whatever else keeps the same protocol."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, connection, get_context, parent_process
from typing import Protocol, Self

import torch
from transformers.utils import logging

from tracer_env.errors import ConfigError, TracerError

Work = Callable[[], None]


class WorkerLost(Exception):
    """The process or machine that did a job is gone; what it had put on disk is there, and the job can go on."""


class MachineLost(WorkerLost):
    """A whole machine is gone, for which its job is not to blame."""


class Workers(Protocol):
    """Those that do jobs, to be used in a ``with``; what leaves it by an exception ends the jobs under way."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None: ...

    @property
    def places(self) -> int:
        """How many jobs they do at a time at present."""
        ...

    def submit(self, work: Work) -> Future[None]:
        """Begins a job; the future raises what the job raises, or ``WorkerLost``."""
        ...


class ThisProcess:
    """Does each job in this process, as it is submitted."""

    places = 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """What an interrupted job had begun besides ends with it."""
        if kind is not None:
            _end_children()

    def submit(self, work: Work) -> Future[None]:
        """Begins the job, and ends it."""
        future: Future[None] = Future()
        try:
            future.set_result(work())
        except TracerError as error:
            future.set_exception(error)
        return future


class Processes:
    """Processes of this machine; one that dies takes down its own job alone."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._idle: list[ProcessPoolExecutor] = []  # each of one process
        self._all: list[ProcessPoolExecutor] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """What is interrupted here does not wait for the jobs under way: they go on next time."""
        if kind is not None:
            _end_children()
        for pool in self._all:
            pool.shutdown()

    def submit(self, work: Work) -> Future[None]:
        """Begins the job in an idle process, or in a new one."""
        future: Future[None] = Future()
        while True:
            pool = self._idle.pop() if self._idle else self._hire()
            try:
                inner = pool.submit(work)
                break
            except BrokenProcessPool:
                continue  # it died while it had nothing to do

        def pass_on(done: Future[None]) -> None:
            error = done.exception()
            if isinstance(error, BrokenProcessPool):
                future.set_exception(WorkerLost("its process was killed, perhaps for want of memory"))
                return
            self._idle.append(pool)
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)

        inner.add_done_callback(pass_on)
        return future

    def _hire(self) -> ProcessPoolExecutor:
        threads = max(1, (os.cpu_count() or 1) // self.places)
        pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_begin_worker, initargs=(threads,))
        self._all.append(pool)
        return pool


def processes(count: int) -> Workers:
    """So many processes of this machine; 1 is this one.

    Raises:
        ConfigError: fewer than 1.
    """
    if count < 1:
        raise ConfigError(f"--jobs {count}: expected 1 or more")
    return ThisProcess() if count == 1 else Processes(count)


def _end_children() -> None:
    for child in active_children():
        child.terminate()


def _begin_worker(threads: int) -> None:
    """A worker shares the cores with the others, and ends when the process that began it does, however that ends."""
    torch.set_num_threads(threads)
    logging.disable_progress_bar()  # they would tear the parent's
    parent = parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
