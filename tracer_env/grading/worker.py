"""Keeps the comparing child process alive, and gives up on it at the deadline."""

import contextlib
import json
import os
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tracer_env.errors import ConfigError, GradingError
from tracer_env.grading.base import Grade

_SCRIPT = Path(__file__).with_name("math_worker.py")


class MathWorker:
    """One child process that compares pairs of LaTeX answers, started when first needed.

    An item without a verdict by its deadline is ``Grade.UNGRADABLE``: the child is killed, the next item
    starts another. The same holds for a child that crashes or is killed by others. Safe to share between
    threads (items queue up); a fork or a copy gets a child of its own. The child ends with ``close``, with this
    object, and with the parent process however that ends.

    Args:
        deadline_seconds: the most wall time one item may take.
        start_seconds: the most wall time the child may take to import its libraries; not part of any deadline.

    Raises:
        ConfigError: a limit that is not positive.
    """

    def __init__(self, *, deadline_seconds: float = 5.0, start_seconds: float = 120.0) -> None:
        for field, value in (("deadline_seconds", deadline_seconds), ("start_seconds", start_seconds)):
            if not 0 < value < float("inf"):
                raise ConfigError(f"{field} must be a positive number of seconds, got {value!r}")
        self.deadline_seconds = deadline_seconds
        self.start_seconds = start_seconds
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._stop: weakref.finalize[..., Any] | None = None
        self._owner = os.getpid()

    def compare(self, gold: str, answer: str) -> Grade:
        """The grade of one pair.

        Raises:
            GradingError: the child cannot be started, e.g. because math-verify is not installed.
        """
        if os.getpid() != self._owner:  # forked: the inherited child, and a lock maybe held, are the parent's
            self.__init__(deadline_seconds=self.deadline_seconds, start_seconds=self.start_seconds)
        with self._lock:
            process = self._running()
            item = {"gold": gold, "answer": answer, "seconds": self.deadline_seconds}
            reply = self._exchange(process, json.dumps(item), self.deadline_seconds)
            return Grade(reply["grade"]) if reply else Grade.UNGRADABLE

    @property
    def pid(self) -> int | None:
        """The child's process id, None while there is none."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def close(self) -> None:
        """Ends the child, if any; a later ``compare`` starts another."""
        if self._stop is not None:
            self._stop()
        self._process = self._stop = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.deadline_seconds, self.start_seconds)

    def _running(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self.close()
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="ascii",
                env={**os.environ, "PYTHONHASHSEED": "0"},  # sympy orders some sets by hash
            )
        except OSError as error:
            raise GradingError(f"the grading worker cannot be started ({sys.executable}): {error}") from error
        self._process, self._stop = process, weakref.finalize(self, _end, process, self._owner)
        hello = self._exchange(process, None, self.start_seconds)
        if not hello or "error" in hello:
            self.close()
            why = hello["error"] if hello else f"it did not start within {self.start_seconds:g} s, or crashed"
            raise GradingError(f"the grading worker cannot be started: {why}; try: pip install math-verify")
        return process

    def _exchange(self, process: subprocess.Popen[str], line: str | None, seconds: float) -> dict[str, Any] | None:
        """Sends ``line``, if any, and returns the next reply; None if the child died or had to be killed."""
        assert process.stdin is not None
        assert process.stdout is not None
        timer = threading.Timer(seconds, process.kill)
        timer.daemon = True
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                if line is not None:
                    process.stdin.write(line + "\n")
                    process.stdin.flush()
            reply = process.stdout.readline()
        except BaseException:  # an interrupt here would leave a reply in the pipe for the next item
            self.close()
            raise
        finally:
            timer.cancel()
            timer.join()  # past this line nobody kills the child
        if reply.endswith("\n"):
            return json.loads(reply)
        self.close()
        return None


def _end(process: subprocess.Popen[str], owner: int) -> None:
    if os.getpid() != owner:
        return
    process.kill()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):  # unsent bytes to a dead child
            if pipe is not None:
                pipe.close()
    process.wait()


def _restored(kind: type[MathWorker], deadline_seconds: float, start_seconds: float) -> MathWorker:
    return kind(deadline_seconds=deadline_seconds, start_seconds=start_seconds)
