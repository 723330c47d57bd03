"""Our training and evaluation beside the released code's: ``python -m benchmarks.peers.official --json FILE``.

``--checkout DIR`` names a clone of github.com/Shark-Forest/TRACER, whose own loops are then run with the embedded model
in place of Qwen; without one, loops after its description take their place, in which everybody speaks, and
``peer`` says so. Two agents, CPU time, one thread; each contender has a process of its own, in turns.

``train_speedup`` and ``eval_speedup`` are ratios of dialogues per minute. In training a dialogue of ours counts once,
though its question's choices are all expanded; ``train_speedup_expanded`` counts those that were, and
``…_speedup_per_token`` is what is left when both generate as much. Each speed-up is a product: *utterances*, tokens per
dialogue, theirs over ours; *batching*, ``generate`` in batches over one request at a time; *compaction*, rows that have
ended leave and others take their place; *sharing*, equal prompts computed once; the last three are our own requests
completed by slower engines. *Rest* is what is left: learning, bookkeeping, and how their ``generate`` differs from ours
of one request at a time.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.peers import official_described, official_ours
from benchmarks.peers.figures import asked, publish, spread
from tracer_agents.cli import status_of
from tracer_env.errors import ConfigError

SCHEMA_VERSION = 1
PHASES = ("train", "eval")
REMEDY = "see that it is a clone of github.com/Shark-Forest/TRACER and that pip install peft accelerate was done"
ROOT = Path(__file__).parents[2]


def factors(ours: Mapping[str, float], theirs: Mapping[str, float], engines: Mapping[str, float]) -> dict[str, float]:
    """A speed-up and the factors whose product it is; ``engines`` are tokens per second of slower engines."""
    speedup = (ours["dialogues"] / ours["seconds"]) / (theirs["dialogues"] / theirs["seconds"])
    parts = {
        "utterances": (theirs["tokens"] / theirs["dialogues"]) / (ours["tokens"] / ours["dialogues"]),
        "batching": engines["static"] / engines["one"],
        "compaction": engines["leaving"] / engines["static"],
        "sharing": engines["sharing"] / engines["leaving"],
    }
    return {"speedup": speedup, **parts, "rest": speedup / math.prod(parts.values())}


def summary(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Medians and spreads over repeats, each a run of both contenders."""
    figures: dict[str, Any] = {}
    for phase in PHASES:
        ours, theirs = ([run[side][phase] for run in runs] for side in ("ours", "theirs"))
        split = [factors(a, b, run["ours"]["engines"][phase]) for a, b, run in zip(ours, theirs, runs, strict=True)]
        figures[f"{phase}_speedup"] = spread([each["speedup"] for each in split])
        figures[f"{phase}_speedup_per_token"] = spread([each["speedup"] / each["utterances"] for each in split])
        figures[f"{phase}_factors"] = {
            name: spread([each[name] for each in split]) for name in split[0] if name != "speedup"
        }
        figures[phase] = {"ours": _rates(ours), "theirs": _rates(theirs)}
    expanded = [run["ours"]["train"]["expanded_dialogues"] / run["ours"]["train"]["dialogues"] for run in runs]
    figures["train_speedup_expanded"] = spread(
        [
            factor * factors(run["ours"]["train"], run["theirs"]["train"], run["ours"]["engines"]["train"])["speedup"]
            for factor, run in zip(expanded, runs, strict=True)
        ]
    )
    return figures


def _rates(sides: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    return {
        "dialogues_per_minute": spread([60 * side["dialogues"] / side["seconds"] for side in sides]),
        "utterances_per_dialogue": spread([side["utterances"] / side["dialogues"] for side in sides]),
        "tokens_per_dialogue": spread([side["tokens"] / side["dialogues"] for side in sides]),
    }


def _side(options: argparse.Namespace) -> dict[str, Any]:
    """One of our own contenders, in this process."""
    torch.set_num_threads(1)
    config = official_ours.settings(
        rounds=options.rounds, candidates=options.candidates, questions=options.step_questions
    )
    if options.side == "described":
        return official_described.measure(config, train=options.train, evaluate=options.eval)
    played = official_ours.played(config, options.questions)
    calls, policy = played.pop("calls"), played.pop("policy")
    engines = {phase: official_ours.engine_speeds(policy, calls[phase], options.alone) for phase in PHASES}
    return {**played, "engines": engines}


def measure(options: argparse.Namespace, arguments: Sequence[str]) -> dict[str, Any]:
    """All repeats."""
    itself = [sys.executable, "-m", "benchmarks.peers.official", *arguments]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        released = [sys.executable, "-m", "benchmarks.peers.official_theirs", "--folder", folder]
        released += ["--checkout", str(options.checkout)]
        for name in ("rounds", "candidates", "train", "eval"):
            released += [f"--{name}", str(getattr(options, name))]
        for _ in range(options.repeats):
            run = {"ours": asked([*itself, "--side", "ours"], "our side", "run it by hand", ROOT)}
            if options.checkout:
                run["theirs"] = asked(released, f"--checkout {options.checkout}", REMEDY, ROOT)
            else:
                run["theirs"] = asked([*itself, "--side", "described"], "the described loop", "run it by hand", ROOT)
            runs.append(run)
    return summary(runs)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.official", description=__doc__)
    parser.add_argument("--json", type=lambda text: Path(text).absolute(), help="where to write the figures")
    parser.add_argument("--checkout", type=lambda text: Path(text).absolute(), help="a clone of the released code")
    parser.add_argument("--rounds", type=int, default=5, help="an odd number")
    parser.add_argument("--candidates", type=int, default=4, help="completions of a group")
    parser.add_argument("--train", type=int, default=8, help="dialogues of their training")
    parser.add_argument("--eval", type=int, default=16, help="dialogues of their evaluation")
    parser.add_argument("--step-questions", type=int, default=24, help="questions of our training step")
    parser.add_argument("--questions", type=int, default=128, help="dialogues of our evaluation")
    parser.add_argument("--alone", type=int, default=32, help="of our requests, how many are completed one at a time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", choices=("ours", "described"), help=argparse.SUPPRESS)
    options = parser.parse_args(given)
    counts = ("rounds", "candidates", "train", "eval", "step_questions", "questions", "alone", "repeats")
    if min(getattr(options, name) for name in counts) < 1 or options.candidates < 2:
        parser.error("all counts must be ≥ 1, and --candidates ≥ 2")
    if options.checkout and not (options.checkout / "src" / "trainer.py").is_file():
        raise ConfigError(f"--checkout {options.checkout}: there is no src/trainer.py; {REMEDY}")
    if options.side:
        sys.stdout.write("\n" + json.dumps(_side(options)) + "\n")
        return 0
    chosen = {name: getattr(options, name) for name in counts}
    figures: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "peer": "the released code" if options.checkout else "loops after the released code's description",
        "packages": {name: version(name) for name in ("torch", "transformers")},
        "options": chosen,
        **measure(options, [str(part) for part in given]),
    }
    publish(figures, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(status_of(main))
