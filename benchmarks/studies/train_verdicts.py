"""Trains nothing but verdicts, on the graded proposals of a pool: no token is generated.

    python -m benchmarks.studies.train_verdicts POOL --out RUN --speakers.model tiny --credit.verdict_learning_rate 1e-3

The reviewer is an adapter beside the proposer's, so proposals stay what they are. What it leaves behind is a run whose
speakers draw pools: ``python -m benchmarks pool --weights RUN``.
"""

import argparse
import json
import sys
from pathlib import Path

from tracer_agents.build import build
from tracer_agents.cli import status_of
from tracer_agents.config import load_config
from tracer_agents.config.options import take_settings
from tracer_agents.credit.verdicts import GradedSolution
from tracer_agents.rollout.pools import Pool
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.runs.pools import load_pool
from tracer_agents.training.trainer import Trainer
from tracer_env.seeding import verdict_stream

SETTINGS = {"speakers.review": "verdict", "speakers.policy": "per_role", "speakers.lora_rank": 8}


def graded(pool: Pool, *, repeated: bool = False) -> list[GradedSolution]:
    """Every distinct proposal of a pool; or all of them, as often as each was drawn."""
    drawn = [
        GradedSolution(question=question.episode.question.text, solution=draw.utterance.text, right=draw.right)
        for question in pool.questions
        for draws in question.members
        for draw in draws
    ]
    return drawn if repeated else list(dict.fromkeys(drawn))


def main() -> None:
    """Trains, and writes the run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path, help="of training questions that nothing else is fitted to")
    parser.add_argument("--out", type=Path, required=True, help="the run")
    parser.add_argument("--epochs", type=int, default=4, help="how often each proposal is learned from")
    parser.add_argument(
        "--repeated",
        action="store_true",
        help="learn from a proposal as often as it was drawn, so that P(RIGHT) is a share of what is proposed",
    )
    settings, words = take_settings(sys.argv[1:])
    options = parser.parse_args(words)
    config = load_config(preset="demo", overrides={**SETTINGS, **settings})
    solutions = graded(load_pool(options.pool), repeated=options.repeated)
    with RunDirectory.create(options.out, config) as run, build(config) as parts:
        trainer = Trainer(config, parts)
        stats = parts.train_verdicts(solutions, lambda: verdict_stream(config.seed, 1), epochs=options.epochs)
        run.checkpoints.save(1, lambda folder: trainer.save(folder, 1))
        for policy, figures in stats.items():
            row = {"policy": policy, "proposals": len(solutions), "auroc_before": figures.auroc, "loss": figures.loss}
            print(json.dumps(row))


if __name__ == "__main__":
    sys.exit(status_of(main))
