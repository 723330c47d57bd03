"""Curves and sample dialogues for Weights & Biases, where the package ``wandb`` is installed."""

import hashlib
import html
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from tracer_agents.runs.watching import watched
from tracer_env.errors import ConfigError

PROJECT = "tracer"


class WandbLog:
    """Sends what is watched to a run of Weights & Biases.

    Args:
        module: ``wandb``, or whatever does the same.
        run: what its ``init`` gave.
    """

    def __init__(self, module: Any, run: Any) -> None:
        self._module = module
        self._run = run

    @classmethod
    @contextmanager
    def open(
        cls,
        folder: Path,
        settings: Mapping[str, Any],
        rows: Sequence[Mapping[str, Any]],
        *,
        offline: bool = False,
        module: ModuleType | Any | None = None,
    ) -> Iterator["WandbLog"]:
        """A run of Weights & Biases for the run in ``folder``; a resumed run goes on in the same one.

        Args:
            folder: of the run, whose ``wandb/`` holds what is not sent yet.
            settings: of the run, as plain data.
            rows: those of earlier steps, which are sent again only where the run is begun anew there.
            offline: keep everything on this machine, for ``wandb sync``.
            module: ``wandb``; None: the installed one.

        Raises:
            ConfigError: the package is not installed.
        """
        wandb = installed() if module is None else module
        identity = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
        run = wandb.init(
            project=PROJECT,
            name=folder.name,
            id=identity,
            resume="allow",
            dir=str(folder),
            config=dict(settings),
            mode="offline" if offline else "online",
        )
        log, failed = cls(wandb, run), True
        try:
            for row in rows:
                log.add(row)
            yield log
            failed = False
        finally:
            run.finish(exit_code=int(failed))

    def add(self, row: Mapping[str, Any]) -> None:
        """One step's figures."""
        self._run.log(dict(watched(row)), step=row["step"])

    def show(self, step: int, dialogue: str) -> None:
        """A dialogue of a step, as text that is no HTML."""
        self._run.log({"dialogues/played": self._module.Html(f"<pre>{html.escape(dialogue)}</pre>")}, step=step)


def installed() -> ModuleType:
    """The package.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("wandb")
    except ImportError as error:
        raise ConfigError(
            "--log wandb: the package wandb is not installed here; pip install wandb, or leave --log out: "
            "TensorBoard's files are always written"
        ) from error
