"""Regret matching on an advantage network, for infosets too many to tabulate.

Deep CFR (Brown, Lerer, Gross & Sandholm 2019) on the empirical games of this project: every batch of trees gives
instant regrets at the infosets it meets; a small network, trained on a reservoir of them weighted linearly in the
batch number, predicts the average regret of infosets never met. Differs from the paper in warm-starting the network
and in taking all players' infosets into one network, as a key tells who acts. No bound survives the approximation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from tracer_agents.controllers.regret import instant_regret
from tracer_agents.game.values import Game, action_values, by_infoset, node_mass, reach, without
from tracer_env.beliefs import Belief
from tracer_env.dialogue import Dialogue, is_forced
from tracer_env.errors import ConfigError
from tracer_env.infosets import InfosetKey, Infosets


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuralSettings:
    """How the network learns.

    Args:
        hidden: units of each of its two hidden layers.
        steps: optimiser steps per batch of trees.
        minibatch: remembered regrets per step.
        memory: the reservoir's size.
        learning_rate: of Adam.
    """

    hidden: int = 64
    steps: int = 200
    minibatch: int = 512
    memory: int = 200_000
    learning_rate: float = 1e-3

    def __post_init__(self) -> None:
        for name in ("hidden", "steps", "minibatch", "memory"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} of NeuralRegret must be ≥ 1, got {getattr(self, name)!r}")
        if not self.learning_rate > 0:
            raise ConfigError(f"learning_rate of NeuralRegret must be > 0, got {self.learning_rate!r}")


class NeuralRegret:
    """A controller whose P(SPEAK) is regret matching on predicted regrets.

    Args:
        infosets: what the controllers know.
        seed: of the network's start, the reservoir and the minibatches.
        settings: how it learns.
        features: keys -> the network's input, float32 of shape (len(keys), width); by default one-hot features.
        width: of that input.
    """

    def __init__(
        self,
        infosets: Infosets,
        *,
        seed: int = 0,
        settings: NeuralSettings | None = None,
        features: Callable[[Sequence[InfosetKey]], np.ndarray] | None = None,
        width: int | None = None,
    ) -> None:
        self.infosets = infosets
        self.settings = settings or NeuralSettings()
        self.batches = 0
        self._features = features or infosets.feature_rows
        width = infosets.n_features if width is None else width
        self._rng = np.random.default_rng(seed)
        self._network = _Network(width, self.settings.hidden, learning_rate=self.settings.learning_rate, seed=seed)
        self._reservoir = _Reservoir(self.settings.memory, width)

    def profile(self, keys: Sequence[InfosetKey]) -> np.ndarray:
        """The strategy at the given infosets, float64 of shape (len(keys), 2)."""
        if not keys:
            return np.empty((0, 2))
        predicted = self._network(self._features(keys))
        return matched(predicted)

    def speak_probability(self, states: Sequence[Dialogue]) -> np.ndarray:
        """P(SPEAK) at each state, float64 of shape (len(states),); forced states are 1."""
        chances = np.ones(len(states))
        free = [index for index, state in enumerate(states) if not is_forced(state)]
        chances[free] = self.profile([self.infosets.key(states[index]) for index in free])[:, 1]
        return chances

    def observe(self, game: Game, players: Sequence[int]) -> float:
        """Remembers the instant regrets of these players in a batch's game, then trains.

        With trees from external sampling only the expanded player has decisions: name that one.

        Returns:
            The last step's loss.
        """
        self.batches += 1
        strategy, trie = self.profile(game.trie.keys), game.trie
        for player in players:
            rows = trie.infosets_of(player)
            others = reach(trie, without(trie, strategy, player))[trie.above] * node_mass(game)
            weight = by_infoset(trie, np.stack([others, others], axis=1))[rows, 0]
            met = weight > 0
            rows, weight = rows[met], weight[met]
            if not len(rows):
                continue
            values = action_values(game, strategy, player, "counterfactual")[rows] / weight[:, None]
            features = self._features([trie.keys[row] for row in rows])
            self._reservoir.add(features, instant_regret(values, strategy[rows]), weight * self.batches, self._rng)
        return self._train()

    def _train(self) -> float:
        loss = 0.0
        for _ in range(self.settings.steps):
            features, regret, weight = self._reservoir.sample(self.settings.minibatch, self._rng)
            loss = self._network.step(features, regret, weight / weight.mean())
        return loss


def believing(
    infosets: Infosets, belief: Belief, *, seed: int = 0, settings: NeuralSettings | None = None
) -> NeuralRegret:
    """A NeuralRegret whose network sees the belief as a number: the middle of its bin, and that number's logit.

    With some hundred bins that is the belief itself, to a hundredth; stage, round and agreement stay one-hot.

    Args:
        infosets: ``"belief"``.
        belief: that of the infosets' rules.
        seed, settings: as of ``NeuralRegret``.

    Raises:
        ConfigError: other infosets, or another belief than theirs.
    """
    if infosets.name != "belief" or infosets.rules.belief != belief:
        raise ConfigError("the belief as a number needs the infoset 'belief' under rules with that belief")
    ends = np.array([0.0, *belief.edges, 1.0])
    middles = (ends[:-1] + ends[1:]) / 2
    logits = np.log(middles.clip(1e-3, 1 - 1e-3)) - np.log((1 - middles).clip(1e-3, 1 - 1e-3))
    numbers = np.stack([middles, logits / 4], axis=1).astype(np.float32)  # (bins, 2)
    one_hot = sum(infosets.sizes[:-1])

    def features(keys: Sequence[InfosetKey]) -> np.ndarray:
        bins = [key[-1] for key in keys]
        return np.concatenate([infosets.feature_rows(keys)[:, :one_hot], numbers[bins]], axis=1)

    return NeuralRegret(infosets, seed=seed, settings=settings, features=features, width=one_hot + 2)


def matched(predicted: np.ndarray) -> np.ndarray:
    """Regret matching on predictions (n, 2); where none is positive, the larger (½, ½ at a tie)."""
    positive = np.maximum(predicted, 0.0)
    total = positive.sum(axis=1, keepdims=True)
    speak = (1 + np.sign(predicted[:, 1] - predicted[:, 0])) / 2
    larger = np.stack([1 - speak, speak], axis=1)
    return np.where(total > 0, positive / np.where(total > 0, total, 1.0), larger)


class _Reservoir:
    """A uniform sample of everything added."""

    def __init__(self, size: int, n_features: int) -> None:
        self._size, self._seen = size, 0
        self._rows = {
            "features": np.empty((0, n_features), np.float32),
            "regret": np.empty((0, 2)),
            "weight": np.empty(0),
        }

    def add(self, features: np.ndarray, regret: np.ndarray, weight: np.ndarray, rng: np.random.Generator) -> None:
        new = {"features": features, "regret": regret, "weight": weight}
        room = min(len(weight), self._size - len(self._rows["weight"]))
        for name, values in new.items():
            self._rows[name] = np.concatenate([self._rows[name], values[:room]])
        for offset in range(room, len(weight)):
            place = int(rng.integers(0, self._seen + offset + 1))
            if place < self._size:
                for name, values in new.items():
                    self._rows[name][place] = values[offset]
        self._seen += len(weight)

    def sample(self, count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = rng.integers(0, len(self._rows["weight"]), size=count)
        return self._rows["features"][rows], self._rows["regret"][rows], self._rows["weight"][rows]


class _Network:
    """features → hidden → hidden → 2 with ReLU between, fitted by Adam."""

    def __init__(self, n_features: int, hidden: int, *, learning_rate: float, seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)
        inner, outer = (nn.Linear(n_features, hidden), nn.Linear(hidden, hidden)), nn.Linear(hidden, 2)
        for layer in inner:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
        nn.init.normal_(outer.weight, std=1e-3, generator=generator)  # the start is near ½, ½ everywhere
        for layer in (*inner, outer):
            nn.init.zeros_(layer.bias)
        self._model = nn.Sequential(inner[0], nn.ReLU(), inner[1], nn.ReLU(), outer)
        self._optimiser = torch.optim.Adam(self._model.parameters(), lr=learning_rate)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Predicted regrets, float64 of shape (n, 2), of float32 features (n, n_features)."""
        with torch.no_grad():
            return self._model(torch.from_numpy(features)).double().numpy()

    def step(self, features: np.ndarray, target: np.ndarray, weight: np.ndarray) -> float:
        """One Adam step on mean_i weight_i · ‖prediction_i − target_i‖²; returns that loss before it."""
        error = self._model(torch.from_numpy(features)) - torch.from_numpy(target).float()  # (n, 2)
        loss = (torch.from_numpy(weight).float() * error.square().sum(dim=1)).mean()
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return loss.item()
