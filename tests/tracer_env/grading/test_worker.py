"""The comparing child process: what happens when it crashes, hangs, is killed or is abandoned."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tracer_env.errors import ConfigError, GradingError
from tracer_env.grading import worker as worker_module
from tracer_env.grading.base import Grade
from tracer_env.grading.worker import MathWorker

# Speaks the protocol of math_worker without sympy: the answer says what the child does.
FAKE = """
import json, os, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    answer = json.loads(line)["answer"]
    if answer == "crash":
        os._exit(3)
    while answer == "hang":
        pass
    if answer == "half":
        sys.stdout.write('{"grade": "ri')
        sys.stdout.flush()
        os._exit(0)
    print(json.dumps({"grade": "right"}), flush=True)
"""
linux = pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux's pidfd and /proc")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    def start(source: str = FAKE, **limits: float) -> MathWorker:
        script = tmp_path / "fake.py"
        script.write_text(source)
        monkeypatch.setattr(worker_module, "_SCRIPT", script)
        return MathWorker(**limits)

    return start


def test_the_child_starts_when_first_needed_and_is_kept(fake):
    with fake() as worker:
        assert worker.pid is None
        assert worker.compare("1", "1") is Grade.RIGHT
        first = worker.pid
        assert worker.compare("1", "2") is Grade.RIGHT
        assert worker.pid == first
    assert worker.pid is None


@pytest.mark.parametrize("trouble", ["crash", "half", "hang"])
def test_trouble_costs_one_item(fake, trouble):
    with fake(deadline_seconds=0.5) as worker:
        assert worker.compare("1", trouble) is Grade.UNGRADABLE
        worker.deadline_seconds = 60
        assert worker.compare("1", "1") is Grade.RIGHT


def test_a_child_killed_within_an_item_costs_that_item(fake):
    with fake(deadline_seconds=600) as worker:
        worker.compare("1", "1")
        process = worker._process
        send = process.stdin.flush

        def send_and_kill() -> None:
            send()
            process.send_signal(signal.SIGKILL)

        process.stdin.flush = send_and_kill
        assert worker.compare("1", "hang") is Grade.UNGRADABLE
        assert worker.compare("1", "1") is Grade.RIGHT


def test_a_child_killed_between_items_costs_nothing(fake):
    with fake() as worker:
        worker.compare("1", "1")
        worker._process.kill()
        worker._process.wait()
        assert worker.compare("1", "1") is Grade.RIGHT


def test_an_interrupt_within_an_item_ends_the_child(fake):
    with fake() as worker:
        worker.compare("1", "1")

        def interrupt() -> None:
            raise KeyboardInterrupt

        worker._process.stdout.readline = interrupt
        with pytest.raises(KeyboardInterrupt):
            worker.compare("1", "1")
        assert worker.pid is None
        assert worker.compare("1", "1") is Grade.RIGHT


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("""print('{"error": "No module named math_verify"}', flush=True)""", "No module named math_verify"),
        ("raise SystemExit(1)", "did not start"),
        ("while True: pass", "did not start"),
    ],
)
def test_a_child_that_cannot_start_is_an_error_that_says_why(fake, source, why):
    with fake(source, start_seconds=0.5 if "while" in source else 60) as worker:
        with pytest.raises(GradingError, match=why):
            worker.compare("1", "1")
        assert worker.pid is None


def test_a_missing_interpreter_is_an_error(fake, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(GradingError, match="/nowhere/python"):
        fake().compare("1", "1")


@pytest.mark.parametrize("limits", [{"deadline_seconds": 0}, {"deadline_seconds": float("nan")}, {"start_seconds": -1}])
def test_limits_must_be_positive(limits):
    with pytest.raises(ConfigError, match=next(iter(limits))):
        MathWorker(**limits)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_gets_a_child_of_its_own_and_leaves_the_parents_alone(fake):
    with fake() as worker:
        worker.compare("1", "1")
        pid = worker.pid
        child = os.fork()
        if child == 0:
            done = worker.compare("1", "1") is Grade.RIGHT and worker.pid != pid
            worker.close()
            os._exit(0 if done else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert worker.compare("1", "1") is Grade.RIGHT
        assert worker.pid == pid


def _gone(pid: int, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


@linux
@pytest.mark.parametrize("last", ["", r"grader.worker.compare('x', '9^{9^{9^9}}')"])
def test_no_child_outlives_a_killed_parent(last):
    script = (
        "from tracer_env.grading.symbolic import Symbolic\n"
        "grader = Symbolic(deadline_seconds=2)\n"
        "grader.worker.compare('1', '1')\n"
        "print(grader.worker.pid, flush=True)\n"
        f"{last}\n"
        "input()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    with parent:
        child = int(parent.stdout.readline())
        parent.kill()
    assert _gone(child, 60)


@linux
def test_the_child_loads_math_verify_but_not_torch():
    with MathWorker(deadline_seconds=60) as worker:
        assert worker.compare("x+1", "1+x") is Grade.RIGHT
        assert "torch" not in Path(f"/proc/{worker.pid}/maps").read_text()
