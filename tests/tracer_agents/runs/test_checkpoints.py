"""Files that survive a kill: torn lines, complete checkpoints, one writer."""

import json
import os
import subprocess
import sys

import pytest

from tracer_agents.errors import RunError
from tracer_agents.runs.checkpoints import (
    Checkpoints,
    append_lines,
    keep_lines,
    locked,
    read_lines,
    write_lines,
    write_text,
)

ROWS = [{"step": 1, "text": "Größe λ"}, {"step": 2, "text": "a\nb\u2028c"}, {"step": 3, "text": "日本"}]


def test_lines_come_back(tmp_path):
    file = tmp_path / "log.jsonl"
    append_lines(file, ROWS[:1])
    append_lines(file, ROWS[1:])
    assert list(read_lines(file)) == ROWS
    assert file.read_text(encoding="utf-8").count("\n") == 3


def test_a_file_torn_at_any_byte_gives_its_complete_lines(tmp_path):
    file, torn = tmp_path / "log.jsonl", tmp_path / "torn.jsonl"
    append_lines(file, ROWS)
    content = file.read_bytes()
    for end in range(len(content) + 1):
        torn.write_bytes(content[:end])
        assert list(read_lines(torn)) == ROWS[: content[:end].count(b"\n")]


def test_no_file_no_lines(tmp_path):
    assert list(read_lines(tmp_path / "absent")) == []
    assert keep_lines(tmp_path / "absent", lambda row: True) == []


def test_cutting_back_drops_rows_and_the_torn_end(tmp_path):
    file = tmp_path / "log.jsonl"
    append_lines(file, ROWS)
    file.write_bytes(file.read_bytes() + b'{"step": 4, "te')
    assert keep_lines(file, lambda row: row["step"] <= 2) == ROWS[:2]
    append_lines(file, [{"step": 3}])
    assert [row["step"] for row in read_lines(file)] == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


def test_replaced_text_is_never_half_written(tmp_path, monkeypatch):
    file = tmp_path / "summary.json"
    write_text(file, "old")

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        write_text(file, "new")
    assert file.read_text() == "old"


def test_checkpoints_in_order_with_only_the_newest_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2)
    assert checkpoints.steps() == []
    for step in (0, 5, 10, 15):
        checkpoints.save(step, lambda folder, step=step: (folder / "state").write_text(str(step)))
    assert checkpoints.steps() == [10, 15]
    assert checkpoints.latest() == checkpoints.path(15) == tmp_path / "checkpoints" / "step_15"
    assert (checkpoints.latest() / "state").read_text() == "15"


def test_a_checkpoint_that_was_not_finished_is_none(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(1, lambda folder: (folder / "state").write_text("1"))

    def killed(folder) -> None:
        (folder / "state").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(2, killed)
    assert checkpoints.steps() == [1]
    checkpoints.save(2, lambda folder: (folder / "other").write_text("2"))
    assert [path.name for path in checkpoints.path(2).iterdir()] == ["other"]


def test_checkpoints_may_hold_folders(tmp_path):
    def write(folder) -> None:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights").write_text("w")

    assert (Checkpoints(tmp_path, keep=1).save(3, write) / "adapter" / "weights").read_text() == "w"


def test_other_names_are_no_checkpoints(tmp_path):
    for name in ("step_x", "step_1.old", ".step_2.draft", "best"):
        (tmp_path / name).mkdir()
    checkpoints = Checkpoints(tmp_path, keep=1)
    assert checkpoints.steps() == []
    with pytest.raises(RunError, match="no checkpoint"):
        checkpoints.latest()


def test_the_lock_keeps_a_second_writer_out(tmp_path):
    with (
        locked(tmp_path / "run"),
        pytest.raises(RunError, match="another process is writing"),
        locked(tmp_path / "run"),
    ):
        pytest.fail("two writers")
    with locked(tmp_path / "run"):
        pass


def test_the_lock_of_a_dead_process_is_free(tmp_path):
    script = (
        "import os, sys; from pathlib import Path; from tracer_agents.runs.checkpoints import locked\n"
        "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    assert done.returncode == -9
    with locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot be written"), locked(tmp_path / "file"):
        pytest.fail("a file is no folder")
    with pytest.raises(RunError, match="cannot be written"), locked(tmp_path / "file" / "run"):
        pytest.fail("nothing lies below a file")


def test_rows_are_json_lines(tmp_path):
    append_lines(tmp_path / "log", ROWS)
    assert [json.loads(line) for line in (tmp_path / "log").read_text(encoding="utf-8").split("\n")[:-1]] == ROWS


def test_a_kill_before_old_checkpoints_were_removed_leaves_none_after_resume(tmp_path):
    many = Checkpoints(tmp_path, keep=9)
    for step in range(4):
        many.save(step, lambda folder: (folder / "state.json").write_text("{}"))
    few = Checkpoints(tmp_path, keep=2)
    few.prune()
    assert few.steps() == [2, 3]


@pytest.mark.parametrize("flaw", [float("nan"), float("inf"), -float("inf")])
def test_a_figure_that_is_no_number_is_never_written(tmp_path, flaw):
    """NaN is no JSON; whoever reads the file next would stumble over it."""
    file = tmp_path / "rows.jsonl"
    append_lines(file, [{"loss": None}])
    for write in (append_lines, write_lines):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(file, [{"loss": 1.0}, {"loss": flaw}])
    assert list(read_lines(file)) == [{"loss": None}]
