"""What sharing by view is worth: utterances per tree, and how noisy comparisons of controllers are.

    python -m benchmarks.studies.sharing --questions 1000 --json sharing.json [--section.field VALUE …]

The same validation questions are expanded with ``dialogue.sharing`` ``prefix`` and ``view``, by the demo's speakers as
they are. Differences in utility of fixed controllers are taken per question within each tree; their standard deviation
is what an experiment of n questions has to overcome, divided by √n. Means agree up to noise: both are unbiased.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from tracer_agents.build import build
from tracer_agents.cli import status_of
from tracer_agents.config import Config, load_config
from tracer_agents.config.options import take_settings
from tracer_agents.controllers.fixed import AlwaysSpeak, NeverReview, StopOnAgreement
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.rollout.tree import Tree, expand, play
from tracer_env.cost import utterance_count
from tracer_env.dialogue import Sharing

CONTROLLERS = {
    "always speak": AlwaysSpeak(),
    "stop on agreement": StopOnAgreement(),
    "never review": NeverReview(),
}
SHARING: tuple[Sharing, ...] = ("prefix", "view")


def measure(trees: Sequence[Tree], config: Config) -> list[dict[str, Any]]:
    """A row for each pair of controllers: the mean of their difference in utility, and its deviation per question."""
    utilities: dict[str, np.ndarray] = {}
    for name, controller in CONTROLLERS.items():
        finals = play(trees, controller)
        right = np.array([tree.right(final) for tree, final in zip(trees, finals, strict=True)])
        cost = np.array([config.utility.prices.dialogue(final) for final in finals])
        utilities[name] = np.asarray(config.utility(right, cost))
    rows: list[dict[str, Any]] = []
    for first, second in combinations(CONTROLLERS, 2):
        difference = utilities[first] - utilities[second]
        rows.append(
            {
                "controllers": f"{first} − {second}",
                "mean": float(difference.mean()),
                "deviation": float(difference.std(ddof=1)),
            }
        )
    return rows


def generated(trees: Sequence[Tree]) -> tuple[float, float]:
    """Different utterances per tree, and their tokens: what paths share is generated once."""
    utterances = [{id(spoken): spoken for _, spoken in tree.spoken()}.values() for tree in trees]
    tokens = [sum(spoken.generated_tokens for spoken in of_tree) for of_tree in utterances]
    return float(np.mean([len(of_tree) for of_tree in utterances])), float(np.mean(tokens))


def main() -> None:
    """Prints a row for each way of sharing and pair of controllers, and writes them."""
    settings, rest = take_settings(sys.argv[1:])
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=1000)
    parser.add_argument("--json", type=Path, required=True, help="where everything is written")
    options = parser.parse_args(rest)
    config = load_config(preset="demo", overrides=settings)
    rows: list[dict[str, Any]] = []
    with build(config) as parts:
        episodes = draw_episodes(
            parts.task, "validation", 0, options.questions, seed=config.seed, phase="study of sharing"
        )
        for sharing in SHARING:
            rules = replace(config.rules, sharing=sharing)
            trees = expand(episodes, rules, parts.speakers, parts.task.grade)
            utterances, tokens = generated(trees)
            shared = {"sharing": sharing, "at most": utterance_count(rules), "utterances": utterances, "tokens": tokens}
            rows += [{**shared, **row} for row in measure(trees, config)]
            print(*rows[-3:], sep="\n", flush=True)
    options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(status_of(main))
