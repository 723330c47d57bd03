"""The controllers' game that other libraries' learners are measured on: its environment, truth and thresholds.

The shipped tabular speakers (R = 5, N = 2, ``rotate``, ``consensus``, λ = 0.1) behind ``controller_env``; a learner's
profile is valued exactly, on the enumerated game, so that no evaluation noise is compared.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pettingzoo import AECEnv

from tracer_agents.controllers.regret import RegretMatching
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.gaps import team_optimum
from tracer_agents.game.tree import expand
from tracer_agents.game.values import Game, expected_utility
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.speakers.tabular_task import TabularActor, TabularTask
from tracer_agents.types import Episode
from tracer_env.controller_env import controller_env
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets

PRICE, MAX_NEW_TOKENS, SHARE = 0.1, 100, 0.95
INFOSETS = Infosets("consensus", Rules())
SPEAKER, TASK = TabularSpeaker.load(), TabularTask()


def make_env() -> AECEnv:
    """Only controllers are left to act: ``Box`` observations with an action mask, ``Discrete(2)``."""
    return controller_env(
        TabularActor(SPEAKER), task=TASK, price_of_speech=PRICE, max_new_tokens=MAX_NEW_TOKENS, infoset="consensus"
    )


@dataclass
class Progress:
    """Values of a learner's profile against the environment steps that it has taken."""

    steps: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def add(self, steps: int, speak_probability: Callable[[np.ndarray], np.ndarray]) -> None:
        """Values a profile: P(SPEAK) for features of shape (infosets, n_features)."""
        game = truth()
        features = np.stack([INFOSETS.features(key) for key in game.trie.keys])
        speak = np.clip(np.asarray(speak_probability(features), dtype=np.float64), 0.0, 1.0)
        self.steps.append(steps)
        self.values.append(expected_utility(game, np.stack([1 - speak, speak], axis=1)))

    def steps_to_share(self) -> int | None:
        """The first checked number of steps whose value is at least ``SHARE`` of the optimum's; None if none is."""
        optimum = team_optimum(truth()).value
        reached = [s for s, value in zip(self.steps, self.values, strict=True) if value >= SHARE * optimum]
        return min(reached, default=None)


_TRUTH: list[Game] = []


def truth() -> Game:
    """The enumerated game."""
    if not _TRUTH:
        budget = INFOSETS.rules.rounds * MAX_NEW_TOKENS
        questions = SPEAKER.representatives()
        exact = EmpiricalGame.enumerated(SPEAKER, questions, INFOSETS, token_budget=budget, weights=SPEAKER.weights)
        _TRUTH.append(exact.at(PRICE))
    return _TRUTH[0]


def ours(steps: int, seed: int, *, questions: int = 64, inner: int = 10) -> Progress:
    """Plain RM on expanded batches; a question costs 16 controller steps, the forced one included."""
    progress, tables = Progress(), RegretTables.empty()
    budget = INFOSETS.rules.rounds * MAX_NEW_TOKENS
    for batch in range(max(1, steps // (16 * questions))):
        drawn = TASK.draw("train", 100_000 * seed + batch * questions, questions, seed=0)
        episodes = [
            Episode(question=question, seed=seed * 10**9 + batch * questions + i) for i, question in enumerate(drawn)
        ]
        trees = expand(episodes, INFOSETS.rules, SPEAKER, TASK.grade)
        game = EmpiricalGame.from_trees(trees, INFOSETS, token_budget=budget).at(PRICE)
        tables = solve(game, tables, RegretMatching(), iterations=inner, weighting="gradient")
        controller = TabularController(INFOSETS, tables)
        progress.add((batch + 1) * 16 * questions, lambda features, c=controller: c.profile(truth().trie.keys)[:, 1])
    return progress
