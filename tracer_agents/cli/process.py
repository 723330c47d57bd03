"""How a command ends: its exit status, the one sentence that says what stopped it, and signals from outside."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from tracer_env.errors import TracerError
from tracer_env.rendering import escape


class Stopped(Exception):
    """Work that was stopped from outside; ``status`` is the exit status, the message says how to go on."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class Terminated(BaseException):
    """SIGTERM came; like ``KeyboardInterrupt`` it passes every ``except Exception``."""


def status_of(command: Callable[[], int | None]) -> int:
    """The exit status of a command, 0 only if its work was done; what stopped it is shown in one line.

    It is what the command returns (None is 0), 1 after an error, 130 after an interrupt (Ctrl-C) and 143 after SIGTERM.
    A terminal of few characters and a reader that has gone are no errors.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of few characters shows what it can
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")
    try:
        status = command() or 0
    except click.ClickException as error:
        status = _fail(error.format_message())
    except TracerError as error:
        status = _fail(str(error))
    except OSError as error:
        status = _fail(_of_the_system(error))
    except Stopped as stopped:
        status = _fail(str(stopped), label="stopped", status=stopped.status)
    except click.Abort:
        status = _fail("nothing was written", label="interrupted", status=130)
    _flush(sys.stdout)
    return status


def _fail(message: str, *, label: str = "error", status: int = 1) -> int:
    """Shows what went wrong, with no power over the terminal for what came from outside."""
    try:
        click.echo(f"{click.style(f'{label}:', fg='red', bold=True)} {escape(message)}", err=True)
    except BrokenPipeError:
        _drop(sys.stderr)
    return status


def _of_the_system(error: OSError) -> str:
    """A file that cannot be used, or a full disk, in one line."""
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}"


def _flush(stream: Any) -> None:
    """A reader that has gone is no failure of the work."""
    try:
        stream.flush()
    except BrokenPipeError:
        _drop(stream)


def _drop(stream: Any) -> None:
    """Sends what is left in the stream nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def stoppable(advice: str) -> Iterator[None]:
    """Turns Ctrl-C and SIGTERM into ``Stopped`` with advice, after everything below has cleaned up.

    A batch system sends SIGTERM some seconds before it kills.
    """

    def terminate(*_: object) -> NoReturn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once is enough: cleaning up is under way
        raise Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as error:
        raise Stopped(f"interrupted; {advice}", 130) from error
    except Terminated as error:
        raise Stopped(f"terminated; {advice}", 143) from error
    finally:
        signal.signal(signal.SIGTERM, before)
