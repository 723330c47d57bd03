"""Speed of the environment beside PettingZoo's own: ``python -m benchmarks.peers.env --json FILE``.

Every environment is played by the same loop with random legal actions drawn from its own action spaces. A *turn* is
one pass of ``agent_iter``: ``last``, an action, ``step``; dead steps, which belong to PettingZoo's loop, count as turns
in ``turns_per_second`` and not in ``actions_per_second``. Environments take turns within every repeat, so that a busy
machine slows all of them; figures are medians over the repeats, in CPU time of this process.

The peers need pygame (``pip install pygame``).
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pettingzoo import AECEnv

from tracer_agents.cli import status_of
from tracer_agents.runs.files import write_json
from tracer_env import debate_v0

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """One timed stretch of episodes; ``seconds`` is CPU time."""

    turns: int
    actions: int
    seconds: float


def contestants() -> dict[str, Callable[[], AECEnv[Any, Any, Any]]]:
    """What is compared, by name: the wrapped and the raw environment of each game."""
    from pettingzoo.classic.rps import rps
    from pettingzoo.classic.tictactoe import tictactoe

    games = {"tracer/debate_v0": debate_v0, "tictactoe_v3": tictactoe, "rps_v2": rps}
    return {f"{name} {kind}": getattr(game, kind) for name, game in games.items() for kind in ("env", "raw_env")}


def play(env: AECEnv[Any, Any, Any], episodes: int, first_seed: int) -> Played:
    """Plays random legal episodes through the ordinary PettingZoo loop."""
    turns = actions = 0
    began = time.process_time()
    for seed in range(first_seed, first_seed + episodes):
        env.reset(seed=seed)
        for agent in env.agent_iter():
            observation, _, termination, truncation, _ = env.last()
            turns += 1
            if termination or truncation:
                env.step(None)
                continue
            actions += 1
            mask = observation.get("action_mask") if isinstance(observation, dict) else None
            env.step(env.action_space(agent).sample(mask))
    return Played(turns=turns, actions=actions, seconds=time.process_time() - began)


def measure(seconds: float, repeats: int) -> dict[str, Any]:
    """Medians over interleaved repeats, each of about ``seconds`` per environment."""
    envs = {name: make() for name, make in contestants().items()}
    episodes = {}
    for name, env in envs.items():
        warm_up = play(env, 50, 0)
        episodes[name] = max(1, round(50 * seconds / max(warm_up.seconds, 1e-9)))
    played: dict[str, list[Played]] = {name: [] for name in envs}
    for repeat in range(repeats):
        for name, env in envs.items():
            played[name].append(play(env, episodes[name], 1 + repeat * episodes[name]))
    return {
        name: {
            "turns_per_second": statistics.median(stretch.turns / stretch.seconds for stretch in stretches),
            "actions_per_second": statistics.median(stretch.actions / stretch.seconds for stretch in stretches),
            "turns_per_second_repeats": [stretch.turns / stretch.seconds for stretch in stretches],
            "episodes_per_repeat": episodes[name],
        }
        for name, stretches in played.items()
    }


def report(results: dict[str, Any]) -> str:
    """The table for a terminal."""
    rows = [f"{'environment':28}{'turns/s':>12}{'actions/s':>12}"]
    for name, figures in results.items():
        rows.append(f"{name:28}{figures['turns_per_second']:12,.0f}{figures['actions_per_second']:12,.0f}")
    return "\n".join(rows)


def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(description="Turns per second of debate_v0 beside tictactoe_v3 and rps_v2.")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU seconds per environment and repeat")
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args(arguments)
    if options.repeats < 1 or options.seconds <= 0:
        parser.error("--repeats must be ≥ 1 and --seconds > 0")
    try:
        results = measure(options.seconds, options.repeats)
    except ModuleNotFoundError as error:
        parser.error(f"the peers need {error.name}: pip install {error.name}")
    print(report(results))
    if options.json:
        machine = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
        packages = {name: version(name) for name in ("pettingzoo", "gymnasium", "numpy")}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        record = {"schema_version": SCHEMA_VERSION, **machine, "packages": packages, "results": results}
        write_json(options.json, record)
    return 0


if __name__ == "__main__":
    sys.exit(status_of(main))
