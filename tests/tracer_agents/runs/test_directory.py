"""A run directory: begun once, resumed with the same settings, cut back to its checkpoint."""

import hashlib
import json
from importlib import metadata

import pytest

from tracer_agents.config import load_config
from tracer_agents.errors import RunError
from tracer_agents.rollout.records import DialogueRecord, Outcome
from tracer_agents.runs.directory import RunDirectory, describe, weights_digest
from tracer_agents.runs.files import read_json
from tracer_agents.speakers.prompts import prompts_for
from tracer_env.errors import ConfigError

CONFIG = load_config(overrides={"seed": 3, "task.options": {"level": 2}})


def record(phase: str, method: str = "team", question: str = "q") -> DialogueRecord:
    return DialogueRecord(
        method=method, phase=phase, seed=0, question_id=question, question="?", gold="1", answer=None, correct=False,
        grade=Outcome.WRONG, turns=(),
    )  # fmt: skip


def test_create_writes_settings_that_read_back(tmp_path):
    with RunDirectory.create(tmp_path / "run", CONFIG) as run:
        assert run.config() == CONFIG
    assert RunDirectory(tmp_path / "run").config() == CONFIG


@pytest.mark.parametrize("evidence", ["metrics.jsonl", "transcripts.jsonl", "checkpoints", "summary.json"])
def test_a_run_is_never_overwritten(tmp_path, evidence):
    with RunDirectory.create(tmp_path, CONFIG):
        (tmp_path / evidence).mkdir()
    with (
        pytest.raises(RunError, match="holds a run already; continue it with --resume"),
        RunDirectory.create(tmp_path, CONFIG),
    ):
        pytest.fail("two runs in a folder")


def test_a_start_that_recorded_nothing_may_be_made_again(tmp_path):
    with pytest.raises(RuntimeError, match="no such model"), RunDirectory.create(tmp_path, CONFIG):
        raise RuntimeError("no such model")
    other = load_config(overrides={"seed": 4})
    with RunDirectory.create(tmp_path, other) as run:
        assert run.config() == other


@pytest.mark.parametrize("name", ["config.yaml", "tb", "certificate.png", "run.json"])
def test_what_others_left_in_a_folder_stays(tmp_path, name):
    """``--out .`` in a project: its own config.yaml and tb/ are not the run's."""
    if name == "tb":
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("mine")
    else:
        (tmp_path / name).write_text("mine")
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="choose another --out"), RunDirectory.create(tmp_path, CONFIG):
        pytest.fail("a run in a folder that holds something else")
    assert {path: path.read_text() for path in before} == before
    assert {path.name for path in tmp_path.iterdir()} <= {name, ".lock"}


def test_a_beginning_that_somebody_changed_is_not_replaced(tmp_path):
    with RunDirectory.create(tmp_path, CONFIG):
        pass
    (tmp_path / "config.yaml").write_text("seed: 7  # my notes\n")
    with pytest.raises(RunError, match="choose another --out"), RunDirectory.create(tmp_path, CONFIG):
        pytest.fail("somebody's file was replaced")
    assert (tmp_path / "config.yaml").read_text() == "seed: 7  # my notes\n"


def test_other_files_do_not_disturb_a_run(tmp_path):
    (tmp_path / "slurm-17.out").write_text("log")
    with RunDirectory.create(tmp_path, CONFIG) as run:
        assert run.config() == CONFIG
    assert (tmp_path / "slurm-17.out").read_text() == "log"


def test_resume_wants_the_same_settings(tmp_path):
    with RunDirectory.create(tmp_path, CONFIG):
        pass
    with RunDirectory.resume(tmp_path, CONFIG) as run:
        assert run.config() == CONFIG
    other = load_config(overrides={"seed": 4, "trainer.steps": 1, "task.options": {"level": 2}})
    with pytest.raises(RunError, match=r"other settings \(seed, trainer\)"), RunDirectory.resume(tmp_path, other):
        pytest.fail("other settings")


def test_there_must_be_a_run_to_resume(tmp_path):
    with pytest.raises(RunError, match=r"no config\.yaml"), RunDirectory.resume(tmp_path / "none", CONFIG):
        pytest.fail("nothing to resume")


def test_one_writer_at_a_time(tmp_path):
    with (
        RunDirectory.create(tmp_path, CONFIG),
        pytest.raises(RunError, match="another process"),
        RunDirectory.resume(tmp_path, CONFIG),
    ):
        pytest.fail("two writers")


def test_metrics_are_cut_back(tmp_path):
    run = RunDirectory(tmp_path)
    for step in (1, 2, 3):
        run.add_metrics({"step": step})
    assert run.keep_metrics(2) == [{"step": 1}, {"step": 2}] == run.metrics()


def test_records_by_phase_and_method_are_cut_back(tmp_path):
    run = RunDirectory(tmp_path)
    run.add_records([record("before"), record("before", question="r")])
    run.add_records([record("before", "team@greedy"), record("after")])
    assert {key: len(found) for key, found in run.records().items()} == {
        ("before", "team"): 2, ("before", "team@greedy"): 1, ("after", "team"): 1,
    }  # fmt: skip
    assert run.keep_records({"before"}).keys() == {("before", "team"), ("before", "team@greedy")}
    assert run.keep_records(set()) == {} == run.records()


