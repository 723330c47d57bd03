"""Uploading a run's speakers: what would be sent, what is sent, and what is refused."""

from pathlib import Path

import httpx
import pytest

from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.errors import UploadFailed
from tracer_agents.training.experiment import run_training
from tracer_agents.training.publish import push_run
from tracer_agents.training.stages import Silent

BRIEF = {
    "trainer.steps": 1, "trainer.controller_steps": 0, "trainer.questions_per_step": 1,
    "controllers.validation_questions": 1, "evaluation.questions": 2, "evaluation.baselines": False,
    "evaluation.greedy": False, "evaluation.certificate_questions": 0, "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 100,
}  # fmt: skip
FILES = {"README.md", "chat_template.jinja", "config.json", "model.safetensors", "tokenizer.json"}


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("published") / "run"
    run_training(load_config(preset="demo-paper", overrides=BRIEF), out, resume=False, display=Silent())
    return out


class Hub:
    """Notes what it is sent; fails on request."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.made: list[tuple[str, bool, bool]] = []
        self.sent: dict[str, int] = {}

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.made.append((repo_id, private, exist_ok))
        if self.failure is not None:
            raise self.failure

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> str:
        folder = Path(folder_path)
        self.sent = {str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
        return f"https://hub/{repo_id}/commit/1"


@pytest.fixture
def no_token(monkeypatch) -> None:
    monkeypatch.setattr("tracer_agents.training.publish.get_token", lambda: None)


@pytest.mark.usefixtures("no_token")
def test_a_dry_run_says_what_would_be_uploaded_and_needs_no_token(run, capsys, monkeypatch):
    monkeypatch.setattr("tracer_agents.training.publish.HfApi", lambda **_: pytest.fail("asked the hub"))

    assert main(["push", str(run), "me/team", "--dry-run"]) == 0

    *rows, last = capsys.readouterr().out.splitlines()
    sizes = {row.split()[2]: int(row.split()[0].replace(",", "")) for row in rows}
    assert set(sizes) >= FILES
    assert last == (
        f"{len(sizes)} files, {sum(sizes.values()):,} bytes, would be uploaded to me/team (private if it is made)"
    )


def test_what_is_uploaded_is_what_export_writes(run, tmp_path, capsys):
    hub = Hub()
    upload, address = push_run(run, "me/team", private=True, hub=hub)

    assert main(["export", str(run), "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    written = {path.name: path.stat().st_size for path in (tmp_path / "out").iterdir()}
    assert hub.sent == written == dict(upload.files)
    assert hub.made == [("me/team", True, True)]
    assert address == "https://hub/me/team/commit/1"


def test_the_command_uploads_with_the_saved_token(run, capsys, monkeypatch):
    hub, tokens = Hub(), []
    monkeypatch.setattr("tracer_agents.training.publish.get_token", lambda: "secret-token")
    monkeypatch.setattr("tracer_agents.training.publish.HfApi", lambda token: tokens.append(token) or hub)

    assert main(["push", str(run), "me/team", "--public"]) == 0

    shown = capsys.readouterr()
    assert tokens == ["secret-token"]
    assert hub.made == [("me/team", False, True)]
    assert "uploaded to me/team (public if it is made)" in shown.out
    assert shown.out.splitlines()[-1] == "https://hub/me/team/commit/1"
    assert "secret-token" not in shown.out + shown.err


@pytest.mark.usefixtures("no_token")
def test_without_a_token_nothing_is_tried_and_the_remedy_is_named(run, capsys):
    assert main(["push", str(run), "me/team"]) == 1
    message = capsys.readouterr().err
    assert "no token of the Hugging Face hub: hf auth login saves one that may write, or set HF_TOKEN" in message


@pytest.mark.parametrize(
    ("repo", "message"),
    [
        ("team", "names no owner; give OWNER/NAME"),
        ("a//b", "is no repository's name"),
        ("me/\x1b[2J", "is no repository"),
    ],
)
def test_names_that_cannot_be_a_repositorys_are_refused(run, capsys, repo, message):
    assert main(["push", str(run), repo, "--dry-run"]) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert "\x1b[2J" not in shown


def test_what_is_no_run_is_refused(tmp_path, capsys):
    assert main(["push", str(tmp_path), "me/team", "--dry-run"]) == 1
    assert "no config.yaml, so no run" in capsys.readouterr().err


@pytest.mark.parametrize("failure", [httpx.ConnectError("no route"), OSError("no route")])
def test_a_hub_that_refuses_is_named_with_what_to_check(run, failure):
    with pytest.raises(UploadFailed, match=r"me/team: the hub did not take the upload \(no route\); check the network"):
        push_run(run, "me/team", private=True, hub=Hub(failure))
