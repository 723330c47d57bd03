"""What the sections share: solving, random tabular speakers, Markdown tables."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from tracer_agents.controllers.regret import Minimiser, RegretMatchingPlus
from tracer_agents.controllers.solve import Turns, solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import Play, strategy_of
from tracer_agents.game.values import Game, Weighting
from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, TokenCounts

Section = Callable[[Path], str]


def weighting_of(infoset: str) -> Weighting:
    """The default weighting of an information structure."""
    return "counterfactual" if infoset == "recall" else "gradient"


def solved(
    game: Game,
    weighting: Weighting,
    *,
    minimiser: Minimiser | None = None,
    iterations: int = 1000,
    turns: Turns = "alternating",
    start: RegretTables | None = None,
) -> RegretTables:
    """Tables after some rounds from scratch, RM+ by default."""
    tables = RegretTables.empty() if start is None else start
    rule = minimiser or RegretMatchingPlus()
    return solve(game, tables, rule, iterations=iterations, weighting=weighting, turns=turns)


def strategy_in(game: Game, tables: RegretTables, play: Play = "current") -> np.ndarray:
    """The tables' strategy in the order of the game's infosets."""
    return strategy_of(tables, play)[tables.rows(game.trie.keys)]


def random_speaker(seed: int) -> tuple[TabularSpeaker, float]:
    """(speaker, price of speech) drawn from a broad range, reproducibly."""
    rng = np.random.default_rng(seed)

    def draw(low: float = 0.05, high: float = 0.95) -> float:
        return float(rng.uniform(low, high))

    classes = tuple(
        Difficulty(
            weight=draw(0.2, 1.0),
            first=draw(),
            after_none=(draw(), draw(0.3)),
            after_right=(draw(0.02, 0.5), draw(0.5, 0.99)),
            after_wrong=(draw(), draw()),
            coincide=draw(),
            unparsed_proposal=draw(0.0, 0.1),
            sensitivity=draw(0.3),
            specificity=draw(0.3),
            unparsed_review=draw(0.0, 0.1),
        )
        for _ in range(int(rng.integers(1, 4)))
    )
    tokens = TokenCounts(proposal=int(rng.integers(30, 90)), review=int(rng.integers(20, 90)), spread=10)
    speaker = TabularSpeaker(difficulties=classes, wrong_answers=int(rng.integers(2, 5)), tokens=tokens)
    return speaker, float(rng.choice([0.02, 0.05, 0.1, 0.2]))


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
