"""Damaged runs: what is flipped, cut off or removed is named, or makes no difference to what a run goes on from."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tracer_agents.config import Config, load_config
from tracer_agents.errors import RunError
from tracer_agents.rollout.records import DialogueRecord, Outcome
from tracer_agents.runs.directory import RunDirectory

CONFIG = load_config(overrides={"trainer.steps": 9, "trainer.checkpoint_every": 4})
WEIGHTS = ("model.safetensors", "optimiser.pt", "controllers.npz", "regret.npz", "state.json")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A run that was killed after step 9's figures, before its checkpoint."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    rng = np.random.default_rng(0)
    with RunDirectory.create(folder, CONFIG) as run:
        for question in "abc":
            run.add_records([record(question)])
        for step in range(10):
            if step:
                run.add_metrics({"step": step, "accuracy": rng.random()})
            if step % 4 == 0:
                run.checkpoints.save(step, lambda draft: write(draft, rng))
        (folder / "tb").mkdir()
        (folder / "tb" / "events.out.tfevents.1").write_bytes(rng.bytes(100))
    return folder


def record(question: str) -> DialogueRecord:
    return DialogueRecord(
        method="team", phase="before", seed=0, question_id=question, question="?", gold="1", answer=None,
        correct=False, grade=Outcome.WRONG, turns=(),
    )  # fmt: skip


def write(draft: Path, rng: np.random.Generator) -> None:
    for name in WEIGHTS:
        (draft / name).write_bytes(rng.bytes(200))
    (draft / "adapters").mkdir()
    (draft / "adapters" / "a").write_bytes(rng.bytes(50))


def goes_on_from(folder: Path, config: Config = CONFIG) -> dict[str, str]:
    """Digests of all that a resumed run would read: the newest checkpoint's files, figures and records until then."""
    with RunDirectory.resume(folder, config) as run:
        newest = run.checkpoints.latest()
        step = run.checkpoints.steps()[-1]
        read = {str(path.relative_to(newest)): path.read_bytes() for path in newest.rglob("*") if path.is_file()}
        read["figures"] = repr(run.keep_metrics(step)).encode()
        read["records"] = repr(run.keep_records({"before"})).encode()
        read["config"] = repr(run.config()).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in read.items()}


