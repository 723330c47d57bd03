"""Replays a benchmark's recorded questions under other settings, and writes the page of ablations.

    python -m benchmarks.ablations OUT --report docs/results/ablations.md

Controllers are fitted on recorded training questions, their strategy is chosen on validation questions, and both
are measured on test questions; seeds are pooled. Nothing is generated and nothing in OUT is changed.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from benchmarks.ablations.gather import longer, tables, trained
from benchmarks.ablations.page import frontier, page
from benchmarks.ablations.sections import sections
from benchmarks.ablations.trained import read
from benchmarks.suite.plan import Plan
from tracer_agents.cli import status_of
from tracer_agents.errors import RunError
from tracer_agents.evaluation.statistics import RESAMPLES
from tracer_agents.runs.files import write_text
from tracer_env.errors import ConfigError
from tracer_env.names import nearest

_PACKAGES = ("tracer-debate", "numpy", "scipy")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    return status_of(
        lambda: write(
            options.out,
            options.report,
            names=options.only,
            long=options.longer,
            retrained=options.trained,
            jobs=options.jobs,
            resamples=options.resamples,
            command=f"python -m benchmarks.ablations {' '.join(given)}",
        )
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of a benchmark in which tracer has been recorded")
    parser.add_argument("--report", type=Path, required=True, help="the page; what stands above its tables is kept")
    parser.add_argument("--only", nargs="+", metavar="SECTION", help="sections to measure; by default all")
    parser.add_argument("--longer", type=Path, help="the folder of a benchmark of longer dialogues, for the rounds")
    parser.add_argument(
        "--trained", type=Path, nargs="+", help="folders in which benchmarks.ablations.trained worked; by default OUT"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of every bootstrap interval")
    return parser


def write(
    out: Path,
    report: Path,
    *,
    names: Sequence[str] | None,
    long: Path | None,
    retrained: Sequence[Path] | None,
    jobs: int,
    resamples: int,
    command: str,
) -> None:
    """Measures what is recorded and writes the page, with the picture in a folder of the page's name.

    Args:
        out: the benchmark's folder.
        report: the page.
        names: of the sections; None is all of them. The picture needs price and fixed.
        long: the folder of a benchmark of longer dialogues.
        retrained: the folders in which speakers were trained in several ways; by default ``out``.
        jobs: processes at a time.
        resamples: of every interval.
        command: as given, for the page.

    Raises:
        ConfigError: a folder holds no plan, or there is no such section.
        RunError: nobody is recorded, or a recording has been begun and not ended.
    """
    start = time.perf_counter()
    plan = read(out)
    chosen = sections(plan)
    names = list(chosen) if names is None else names
    if unknown := [name for name in names if name not in chosen]:
        raise ConfigError(
            f"--only: there is no section {unknown[0]!r}; there are {', '.join(chosen)}{nearest(unknown[0], chosen)}"
        )
    measured = tables(out, names, jobs=jobs, resamples=resamples)
    if not measured:
        raise RunError(f"{out}: holds no recordings; python -m benchmarks run --methods tracer makes them")
    parts = [(chosen[name], [of_speakers[name] for of_speakers in measured.values()]) for name in names]
    if long is not None:
        parts.append(longer(long, jobs=jobs, resamples=resamples))
    parts.append(trained(retrained or [out], resamples=resamples))
    picture = ""
    if {"price", "fixed"} <= set(names):
        folder = report.parent / report.stem
        folder.mkdir(parents=True, exist_ok=True)
        curves = {who: (by_name["price"].rows, by_name["fixed"].rows) for who, by_name in measured.items()}
        frontier(curves).savefig(folder / "frontier.png", dpi=130, metadata={"Software": None})
        picture = f"\n\n![Accuracy against tokens]({report.stem}/frontier.png)"
    facts = _facts(plan, command, time.perf_counter() - start) + picture
    old = report.read_text("utf-8") if report.is_file() else ""
    write_text(report, page(old, facts, [(section, those) for section, those in parts if those]))


def _facts(plan: Plan, command: str, seconds: float) -> str:
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in _PACKAGES)
    return (
        f"```\n{command}\n```\n\n"
        f"{seconds:.0f} seconds, {versions}. Preset {plan.preset}, price of speech {plan.price:g}; fitted on "
        f"{plan.fit_questions} training questions per seed, strategies chosen on {plan.validation_questions} "
        "validation questions. The row without a difference is the default setting, the same in every table. Accuracy "
        "and tokens of fitted controllers are exact over their own randomness; utility is +1 for right, −1 for wrong, "
        "minus the price of the tokens. Brackets are 95% percentile bootstraps over questions, stratified over seeds "
        "and paired in differences; p is the two-sided bootstrap test of the difference, adjusted by Holm within its "
        "table."
    )


if __name__ == "__main__":
    sys.exit(main())