def test_the_summary_of_an_unfinished_run(tmp_path):
    run = RunDirectory(tmp_path)
    with pytest.raises(RunError, match="has not ended"):
        run.summary()
    run.write_summary({"λ": 1})
    assert run.summary() == {"λ": 1}


def test_description_names_versions_and_settings():
    described = json.loads(json.dumps(describe(CONFIG)))
    assert (described["task"], described["model"], described["seed"]) == ("arithmetic", "tiny", 3)
    assert described["token_budget"] == 5 * 96
    assert set(described["versions"]) >= {"tracer-debate", "torch", "transformers", "pettingzoo", "numpy"}
    same = describe(load_config(overrides={"seed": 3, "task.options": {"level": 2}}))["config_sha256"]
    assert described["config_sha256"] == same != describe(load_config())["config_sha256"]


def test_a_project_that_is_not_installed_has_no_version(monkeypatch):
    def version(package: str) -> str:
        if package == "tracer-debate":
            raise metadata.PackageNotFoundError(package)
        return "1.2"

    monkeypatch.setattr(metadata, "version", version)
    assert describe(CONFIG)["versions"]["tracer-debate"] is None
    assert describe(CONFIG)["versions"]["torch"] == "1.2"


def test_the_digest_of_weights_is_that_of_sha256sum(tmp_path):
    assert weights_digest(tmp_path) is None
    (tmp_path / "a.safetensors").write_bytes(b"a")
    first = hashlib.sha256(b"a").hexdigest()
    assert weights_digest(tmp_path) == first
    (tmp_path / "b.safetensors").write_bytes(b"b")
    sums = f"{first}  a.safetensors\n{hashlib.sha256(b'b').hexdigest()}  b.safetensors\n"
    assert weights_digest(tmp_path) == hashlib.sha256(sums.encode()).hexdigest()


@pytest.mark.parametrize("name", ["data", "eval_data"])
def test_another_file_of_questions_by_the_same_name_is_refused(tmp_path, monkeypatch, name):
    """A relative path leads elsewhere from another folder."""
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "q.jsonl").write_text(json.dumps({"question": folder, "answer": "1"}) + "\n")
    config = load_config(overrides={"task": {"name": "jsonl", name: "q.jsonl"}})
    monkeypatch.chdir(tmp_path / "here")
    with RunDirectory.create(tmp_path / "run", config):
        pass
    run = RunDirectory(tmp_path / "run")
    run.require_data(config)
    monkeypatch.chdir(tmp_path / "there")
    with pytest.raises(RunError, match=f"task.{name}: .*there/q.jsonl is not the file that the run .* began with"):
        run.require_data(config)
    with (
        pytest.raises(RunError, match="go back to the folder in which the run was started, or restore the file"),
        RunDirectory.resume(tmp_path / "run", config),
    ):
        pytest.fail("a run on other questions")
    run.require_data(load_config(overrides={"task": {"name": "jsonl", name: str(tmp_path / "there" / "q.jsonl")}}))


def test_a_run_goes_on_with_the_prompts_that_it_began_with(tmp_path):
    file, shipped = tmp_path / "mine.jinja", prompts_for("chat").texts.path
    file.write_text(shipped.read_text())
    config = load_config(overrides={"speakers.prompts": str(file)})
    with RunDirectory.create(tmp_path / "run", config):
        pass
    began = {str(file): hashlib.sha256(file.read_bytes()).hexdigest()}
    assert read_json(tmp_path / "run" / "run.json")["prompts_sha256"] == describe(config)["prompts_sha256"] == began
    with RunDirectory.resume(tmp_path / "run", config):
        pass

    file.write_text(shipped.read_text().replace("step by step", "in one go"))
    with (
        pytest.raises(RunError, match=r"speakers\.prompts: .*mine\.jinja .* began with.*; restore the file"),
        RunDirectory.resume(tmp_path / "run", config),
    ):
        pytest.fail("a run on other prompts")

    file.unlink()
    with pytest.raises(ConfigError, match=r"mine\.jinja cannot be read"), RunDirectory.resume(tmp_path / "run", config):
        pytest.fail("a run without its prompts")


def test_a_damaged_file_of_prompts_stops_a_run_before_anything_is_written(tmp_path):
    (tmp_path / "mine.jinja").write_text("{% block solve %}")
    config = load_config(overrides={"speakers.prompts": str(tmp_path / "mine.jinja")})
    with pytest.raises(ConfigError, match=r"mine\.jinja:1"), RunDirectory.create(tmp_path / "run", config):
        pytest.fail("a run without prompts")
    assert not (tmp_path / "run" / "run.json").exists()


def test_the_digest_of_a_styles_prompts_is_in_the_run(tmp_path):
    assert list(describe(CONFIG)["prompts_sha256"]) == ["tiny"]
