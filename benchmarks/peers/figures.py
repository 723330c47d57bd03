"""Figures of a comparison: medians with their spread, printed and kept."""

import json
import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tracer_agents.runs.files import write_json


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
