"""How cost grows: CPU time and memory of a training step, of a game and of a report, against what they are given.

    python -m benchmarks.studies.scale --json scale.json [--only NAME …] [--up-to N]

Every point runs in a process of its own, whose CPU time and memory high-water mark are taken; imports and loading are
in the memory and not in the time. The exponent is the slope of log time, and of log memory above that of the smallest
point's process, against log size: 1 is linear. What is in the file already is not measured again.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Column, Table

from benchmarks.regret.scale import sampled
from tracer_agents.build import build
from tracer_agents.cli import status_of
from tracer_agents.config import load_config
from tracer_agents.controllers.regret import RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.game.gaps import nash_gap
from tracer_agents.report.sources import write_report
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import expand
from tracer_agents.runs.files import read_json, read_lines, write_json, write_lines
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent
from tracer_agents.training.trainer import Trainer
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.infosets import Infosets

ITERATIONS, PRICE = 100, 0.1
BRIEF = {
    "trainer.steps": 1,
    "trainer.controller_steps": 0,
    "trainer.questions_per_step": 4,
    "controllers.validation_questions": 4,
    "evaluation.questions": 20,
    "evaluation.baselines": False,
    "evaluation.certificate_questions": 2,
    "evaluation.checkpoint_questions": 0,
    "evaluation.bootstrap": 100,
}


def step(settings: dict[str, Any]) -> float:
    """CPU seconds of one training step of the embedded model with the paper's recipe, 16 questions unless set."""
    base = {"trainer.questions_per_step": 16, "trainer.steps": 2, "trainer.controller_steps": 0}
    config = load_config(preset="demo-paper", overrides={**base, **settings})
    with build(config) as parts:
        trainer = Trainer(config, parts)
        start = time.process_time()
        trainer.step(1)
        return time.process_time() - start


def trees(questions: int) -> float:
    """CPU seconds to expand questions of tabular speakers as trees, and to make, solve and examine their game."""
    task, speaker = TabularTask(), TabularSpeaker.load()
    config = load_config(preset="demo-paper")
    drawn = task.draw("train", 0, questions, seed=0)
    episodes = [Episode(question=question, seed=index) for index, question in enumerate(drawn)]
    start = time.process_time()
    expanded = expand(episodes, config.rules, speaker, task.grade)
    _examine(empirical_game(expanded, Infosets("recall", config.rules), token_budget=config.utility.budget))
    return time.process_time() - start


def arrays(questions: int) -> float:
    """The same with questions that are drawn as arrays, for sizes at which trees take minutes."""
    start = time.process_time()
    _examine(sampled(TabularSpeaker.load(), questions, merged=True))
    return time.process_time() - start


def _examine(game: Any) -> None:
    priced = game.priced(PRICE)
    tables = solve(
        priced, RegretTables.empty(), RegretMatchingPlus(), iterations=ITERATIONS, weighting="counterfactual"
    )
    nash_gap(priced, tables.strategy[tables.rows(priced.trie.keys)])


def report(records: int) -> float:
    """CPU seconds of the page of a run with so many records, a brief run's repeated under other question ids."""
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        run_training(load_config(preset="demo-paper", overrides=BRIEF), run, resume=False, display=Silent())
        path = run / "transcripts.jsonl"
        rows = list(read_lines(path))
        copies = -(-records // len(rows))
        repeated = ({**row, "question_id": f"{row['question_id']}/{copy}"} for copy in range(copies) for row in rows)
        write_lines(path, list(repeated)[:records])
        start = time.process_time()
        write_report([run], Path(folder) / "report.html")
        return time.process_time() - start


def _of_step(name: str) -> Callable[[int], float]:
    return lambda size: step({name: size})


def members(count: int) -> float:
    """A step of a team in which so many members have models of their own."""
    each = [{"model": "tiny"}] * count if count > 1 else []
    return step({"dialogue.n_agents": max(2, count), "speakers.members": each})


SERIES: dict[str, tuple[Callable[[int], float], tuple[int, ...]]] = {
    "step: questions": (_of_step("trainer.questions_per_step"), (8, 16, 32, 64, 128, 256)),
    "step: rounds": (_of_step("dialogue.rounds"), (1, 3, 5, 7)),
    "step: agents": (_of_step("dialogue.n_agents"), (2, 4, 8)),
    "step: group size": (_of_step("credit.group_size"), (4, 8, 16, 32)),
    "step: members": (members, (1, 2, 3)),
    "game, as trees: questions": (trees, (300, 1_000, 3_000, 10_000)),
    "game, as arrays: questions": (arrays, (10_000, 100_000, 1_000_000)),
    "report: records": (report, (10_000, 30_000, 100_000, 1_000_000)),
}


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The least-squares slope of log values against log sizes."""
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def measured(name: str, size: int) -> dict[str, Any]:
    """CPU seconds and peak bytes of a point, from a process of its own."""
    words = [sys.executable, "-m", "benchmarks.studies.scale", "--point", name, str(size)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def table_of(results: dict[str, dict[str, Any]]) -> Table:
    """A row for each point, the exponents of its series in the last."""
    table = Table(Column("series", no_wrap=True))
    for heading in ("size", "CPU, s", "peak, MiB", "exponent of time"):
        table.add_column(heading, justify="right")
    for name, points in results.items():
        sizes = sorted(points, key=int)
        for size in sizes:
            last = size == sizes[-1] and len(sizes) > 1
            slope = exponent([int(each) for each in sizes], [points[each]["seconds"] for each in sizes]) if last else 0
            row = points[size]
            shown = f"{slope:.2f}" if last else ""
            table.add_row(name, f"{int(size):,}", f"{row['seconds']:.2f}", f"{row['peak'] / 2**20:,.0f}", shown)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="the file of the points; it grows, and the command goes on")
    parser.add_argument("--only", nargs="+", choices=SERIES, default=[*SERIES], metavar="NAME", help="some series")
    parser.add_argument("--up-to", type=int, help="no size above this one")
    parser.add_argument("--point", nargs=2, metavar=("NAME", "SIZE"), help="measures one point in this process")
    options = parser.parse_args(argv)
    if not options.json and not options.point:
        parser.error("--json FILE is needed")
    return status_of(lambda: _point(*options.point) if options.point else _series(options))


def _point(name: str, size: str) -> None:
    seconds = SERIES[name][0](int(size))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def _series(options: argparse.Namespace) -> None:
    results = read_json(options.json) if options.json.is_file() else {}
    for name in options.only:
        points = results.setdefault(name, {})
        for size in SERIES[name][1]:
            if str(size) not in points and (options.up_to is None or size <= options.up_to):
                points[str(size)] = measured(name, size)
                write_json(options.json, results)
    Console(width=100).print(table_of(results))


if __name__ == "__main__":
    sys.exit(main())
