"""How far RM+ ends from equilibrium and from the team optimum, over many exactly enumerated tabular games."""

from pathlib import Path

import numpy as np

from benchmarks.regret.common import random_speaker, solved, strategy_in, table, weighting_of
from tracer_agents.game.gaps import kkt_gap, nash_gap, team_optimum
from tracer_agents.game.values import Game, expected_utility
from tracer_agents.rollout.empirical import enumerated_game
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.worlds.tabular_games import TABULAR_EXAMPLES
from tracer_env.dialogue import SCHEDULES, Rules, Schedule
from tracer_env.infosets import INFOSETS, Infosets

RANDOM_GAMES = 18
ABSTRACTIONS = ("paper", "consensus")
ABOUT = (
    "R = 5, N = 2, chance enumerated, 1,000 alternating iterations from ½, ½; `gradient` weighting for the two "
    "abstractions, `counterfactual` for `recall`; the current strategy plays. *Team gap*: the infoset's exact "
    "optimum minus the profile's utility. *Price of abstraction*: the optimum in `recall` minus the optimum in "
    "the infoset. The promised gap "
    "closes: Nash in `recall`, KKT in the abstractions (where a KKT point need not be a Nash equilibrium). "
    "The team gap need not close, as an equilibrium is not the optimum; it is worst under `parity`, as under "
    "`rotate` review and revision are one controller's."
)
SUMMARY = (
    "schedule",
    "infoset",
    "Nash gap, max",
    "KKT gap, max",
    "team gap, median",
    "team gap, max",
    "games with team gap > 1e-4",
    "price of abstraction, median",
    "max",
)


def section(folder: Path) -> str:
    """Gaps of 24 games in both schedules and all infosets."""
    games = [(example.speakers, TabularSpeaker.load(example.speakers), example.price) for example in TABULAR_EXAMPLES]
    games += [(f"random {seed}", *random_speaker(seed)) for seed in range(RANDOM_GAMES)]
    measured = {
        (schedule, infoset): np.array([_gaps(*game[1:], schedule, infoset) for game in games])
        for schedule in SCHEDULES
        for infoset in INFOSETS
    }
    summary = [(*setting, *_summary(gaps)) for setting, gaps in measured.items()]
    detail = [
        (
            schedule,
            name,
            f"{price:g}",
            *(f"{measured[schedule, infoset][index, 2]:.4f}" for infoset in INFOSETS),
            *(f"{measured[schedule, infoset][index, 3]:.4f}" for infoset in ABSTRACTIONS),
        )
        for schedule in SCHEDULES
        for index, (name, _, price) in enumerate(games)
    ]
    prices = (f"price of `{infoset}`" for infoset in ABSTRACTIONS)
    header = ("schedule", "game", "λ", *(f"team gap, {infoset}" for infoset in INFOSETS), *prices)
    return (
        f"## Gaps of RM+ on {len(games)} tabular games\n\n{ABOUT}\n\n{table(SUMMARY, summary)}\n\n"
        f"<details><summary>Team gap of every game</summary>\n\n{table(header, detail)}\n\n</details>"
    )


def _summary(gaps: np.ndarray) -> tuple[str, ...]:
    """The cells of ``SUMMARY`` but the first two, from ``_gaps`` of every game, (games, 4)."""
    nash, kkt, team, cost = gaps.T
    return (
        f"{nash.max():.1e}",
        f"{kkt.max():.1e}",
        f"{np.median(team):.1e}",
        f"{team.max():.3f}",
        f"{np.sum(team > 1e-4)} of {len(gaps)}",
        f"{np.median(cost):.4f}",
        f"{cost.max():.3f}",
    )


def _gaps(speaker: TabularSpeaker, price: float, schedule: Schedule, infoset: str) -> tuple[float, float, float, float]:
    game = _game(speaker, price, schedule, infoset)
    strategy = strategy_in(game, solved(game, weighting_of(infoset)))
    best = team_optimum(game)
    assert best.exact
    recall = team_optimum(_game(speaker, price, schedule, "recall"))
    value = expected_utility(game, strategy)
    return nash_gap(game, strategy), kkt_gap(game, strategy), best.value - value, recall.value - best.value


def _game(speaker: TabularSpeaker, price: float, schedule: Schedule, infoset: str) -> Game:
    infosets = Infosets(infoset, Rules(schedule=schedule))
    questions = speaker.representatives()
    return enumerated_game(speaker, questions, infosets, token_budget=500, weights=speaker.weights).priced(price)
