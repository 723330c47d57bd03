"""Fresh sampled questions every batch: which minimiser keeps learning when the same regret is seen through noise."""

from pathlib import Path

import numpy as np

from benchmarks.regret.common import table
from tracer_agents.controllers.regret import (
    DiscountedRegretMatching,
    Hedge,
    Minimiser,
    PredictiveRegretMatchingPlus,
    RegretMatching,
    RegretMatchingPlus,
)
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.game.gaps import team_optimum
from tracer_agents.game.values import Game, expected_utility
from tracer_agents.rollout.empirical import empirical_game, enumerated_game
from tracer_agents.rollout.tree import Tree, expand
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.seeding import derive_seed

QUESTIONS, SEEDS, PRICE, BUDGET = 2560, 4, 0.1, 500
BATCHES, INNER = (16, 64), (1, 10)
INFOSETS = Infosets("consensus", Rules())
RULES: tuple[tuple[str, Minimiser, float], ...] = (
    ("RegretMatching", RegretMatching(), 1.0),
    ("RegretMatching, keeps 0.97 per batch", RegretMatching(), 0.97),
    ("RegretMatchingPlus", RegretMatchingPlus(), 1.0),
    ("PredictiveRegretMatchingPlus", PredictiveRegretMatchingPlus(), 1.0),
    ("DiscountedRegretMatching", DiscountedRegretMatching(), 1.0),
    ("Hedge", Hedge(), 1.0),
)


def section(folder: Path) -> str:
    """The team gap after a stream of fresh questions, by minimiser, batch size and inner steps."""
    speaker = TabularSpeaker.load()
    truth = enumerated_game(
        speaker, speaker.representatives(), INFOSETS, token_budget=BUDGET, weights=speaker.weights
    ).priced(PRICE)
    streams = [_stream(speaker, seed) for seed in range(SEEDS)]
    settings = [(size, inner) for size in BATCHES for inner in INNER]
    games = {
        size: [[_game(trees[first : first + size]) for first in range(0, QUESTIONS, size)] for trees in streams]
        for size in BATCHES
    }
    rows = []
    for name, rule, keep in RULES:
        cells = []
        for size, inner in settings:
            gaps = np.array([_run(batches, truth, rule, keep, inner) for batches in games[size]])
            cells.append(" / ".join(f"{value:.3f}" for value in gaps.mean(axis=0)))
        rows.append((name, *cells))
    merged = np.array([_merged(trees, truth) for trees in streams]).mean(axis=0)
    return (
        f"## Fresh questions every batch\n\n{QUESTIONS:,} questions in batches (R = 5, N = 2, `consensus`, gradient "
        f"weighting, λ = {PRICE}), tables carried along; in the cells the team gap of the current / greedy strategy on "
        f"the enumerated game after the last batch, mean of {SEEDS} seeds. Clipping at zero keeps the lucky half of "
        "the sampling noise: RM+ and its kin go on drifting however many questions come, while plain RM and Hedge "
        "average the noise away. RM+ wants few, large games.\n\n"
        + table(("minimiser", *(f"batches of {size}, K = {inner}" for size, inner in settings)), rows)
        + f"\n\nAll {QUESTIONS:,} questions merged into one game: RM+ (200 iterations) {merged[0]:.3f}, the merged "
        f"game's exact team optimum {merged[1]:.3f}."
    )


def _stream(speaker: TabularSpeaker, seed: int) -> list[Tree]:
    task = TabularTask()
    questions = task.draw("train", seed * QUESTIONS, QUESTIONS, seed=0)
    episodes = [Episode(question=question, seed=derive_seed(seed, question.id)) for question in questions]
    return expand(episodes, INFOSETS.rules, speaker, task.grade)


def _game(trees: list[Tree]) -> Game:
    return empirical_game(trees, INFOSETS, token_budget=BUDGET).priced(PRICE)


def _run(games: list[Game], truth: Game, rule: Minimiser, keep: float, inner: int) -> tuple[float, float]:
    tables = RegretTables.empty()
    for game in games:
        tables = tables.discounted(regret=keep, average=keep)
        tables = solve(game, tables, rule, iterations=inner, weighting="gradient")
    best = team_optimum(truth).value
    current, greedy = (
        best - expected_utility(truth, TabularController(INFOSETS, tables, play).profile(truth.trie.keys))
        for play in ("current", "greedy")
    )
    return current, greedy


def _merged(trees: list[Tree], truth: Game) -> tuple[float, float]:
    game, best = _game(trees), team_optimum(truth).value
    tables = solve(game, RegretTables.empty(), RegretMatchingPlus(), iterations=200, weighting="gradient")
    learned = TabularController(INFOSETS, tables).profile(truth.trie.keys)
    chosen = np.full((truth.trie.n_infosets, 2), 0.5)
    optimum = team_optimum(game).strategy
    for row, key in enumerate(truth.trie.keys):
        if key in game.trie.row:
            chosen[row] = optimum[game.trie.row[key]]
    return best - expected_utility(truth, learned), best - expected_utility(truth, chosen)
