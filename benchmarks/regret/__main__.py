"""Runs sections and puts each into the page, leaving the others as they are."""

import argparse
import re
import sys
import time
from pathlib import Path

from benchmarks.regret import agreement, convergence, coverage, drift, gaps, kuhn, long, marl, sampling, scale
from benchmarks.regret.common import Section
from tracer_agents.cli import status_of
from tracer_env.names import nearest

SECTIONS: dict[str, Section] = {
    "kuhn": kuhn.section,
    "openspiel": agreement.section,
    "gaps": gaps.section,
    "convergence": convergence.section,
    "coverage": coverage.section,
    "sampling": sampling.section,
    "drift": drift.section,
    "long": long.section,
    "speed": scale.section,
    "marl": marl.section,
}
PREAMBLE = """\
# The regret layer: results

Every section is written by its command; none needs a GPU or a download.

What must hold whoever speaks is tested with Hypothesis on random speakers
(`pytest tests/tracer_agents/game/test_properties.py`): strategies sum to 1, forced choices have
no row and are played as they must, the order of questions and merging change
nothing, and a run's average regret never exceeds the stated bound.
"""


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.regret", description=__doc__)
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(SECTIONS)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("docs/results/regret.md"))
    arguments = parser.parse_args()
    names = arguments.sections or list(SECTIONS)
    if unknown := sorted(set(names) - set(SECTIONS)):
        there = ", ".join(SECTIONS)
        parser.error(f"no section {', '.join(unknown)}; there are {there}{nearest(unknown[0], SECTIONS)}")
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for name in names:
        start = time.perf_counter()
        body = SECTIONS[name](arguments.out.parent)
        seconds = time.perf_counter() - start
        command = f"`python -m benchmarks.regret {name}` ({seconds:.0f} s)"
        page = arguments.out.read_text("utf-8") if arguments.out.exists() else PREAMBLE
        page = placed(page, name, f"{body.strip()}\n\n{command}")
        arguments.out.write_text(page, "utf-8")
        print(f"{name}: {seconds:.1f} s")


def placed(page: str, name: str, body: str) -> str:
    """The page with the named section replaced, or added in the order of ``SECTIONS``."""
    bodies = dict(re.findall(r"<!-- section (\w+) -->\n(.*?)\n<!-- end -->", page, flags=re.S))
    bodies[name] = body
    blocks = [f"<!-- section {key} -->\n{bodies[key]}\n<!-- end -->" for key in SECTIONS if key in bodies]
    return page.split("<!-- section")[0].rstrip() + "\n\n" + "\n\n".join(blocks) + "\n"


if __name__ == "__main__":
    sys.exit(status_of(main))
