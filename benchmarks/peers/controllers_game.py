"""The controllers' game that other libraries' learners are measured on: its environment, its exact values, the goal.

The shipped tabular speakers (R = 5, N = 2, ``rotate``, ``consensus``, λ = 0.1) behind ``controller_env``. A learner's
profile is valued exactly, on the enumerated game, so that no evaluation noise is compared.
"""

import time
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from tracer_agents.game.gaps import team_optimum
from tracer_agents.game.values import Game, expected_utility
from tracer_agents.rollout.empirical import enumerated_game
from tracer_agents.speakers.tabular import TabularSpeaker
from tracer_agents.worlds.tabular_task import TabularActor, TabularTask
from tracer_env import debate_v0
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
from tracer_env.spaces import SpokenText

PRICE, MAX_NEW_TOKENS, SHARE = 0.1, 100, 0.95
INFOSETS = Infosets("consensus", Rules())
SPEAKER, TASK = TabularSpeaker.load(), TabularTask()


class CountedSpeakers:
    """The tabular speakers, counting their utterances."""

    def __init__(self) -> None:
        self.utterances = 0
        self._actor = TabularActor(SPEAKER)

    def act(self, observation: dict[str, Any], info: dict[str, Any]) -> SpokenText:
        """What the active speaker says."""
        self.utterances += 1
        return self._actor.act(observation, info)


def make_env(speakers: CountedSpeakers) -> debate_v0.WithoutInfos:
    """Only controllers are left to act: ``Box`` observations with an action mask, ``Discrete(2)``, empty infos."""
    settings = {"task": TASK, "price_of_speech": PRICE, "max_new_tokens": MAX_NEW_TOKENS, "infoset": "consensus"}
    return debate_v0.WithoutInfos(debate_v0.controller_env(speakers, **settings))


@cache
def truth() -> Game:
    """The enumerated game."""
    budget = INFOSETS.rules.rounds * MAX_NEW_TOKENS
    questions = SPEAKER.representatives()
    exact = enumerated_game(SPEAKER, questions, INFOSETS, token_budget=budget, weights=SPEAKER.weights)
    return exact.priced(PRICE)


@cache
def features() -> np.ndarray:
    """What a controller observes at each infoset of ``truth()``, float32 of shape (infosets, n_features)."""
    return INFOSETS.feature_rows(truth().trie.keys)


def value(speak: np.ndarray) -> float:
    """The exact utility of a profile: P(SPEAK) of shape (infosets,), in the order of ``truth()``'s."""
    chances = np.clip(np.asarray(speak, dtype=np.float64), 0.0, 1.0)
    return expected_utility(truth(), np.stack([1 - chances, chances], axis=1))


@cache
def uniform() -> float:
    """The value of choosing at random: where every learner starts."""
    return value(np.full(truth().trie.n_infosets, 0.5))


@cache
def optimum() -> float:
    """The value of the best profile."""
    return team_optimum(truth()).value


def goal() -> float:
    """``SHARE`` of the way from random play to the optimum: no shift of the utility changes who reaches it."""
    return uniform() + SHARE * (optimum() - uniform())


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A profile's value after some training; ``seconds`` is CPU time of the process, checks not counted."""

    steps: int  # controllers' decisions, forced ones included
    utterances: int
    seconds: float
    value: float


@dataclass(slots=True)
class Progress:
    """Checks of a learner's profile while it trains."""

    checks: list[Check] = field(default_factory=list)
    _seconds: float = 0.0
    _since: float = field(default_factory=time.process_time)

    def check(self, speak: np.ndarray, *, steps: int, utterances: int) -> bool:
        """Values the profile (see ``value``) and says whether it has reached the goal."""
        self._seconds += time.process_time() - self._since
        self.checks.append(Check(steps=steps, utterances=utterances, seconds=self._seconds, value=value(speak)))
        self._since = time.process_time()
        return self.checks[-1].value >= goal()
