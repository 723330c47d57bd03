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

from benchmarks.ablations.gather import SPEAKERS, Tell, longer, replayed, trained
from benchmarks.ablations.page import frontier, page
from benchmarks.ablations.sections import sections
from benchmarks.ablations.trained import read
from benchmarks.plan import Plan
from benchmarks.report.statistics import RESAMPLES
from tracer_agents.checkpoint import write_text
from tracer_agents.errors import RunError
from tracer_env.errors import TracerError

_PACKAGES = ("tracer-debate", "numpy", "scipy")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(given)
    try:
        write(
            options.out,
            options.report,
            long=options.longer,
            resamples=options.resamples,
            command=f"python -m benchmarks.ablations {' '.join(given)}",
            tell=lambda line: print(line, file=sys.stderr),
        )
    except TracerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablations", description=__doc__)
    parser.add_argument("out", type=Path, help="the folder of a benchmark in which tracer has been recorded")
    parser.add_argument("--report", type=Path, required=True, help="the page; what stands above its tables is kept")
    parser.add_argument("--longer", type=Path, help="the folder of a benchmark of longer dialogues, for the rounds")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="of every bootstrap interval")
    return parser


def write(out: Path, report: Path, *, long: Path | None, resamples: int, command: str, tell: Tell) -> None:
    """Measures everything that is recorded and writes the page, with the picture in a folder of the page's name.

    Raises:
        ConfigError: a folder holds no plan.
        RunError: nobody is recorded, or a recording is incomplete.
    """
    start = time.perf_counter()
    plan = read(out)
    chosen = sections(plan)
    found = {who: replayed(out, who, chosen, resamples=resamples, tell=tell) for who in SPEAKERS}
    found = {who: tables for who, tables in found.items() if tables}
    if not found:
        raise RunError(f"{out}: holds no recordings; python -m benchmarks run --methods tracer makes them")
    told = [(section, [tables[name] for tables in found.values()]) for name, section in chosen.items()]
    if long is not None:
        told.append(longer(long, resamples=resamples, tell=tell))
    told.append(trained(out, resamples=resamples, tell=tell))
    folder = report.parent / report.stem
    folder.mkdir(parents=True, exist_ok=True)
    picture = frontier(
        {
            who: (tables["price"].rows, [row for row in tables["fixed"].rows if not row.is_default])
            for who, tables in found.items()
        }
    )
    picture.savefig(folder / "frontier.png", dpi=130, metadata={"Software": None})
    facts = _facts(plan, command, time.perf_counter() - start, picture=f"{report.stem}/frontier.png")
    old = report.read_text("utf-8") if report.is_file() else ""
    write_text(report, page(old, facts, [(section, tables) for section, tables in told if tables]))


def _facts(plan: Plan, command: str, seconds: float, *, picture: str) -> str:
    versions = ", ".join(f"{package} {metadata.version(package)}" for package in _PACKAGES)
    return (
        f"```\n{command}\n```\n\n"
        f"{seconds:.0f} seconds, {versions}. Preset {plan.preset}, price of speech {plan.price:g}; fitted on "
        f"{plan.fit_questions} training questions a seed, strategies chosen on {plan.validation_questions} validation "
        "questions. The row without a difference is the default setting, the same in every table. Accuracy and tokens "
        "of fitted controllers are exact over their own randomness; utility is +1 for right, −1 for wrong, minus the "
        "price of the tokens. Brackets are 95% percentile bootstraps over questions, stratified over seeds and "
        "paired in differences; p is the two-sided bootstrap test of the difference, Holm-adjusted within its "
        f"table.\n\n![Accuracy against tokens]({picture})"
    )


if __name__ == "__main__":
    sys.exit(main())
