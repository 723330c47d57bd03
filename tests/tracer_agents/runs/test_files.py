"""Files that survive a kill: torn lines, text that is never half written, one writer."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tracer_agents.errors import RunError
from tracer_agents.runs.files import (
    append_lines,
    keep_lines,
    locked,
    read_json,
    read_lines,
    write_json,
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
        "import os, sys; from pathlib import Path; from tracer_agents.runs.files import locked\n"
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


@pytest.mark.parametrize("flaw", [float("nan"), float("inf"), -float("inf")])
def test_a_figure_that_is_no_number_is_never_written(tmp_path, flaw):
    """NaN is no JSON; whoever reads the file next would stumble over it."""
    file = tmp_path / "rows.jsonl"
    append_lines(file, [{"loss": None}])
    for write in (append_lines, write_lines):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write(file, [{"loss": 1.0}, {"loss": flaw}])
    assert list(read_lines(file)) == [{"loss": None}]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_of_one_line():
    with pytest.raises(RunError, match="/dev/full: cannot be written: No space left on device"):
        append_lines(Path("/dev/full"), ROWS)


@pytest.mark.parametrize("content", [b"{", b"", b"[" * 100_000, b"\xff", b"nul"])
def test_damaged_json_is_named(tmp_path, content):
    (tmp_path / "state.json").write_bytes(content)
    with pytest.raises(RunError, match=r"state\.json: damaged"):
        read_json(tmp_path / "state.json")
    with pytest.raises(RunError, match=r"absent\.json: cannot be read: No such file"):
        read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("row", [b"{\n", b"[1]\n", b"\xff\n", b"[" * 100_000 + b"\n", b"\n"])
def test_a_damaged_row_is_named_by_its_number(tmp_path, row):
    (tmp_path / "log.jsonl").write_bytes(b'{"a": 1}\n' + row)
    with pytest.raises(RunError, match=r"log\.jsonl, line 2: damaged"):
        list(read_lines(tmp_path / "log.jsonl"))


def test_lone_surrogates_come_back(tmp_path):
    rows = [{"text": "a\ud800b"}]
    append_lines(tmp_path / "log.jsonl", rows)
    write_json(tmp_path / "value.json", rows)
    assert list(read_lines(tmp_path / "log.jsonl")) == rows == read_json(tmp_path / "value.json")
