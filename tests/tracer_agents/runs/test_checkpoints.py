"""Checkpoints: complete or none, sealed, checked before they are used."""

import pytest

from tracer_agents.errors import RunError
from tracer_agents.runs.checkpoints import Checkpoints


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
    assert sorted(path.name for path in checkpoints.path(2).iterdir()) == ["manifest.json", "other"]


def test_checkpoints_may_hold_folders(tmp_path):
    def write(folder) -> None:
        (folder / "adapter").mkdir()
        (folder / "adapter" / "weights").write_text("w")

    assert (Checkpoints(tmp_path, keep=1).save(3, write) / "adapter" / "weights").read_text() == "w"


def test_other_names_are_no_checkpoints(tmp_path):
    for name in ("step_x", "step_1.old", ".step_2.draft", "best"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "state").write_text("")
    checkpoints = Checkpoints(tmp_path, keep=1)
    assert checkpoints.steps() == []
    with pytest.raises(RunError, match="no checkpoint"):
        checkpoints.latest()


def test_a_kill_before_old_checkpoints_were_removed_leaves_none_after_resume(tmp_path):
    many = Checkpoints(tmp_path, keep=9)
    for step in range(4):
        many.save(step, lambda folder: (folder / "state.json").write_text("{}"))
    few = Checkpoints(tmp_path, keep=2)
    few.prune()
    assert few.steps() == [2, 3]


@pytest.fixture
def sealed(tmp_path) -> Checkpoints:
    """Checkpoints of steps 2 and 4 beside a log of as many rows."""
    log = tmp_path / "metrics.jsonl"
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=2, logs=[log], sealed=True)
    for step in (2, 4):
        log.write_text("row\n" * step)
        checkpoints.save(step, lambda folder, step=step: (folder / "weights").write_text(f"w{step}"))
    return checkpoints


def test_whole_checkpoints_have_no_damage(sealed):
    assert [sealed.damage(step) for step in sealed.steps()] == [None, None]
    sealed.require_whole()
    assert sealed.set_aside() == []


@pytest.mark.parametrize(
    ("name", "content", "damage"),
    [
        ("weights", "W4", "weights: damaged"),
        ("weights", None, "weights: missing"),
        ("manifest.json", None, "manifest.json: missing"),
        ("manifest.json", "", "manifest.json: damaged"),
        ("manifest.json", "[]", "manifest.json: damaged"),
        ("manifest.json", '{"files": {}, "logs": {}}', "manifest.json: damaged"),
        ("manifest.json", '{"files": {}, "logs": {}, "sha256": "0"}', "manifest.json: damaged"),
        ("../../metrics.jsonl", "row\nrow\nrow\n", "metrics.jsonl: damaged"),
        ("../../metrics.jsonl", "row\nrow\nrOw\nrow\n", "metrics.jsonl: damaged"),
    ],
)
def test_damage_is_named_and_the_newest_whole_checkpoint_with_it(sealed, name, content, damage):
    path = sealed.path(4) / name
    path.unlink() if content is None else path.write_text(content)

    with pytest.raises(RunError, match=rf"{damage}.*newest whole checkpoint is step_2: .*--allow-older"):
        sealed.require_whole()

    assert damage in sealed.set_aside()[0].replace(str(path), name)
    assert sealed.steps() == [2]
    assert (sealed.path(4).parent / "step_4.damaged").is_dir()
    sealed.require_whole()


def test_nothing_is_set_aside_where_no_checkpoint_is_whole(sealed):
    for step in sealed.steps():
        (sealed.path(step) / "weights").write_text("")
    with pytest.raises(RunError, match=r"step_4/weights.*no checkpoint is whole: train anew"):
        sealed.set_aside()
    with pytest.raises(RunError, match="no older checkpoint is whole: train anew"):
        sealed.require_whole()
    assert sealed.steps() == [2, 4]


def test_damaged_files_are_not_used_though_logs_may_be_gone(tmp_path, sealed):
    (tmp_path / "metrics.jsonl").unlink()
    again = Checkpoints(tmp_path / "checkpoints", keep=2, sealed=True)
    assert again.latest() == again.path(4)
    (again.path(4) / "weights").write_text("flipped")
    with pytest.raises(RunError, match="damaged"):
        Checkpoints(tmp_path / "checkpoints", keep=2, sealed=True).latest()


def test_an_empty_folder_is_no_checkpoint(sealed):
    sealed.path(6).mkdir()
    assert sealed.steps() == [2, 4]
    assert sealed.empty() == [sealed.path(6)]
    assert sealed.latest() == sealed.path(4)


def test_checkpoints_of_versions_without_manifests_are_taken_as_they_are(tmp_path):
    (tmp_path / "step_3").mkdir()
    (tmp_path / "step_3" / "weights").write_text("w")
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.require_whole()
    assert checkpoints.latest() == tmp_path / "step_3"


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), RuntimeError("writer failed\nframe #0"), KeyboardInterrupt()]
)
def test_a_write_that_fails_leaves_nothing_behind(sealed, tmp_path, error):
    def write(folder) -> None:
        (folder / "weights").write_text("as large as a model")
        raise error

    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else RunError
    with pytest.raises(expected) as failure:
        sealed.save(6, write)

    if expected is RunError:
        assert "step_6: cannot be written: " in str(failure.value)
        assert "\n" not in str(failure.value)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["step_2", "step_4"]
