"""Figures of a comparison: medians with their spread, printed and kept."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracer_agents.runs.files import write_json
from tracer_env.errors import ConfigError


def spread(values: Sequence[float]) -> dict[str, float]:
    """The median, the least and the most of some runs."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def publish(figures: Mapping[str, Any], path: Path | None) -> None:
    """Prints figures with the machine's present load, and writes them to a file if one is named."""
    figures = {**figures, "load_average": os.getloadavg()[0]}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, figures)


def answer(output: str, contender: str) -> dict[str, Any]:
    """The figures that a contender's process printed as JSON in its last row of text.

    Raises:
        ConfigError: there are none.
    """
    last = output.splitlines()[-1] if output.strip() else ""
    try:
        figures = json.loads(last)
    except ValueError:
        figures = None
    if not isinstance(figures, dict):
        raise ConfigError(f"{contender}: no figures came back, but {last[:200]!r}")
    return figures


def asked(command: Sequence[str], contender: str, remedy: str, folder: Path | None = None) -> dict[str, Any]:
    """Runs a contender in a process of its own and reads its figures.

    Args:
        command: what is run.
        contender: named in errors.
        remedy: what to do about them.
        folder: where it runs; by default here.

    Raises:
        ConfigError: it cannot be run, fails, or gives no figures.
    """
    try:
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    except OSError as error:
        raise ConfigError(f"{contender}: {command[0]}: {error.strerror}; {remedy}") from error
    if ran.returncode:
        last = next((row for row in reversed(ran.stderr.splitlines()) if row.strip()), f"status {ran.returncode}")
        raise ConfigError(f"{contender}: {last}; {remedy}")
    return answer(ran.stdout, contender)
