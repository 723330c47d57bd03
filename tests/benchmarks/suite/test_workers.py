"""Jobs go on with another worker where theirs is lost, and shards part them without a rest."""

import os
import signal
import time
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from benchmarks.__main__ import main
from benchmarks.suite import runner
from benchmarks.suite.cells import Job
from benchmarks.suite.plan import make_plan
from benchmarks.suite.runner import run_jobs
from benchmarks.suite.shards import Shard
from benchmarks.suite.workers import MachineLost, Processes, ThisProcess, WorkerLost
from tracer_agents.errors import RunError
from tracer_env.errors import ConfigError

PLAN = make_plan({"methods": ["single"], "tasks": {"easy": {"name": "arithmetic"}}}, "test")


def unwatched(jobs, running) -> None:
    """Nobody watches."""


@dataclass(frozen=True, kw_only=True)
class Lines(Job):
    """Writes ``size`` lines into its file."""

    def run(self) -> None:
        with self.progress.open("a") as file:
            file.write("done\n" * (self.size - self.completed()))

    def verify(self) -> None:
        """There is nothing to be read."""


def job(tmp_path: Path, name: str, *, needs: tuple[str, ...] = (), size: int = 4, kind="cell") -> Lines:
    return Lines(
        name=name, kind=kind, bench=None, size=size, progress=tmp_path / f"{name}.jsonl", done=None, needs=needs
    )


class Losing(ThisProcess):
    """Loses its worker at each of the first submissions, after which so many lines of the job are on disk."""

    def __init__(self, *lines: int, error: Exception | None = None) -> None:
        self.lines, self.error = list(lines), error or WorkerLost("it is gone")
        self.submitted: list[str] = []

    def submit(self, work):
        self.submitted.append(work.__self__.name)
        if not self.lines:
            return super().submit(work)
        with work.__self__.progress.open("a") as file:
            file.write("done\n" * self.lines.pop(0))
        future: Future[None] = Future()
        future.set_exception(self.error)
        return future


def test_a_job_that_gets_on_outlives_any_number_of_workers(tmp_path):
    workers, todo = Losing(1, 0, 1, 0, 1, 0), [job(tmp_path, "first"), job(tmp_path, "second", needs=("first",))]

    run_jobs(todo, PLAN, workers=workers, watch=unwatched)

    assert workers.submitted == ["first"] * 7 + ["second"]
    assert [each.completed() for each in todo] == [4, 4]


def test_a_job_that_kills_every_worker_is_given_up_and_the_rest_is_done(tmp_path):
    todo = [job(tmp_path, "deadly"), job(tmp_path, "needy", needs=("deadly",)), job(tmp_path, "free")]

    with pytest.raises(RunError, match=r"2 of 3 jobs were not done:\n  deadly: lost 3 processes at 1 of 4: it is gone"):
        run_jobs(todo, PLAN, workers=Losing(1, 0, 0), watch=unwatched)

    assert [each.completed() for each in todo] == [1, 0, 4]


def test_a_job_is_not_to_blame_for_its_machine(tmp_path):
    todo = [job(tmp_path, "moved")]

    run_jobs(todo, PLAN, workers=Losing(0, 0, 0, 0, 0, error=MachineLost("gone")), watch=unwatched)

    assert todo[0].is_done


def test_lost_places_are_waited_for(tmp_path, monkeypatch):
    class Returning(ThisProcess):
        def __init__(self) -> None:
            self.asked = 0

        @property
        def places(self) -> int:
            self.asked += 1
            return int(self.asked > 3)

    monkeypatch.setattr(runner, "POLL_SECONDS", 0.0)
    todo = [job(tmp_path, "patient")]

    run_jobs(todo, PLAN, workers=Returning(), watch=unwatched)

    assert todo[0].is_done


def killed_once(mark: Path) -> None:
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


def write_after(mark: Path, awaited: Path) -> None:
    while not awaited.exists():
        time.sleep(0.01)
    mark.touch()


def test_a_killed_process_takes_down_its_own_job_alone(tmp_path):
    mark, other = tmp_path / "killed", tmp_path / "other"
    with Processes(2) as workers:
        lost, beside = workers.submit(partial(killed_once, mark)), workers.submit(partial(write_after, other, mark))
        with pytest.raises(WorkerLost, match="killed"):
            lost.result()
        beside.result()
        workers.submit(partial(killed_once, mark)).result()

    assert other.exists()


def test_shards_are_all_jobs_and_none_twice(tmp_path):
    kinds = ["train"] * 3 + ["record"] * 5 + ["cell"] * 7
    jobs = [job(tmp_path, f"{kind} {number}", kind=kind) for number, kind in enumerate(kinds)]

    for count in (1, 2, 4, 20):
        parts = [Shard(index=index, count=count).of(jobs) for index in range(count)]
        names = [each.name for part in parts for each in part]
        assert sorted(names) == sorted(each.name for each in jobs)
        assert max(map(len, parts)) - min(map(len, parts)) <= 3  # at most one more of each kind


def test_a_shard_leaves_what_others_have_to_do_first(tmp_path):
    jobs = [job(tmp_path, "first"), job(tmp_path, "second", needs=("third",)), job(tmp_path, "third")]
    own, other = Shard(index=1, count=2), Shard(index=0, count=2)

    run_jobs(jobs, PLAN, workers=ThisProcess(), watch=unwatched, shard=own)
    assert [each.is_done for each in jobs] == [False, False, False]
    run_jobs(jobs, PLAN, workers=ThisProcess(), watch=unwatched, shard=other)
    assert [each.is_done for each in jobs] == [True, False, True]
    run_jobs(jobs, PLAN, workers=ThisProcess(), watch=unwatched, shard=own)
    assert [each.is_done for each in jobs] == [True, True, True]


@pytest.mark.parametrize("text", ["8/8", "1", "-1/3", "a/b", "1/0"])
def test_a_shard_that_is_none_is_named(text):
    with pytest.raises(ConfigError, match=f"--shard {text}: expected I/N"):
        Shard.parse(text)
    assert main(["run", "--methods", "single", "--tasks", "arithmetic-1", "--out", "no", f"--shard={text}"]) == 1


def test_shards_leave_what_one_command_leaves(small_settings, tmp_path, capsys):
    settings = [word for name, value in small_settings.items() if name != "task.options" for word in pair(name, value)]
    plan = ["--methods", "single", "controllers_only", "--tasks", "arithmetic-1", "--questions", "3", *settings]
    (tmp_path / "plan.yaml").write_text("{fit_questions: 4, validation_questions: 2, chunk: 2}")
    run = ["run", "--config", str(tmp_path / "plan.yaml"), *plan, "--out"]
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    assert main([*run, str(whole)]) == 0
    assert main(["status", str(shared)]) == 1  # nothing has begun

    for _ in range(2):
        for index in ("1/2", "0/2"):
            assert main([*run, str(shared), "--shard", index]) == 0
    printed = capsys.readouterr().out
    assert "need what other shards have not done yet: run the same command again" in printed
    assert not (shared / "report.html").exists()
    assert main(["status", str(shared), "--follow"]) == 0
    assert main([*run, str(shared)]) == 0

    assert recorded(shared) == recorded(whole)
    assert len(recorded(whole)) == 5
    assert (shared / "report.html").exists()


def pair(name: str, value: object) -> tuple[str, str]:
    return f"--{name}", str(value)


def recorded(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*.jsonl"))}