def damages(folder: Path) -> Iterator[tuple[str, Path, bytes | None]]:
    """(what, file, new content or None) of every damage to every file: flips, cuts, emptiness, absence."""
    rng = np.random.default_rng(1)
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != ".lock"):
        content = path.read_bytes()
        name = str(path.relative_to(folder))
        for place in rng.integers(len(content) * 8, size=4):
            flipped = bytearray(content)
            flipped[place // 8] ^= 1 << (place % 8)
            yield f"{name}: bit {place} flipped", path, bytes(flipped)
        yield f"{name}: cut", path, content[: int(rng.integers(1, len(content)))]
        yield f"{name}: emptied", path, b""
        yield f"{name}: removed", path, None


def refusal(folder: Path, expected: dict[str, str]) -> str:
    """Why the run does not go on; nothing where it goes on from what is expected."""
    try:
        read = goes_on_from(folder)
    except RunError as error:
        return str(error)
    assert read == expected
    return ""


def test_no_damage_goes_unnoticed(whole, tmp_path):
    """Either the run goes on from exactly what it would have, or the error names the damaged file in one line."""
    expected = goes_on_from(Path(shutil.copytree(whole, tmp_path / "intact")))
    copy = tmp_path / "copy"
    tried = refused = 0
    for what, path, content in damages(whole):
        shutil.copytree(whole, copy)
        place = copy / path.relative_to(whole)
        place.unlink() if content is None else place.write_bytes(content)
        tried += 1
        message = refusal(copy, expected)
        if message:
            refused += 1
            assert path.name in message, (what, message)
            assert "\n" not in message, (what, message)
        shutil.rmtree(copy)
    assert tried >= 100
    assert refused >= tried / 2


def test_rows_that_are_missing_or_foreign_are_named(whole, tmp_path):
    rows = (whole / "metrics.jsonl").read_text().splitlines(keepends=True)
    for number, wrong in enumerate(
        ([*rows[:2], *rows[3:]], [*rows[:2], rows[1], *rows[3:]], rows[:3], [rows[1], rows[0], *rows[2:]])
    ):
        copy = Path(shutil.copytree(whole, tmp_path / str(number)))
        (copy / "metrics.jsonl").write_text("".join(wrong))
        with pytest.raises(RunError, match=r"metrics\.jsonl: damaged"):
            goes_on_from(copy)


def test_rows_of_a_version_without_manifests_are_counted(whole, tmp_path):
    copy = earlier(whole, tmp_path / "copy")
    assert goes_on_from(copy)
    rows = (copy / "metrics.jsonl").read_text().splitlines(keepends=True)
    (copy / "metrics.jsonl").write_text("".join([*rows[:2], *rows[3:]]))
    with pytest.raises(RunError, match=r"metrics\.jsonl: damaged, row 3 is not that of step 3"):
        goes_on_from(copy)


def earlier(run: Path, copy: Path) -> Path:
    """The run as a version would have left it that wrote neither run.json nor manifests."""
    shutil.copytree(run, copy)
    for path in [copy / "run.json", *copy.rglob("manifest.json")]:
        path.unlink()
    return copy


def test_settings_of_a_version_without_digests_must_be_whole(whole, tmp_path):
    copy = earlier(whole, tmp_path / "copy")
    settings = (copy / "config.yaml").read_text()
    for cut in ("", settings[: settings.index("evaluation:")], "# nothing\n"):
        (copy / "config.yaml").write_text(cut)
        with pytest.raises(RunError, match=r"config\.yaml: damaged"):
            goes_on_from(copy)


def test_settings_of_another_version_are_refused_with_its_name(whole, tmp_path):
    copy = earlier(whole, tmp_path / "copy")
    settings = (copy / "config.yaml").read_text()
    (copy / "config.yaml").write_text(settings.replace("loss: gspo", "loss: gspo_token"))
    (copy / "summary.json").write_text('{"schema_version": 1, "versions": {"tracer-debate": "0.0.9"}}')
    with pytest.raises(RunError, match=r"gspo_token is gone.*written by tracer-debate 0\.0\.9 .*schema 1; this is"):
        RunDirectory(copy).config()


def test_a_run_of_a_later_version_is_refused(whole, tmp_path):
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    about = (copy / "run.json").read_text().replace('"schema_version": 2', '"schema_version": 3')
    (copy / "run.json").write_text(about)
    with pytest.raises(RunError, match=r"of schema 3; this is .* schema 2; use that version"):
        RunDirectory(copy).config()


def test_an_older_checkpoint_is_taken_only_if_asked_for(whole, tmp_path):
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / "checkpoints" / "step_8" / "model.safetensors").write_bytes(b"flipped")
    with pytest.raises(RunError, match=r"step_8/model\.safetensors: damaged.*step_4.*--allow-older"):
        goes_on_from(copy)
    with RunDirectory.resume(copy, CONFIG, allow_older=True) as run:
        assert run.checkpoints.steps() == [4]
        assert "step_8/model.safetensors: damaged" in run.notes[0]
        assert [row["step"] for row in run.keep_metrics(4)] == [1, 2, 3, 4]


def test_a_lost_checkpoint_is_noticed(whole, tmp_path):
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    shutil.rmtree(copy / "checkpoints" / "step_8")
    with pytest.raises(RunError, match=r"step_8: missing, the run got further.*step_4.*--allow-older"):
        goes_on_from(copy)
    with RunDirectory.resume(copy, CONFIG, allow_older=True) as run:
        assert run.checkpoints.steps() == [4]
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(RunError, match="checkpoints: missing"):
        goes_on_from(copy)


def test_an_empty_newest_checkpoint_does_not_block(whole, tmp_path):
    copy = Path(shutil.copytree(whole, tmp_path / "copy"))
    (copy / "checkpoints" / "step_9").mkdir()
    with RunDirectory.resume(copy, CONFIG) as run:
        assert run.checkpoints.latest().name == "step_8"
        assert run.notes == [f"{copy / 'checkpoints' / 'step_9'}: empty, passed over"]
