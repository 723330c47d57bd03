"""Regret tables carried along while the speakers change: which discount tracks best, what inner steps do."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.regret.common import table
from tracer_agents.controllers.regret import DiscountedRegretMatching, Minimiser, RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.game.gaps import team_optimum
from tracer_agents.game.values import Game, expected_utility
from tracer_agents.rollout.empirical import empirical_game, enumerated_game
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.seeding import derive_seed

BATCHES, QUESTIONS, SEEDS, PRICE, BUDGET = 60, 32, 6, 0.1, 500
INFOSETS = Infosets("consensus", Rules())
WEAK = Difficulty(
    first=0.55, after_none=(0.5, 0.6), after_right=(0.5, 0.6), after_wrong=(0.5, 0.6), sensitivity=0.5, specificity=0.5
)
STRONG = Difficulty(
    first=0.6, after_none=(0.4, 0.8), after_right=(0.1, 0.98), after_wrong=(0.7, 0.6), sensitivity=0.9, specificity=0.9
)
PATHS = {
    "ramp (weak reviewer → strong)": lambda time: time,
    "collapse (strong → weak half-way)": lambda time: float(time < 0.5),
    "swing (there and back, twice)": lambda time: 0.5 - 0.5 * np.cos(4 * np.pi * time),
}
RULES: tuple[tuple[str, Minimiser, float], ...] = (
    ("RM+, nothing forgotten", RegretMatchingPlus(), 1.0),
    ("RM+, keeps 0.9 per batch", RegretMatchingPlus(), 0.9),
    ("RM+, keeps 0.7 per batch", RegretMatchingPlus(), 0.7),
    ("RM+, keeps 0.3 per batch", RegretMatchingPlus(), 0.3),
    ("RM+, from scratch each batch", RegretMatchingPlus(), 0.0),
    ("RM, nothing forgotten", RegretMatching(), 1.0),
    ("RM, keeps 0.7 per batch", RegretMatching(), 0.7),
    ("DCFR(1.5, 0, 2)", DiscountedRegretMatching(), 1.0),
)
INNER = (1, 5, 25)


def section(folder: Path) -> str:
    """Mean gap to the moving optimum, by rule and inner steps."""
    parts = []
    for name, path in PATHS.items():
        speakers = [_between(float(path(batch / (BATCHES - 1)))) for batch in range(BATCHES)]
        exact = [_exact(speaker) for speaker in speakers]
        best = [team_optimum(game).value for game in exact]
        samples = [[_sampled(speaker, seed, batch) for batch, speaker in enumerate(speakers)] for seed in range(SEEDS)]
        rows, means = [], {}
        for label, rule, keep in RULES:
            cells = []
            for inner in INNER:
                gaps = np.array([_run(games, exact, best, rule, keep, inner) for games in samples])
                means[label, inner] = gaps.mean()
                cells.append(f"{gaps.mean():.4f} ± {1.96 * gaps.std(ddof=1) / np.sqrt(SEEDS):.4f}")
            rows.append((label, *cells))
        label, inner = min(means, key=lambda cell: means[cell])
        tracked = f"\n\nLowest: {label}, K = {inner}."
        parts.append(f"### {name}\n\n" + table(("rule", *(f"K = {inner}" for inner in INNER)), rows) + tracked)
    return (
        f"## Drift: speakers that keep changing\n\n{BATCHES} batches of {QUESTIONS} fresh questions (R = 5, N = 2, "
        f"`consensus`, gradient weighting, λ = {PRICE}), K alternating iterations on each batch. In the cells: the "
        "utility that the current profile loses to the optimum of the speakers of the *next* batch, computed on the "
        f"enumerated game, mean over batches, with a 95% interval over {SEEDS} seeds. All rules see the same "
        "trees.\n\n" + "\n\n".join(parts)
    )


def _run(games: list[Game], exact: list[Game], best: list[float], rule: Minimiser, keep: float, inner: int) -> float:
    tables, lost = RegretTables.empty(), []
    for batch in range(BATCHES - 1):
        tables = tables.discounted(regret=keep, average=keep)
        tables = solve(games[batch], tables, rule, iterations=inner, weighting="gradient")
        following = exact[batch + 1]
        profile = TabularController(INFOSETS, tables).profile(following.trie.keys)
        lost.append(best[batch + 1] - expected_utility(following, profile))
    return float(np.mean(lost))


def _between(share: float) -> TabularSpeaker:
    mixed = {
        name: tuple((1 - share) * np.array(getattr(WEAK, name)) + share * np.array(getattr(STRONG, name)))
        for name in ("after_none", "after_right", "after_wrong")
    }
    single = {
        name: (1 - share) * getattr(WEAK, name) + share * getattr(STRONG, name)
        for name in ("first", "sensitivity", "specificity")
    }
    return TabularSpeaker(difficulties=(replace(WEAK, **mixed, **single),))


def _exact(speaker: TabularSpeaker) -> Game:
    return enumerated_game(speaker, speaker.representatives(), INFOSETS, token_budget=BUDGET).priced(PRICE)


def _sampled(speaker: TabularSpeaker, seed: int, batch: int) -> Game:
    episodes = [
        Episode(question=tabular_question(index), seed=derive_seed(seed, "drift", index))
        for index in range(batch * QUESTIONS, (batch + 1) * QUESTIONS)
    ]
    trees = expand(episodes, INFOSETS.rules, speaker, TabularTask().grade)
    return empirical_game(trees, INFOSETS, token_budget=BUDGET).priced(PRICE)
