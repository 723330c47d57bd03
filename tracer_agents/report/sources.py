"""Which page is made of a path: runs, a benchmark, or pools."""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tracer_agents.report.blocks import Page
from tracer_agents.report.dialogues import MOST_DIALOGUES
from tracer_agents.report.pages import runs_page
from tracer_agents.report.pools import pool_files, pools_page
from tracer_agents.report.render import write_page
from tracer_env.errors import ConfigError

# Benchmarks run from a clone and are no part of the package, so their page is asked for by name, where it is there.
_BENCHMARKS = "benchmarks.report.browse"


def page_of(paths: Sequence[Path], *, most: int = MOST_DIALOGUES) -> Page:
    """The page of some runs, of one benchmark, or of pools, from their files alone.

    Args:
        paths: folders of runs; the folder of a benchmark; or files of pools and folders that hold them.
        most: how many dialogues it shows.

    Raises:
        ConfigError: a path holds none of these, or the paths do not go together.
        RunError, DataError: a file is damaged.
    """
    if all((path / "config.yaml").is_file() for path in paths):
        return runs_page(paths, most=most)
    if all((path / "plan.yaml").is_file() for path in paths):
        if len(paths) > 1:
            raise ConfigError("a page is of one benchmark; give one folder with a plan.yaml")
        return _benchmark(paths[0], most)
    pools = [pool_files(path) for path in paths]
    if all(pools):
        return pools_page([file for files in pools for file in files], most=most)
    strange = next(path for path, files in zip(paths, pools, strict=True) if not files)
    if not strange.exists():
        raise ConfigError(f"{strange}: does not exist; give a run's folder, a benchmark's, or a pool")
    raise ConfigError(
        f"{strange}: is no run (no config.yaml), no benchmark (no plan.yaml) and no pool (no JSONL file that begins "
        "with members), or is of another kind than the other paths"
    )


def write_report(paths: Sequence[Path], out: Path, *, most: int = MOST_DIALOGUES) -> None:
    """Writes the page of ``page_of`` to a file.

    Raises:
        ConfigError, DataError, RunError: as ``page_of``; or the file cannot be written.
    """
    write_page(page_of(paths, most=most), out)


def _benchmark(folder: Path, most: int) -> Page:
    try:
        pages = import_module(_BENCHMARKS)
    except ModuleNotFoundError as error:
        if error.name is None or not _BENCHMARKS.startswith(error.name):
            raise ConfigError(
                f"{folder}: a benchmark's page needs the package {error.name}: pip install 'tracer-debate[benchmarks]'"
            ) from error
        raise ConfigError(
            f"{folder}: a benchmark's page is made where benchmarks are, in a clone of the repository: "
            f"{Path(sys.executable).name} -m benchmarks report {folder}"
        ) from error
    return pages.benchmark_page(folder, most=most)
