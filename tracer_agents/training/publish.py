"""Uploads what ``export`` writes, trained speakers with their cards, to a repository of the Hugging Face hub."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import httpx
from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from tracer_agents.errors import UploadFailed
from tracer_agents.training.export import export_run
from tracer_env.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """What goes into a repository: names relative to its root, with their sizes in bytes."""

    repo: str
    private: bool
    files: Sequence[tuple[str, int]]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(size for _, size in self.files)


class Hub(Protocol):
    """What is asked of ``huggingface_hub.HfApi``."""

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> Any:
        """Makes the repository where it is not there."""
        ...

    def upload_folder(self, *, repo_id: str, folder_path: str, commit_message: str) -> Any:
        """Uploads all files of a folder in one commit; returns what ``str`` makes an address."""
        ...


def planned_upload(run: Path, repo: str, *, private: bool, folder: Path) -> Upload:
    """Exports a run's speakers into ``folder``, which is not there yet, and lists what an upload would hold.

    Raises:
        ConfigError: the repository's name cannot be one.
        RunError: the run holds nothing to export.
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise ConfigError(f"REPO: {repo!r} is no repository's name, which is OWNER/NAME: {error}") from error
    if repo.count("/") != 1:
        raise ConfigError(f"REPO: {repo!r} names no owner; give OWNER/NAME")
    export_run(run, folder)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    files = [(path.relative_to(folder).as_posix(), path.stat().st_size) for path in paths]
    return Upload(repo=repo, private=private, files=files)


def push_run(run: Path, repo: str, *, private: bool, hub: Hub | None = None) -> tuple[Upload, str]:
    """Uploads a run's speakers; returns what was uploaded and the commit's address.

    Args:
        run: the trained run.
        repo: ``OWNER/NAME``; made where it is not there.
        private: whether a repository that is made is private.
        hub: the hub; None: the real one, with the token that is saved on this machine.

    Raises:
        ConfigError: there is no token, or the repository's name cannot be one.
        RunError: the run holds nothing to export.
        UploadFailed: the hub refused, or could not be reached.
    """
    hub = hub if hub is not None else HfApi(token=require_token())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "model"
        upload = planned_upload(run, repo, private=private, folder=folder)
        try:
            hub.create_repo(repo, private=private, exist_ok=True)
            done = hub.upload_folder(
                repo_id=repo, folder_path=str(folder), commit_message="Speakers of a TRACER team, with their card"
            )
        except (HfHubHTTPError, httpx.HTTPError, OSError) as error:
            reason = str(error).strip().split("\n")[0] or type(error).__name__
            raise UploadFailed(
                f"{repo}: the hub did not take the upload ({reason}); check the network, and that the token may write"
            ) from error
    return upload, str(done)


def require_token() -> str:
    """The hub's token on this machine.

    Raises:
        ConfigError: there is none.
    """
    token = get_token()
    if token is None:
        raise ConfigError(
            "no token of the Hugging Face hub: hf auth login saves one that may write, or set HF_TOKEN; "
            "--dry-run needs none"
        )
    return token
