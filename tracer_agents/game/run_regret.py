"""The external regret of a whole run, over changing games: what its coarse-correlated-equilibrium gap is made of.

For each player it sums, over all rounds and at every infoset path ever met, the leaf utilities times the others'
reach: the player's best fixed strategy in hindsight is then a best response in one merged game.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tracer_agents.game.files import loaded_arrays, packed_keys, save_arrays, unpacked_keys
from tracer_agents.game.optimum import maximise
from tracer_agents.game.trie import Histories, Trie, merge
from tracer_agents.game.values import Game, action_values, only, reach, without
from tracer_env.infosets import InfosetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PlayerRegret:
    """A player's average external regret: best fixed strategy in hindsight minus what was played, per round.

    ``external``: over the run's stated sequence, the profiles at the start of each round. ``as_seen``: over the
    profiles that its own updates saw (with alternating turns the earlier movers have moved already). ``bound``:
    Σ_I Δ_I / √rounds with Δ_I the largest |value(SPEAK) − value(SKIP)| that the updates saw at infoset I; it
    bounds ``as_seen`` for regret matching and RM+ with counterfactual weighting, perfect recall and no discount.
    """

    player: int
    external: float
    as_seen: float
    bound: float


class RunRegret:
    """Accumulates the rounds of a run; give ``watch(game)`` to ``solve`` as its ``on_update``.

    Args:
        n_players: the controllers.
    """

    def __init__(self, n_players: int) -> None:
        self.n_players = n_players
        self.rounds = 0
        self._nodes: dict[tuple[int, InfosetKey], int] = {}  # (slot above, key) -> node, parents first
        self._players: dict[InfosetKey, int] = {}
        self._spread: dict[InfosetKey, float] = {}
        self._leaves = np.zeros((2, n_players, 1))  # stated, seen; players; slots
        self._played = np.zeros((2, n_players))

    def watch(self, game: Game) -> Callable[[int, np.ndarray], None]:
        """The observer of one game's rounds, for ``solve(…, on_update=…)``."""
        slots = self._place(game.trie)
        keys = game.trie.keys

        def on_update(player: int, strategy: np.ndarray) -> None:
            if player == 0:
                self.rounds += 1
                for everyone in range(self.n_players):
                    self._add(0, everyone, slots, game, strategy)
            self._add(1, player, slots, game, strategy)
            values = action_values(game, strategy, player, "counterfactual")
            for row in game.trie.infosets_of(player):
                spread = abs(float(values[row, 1] - values[row, 0]))
                if spread > self._spread[keys[row]]:
                    self._spread[keys[row]] = spread

        return on_update

    def players(self) -> list[PlayerRegret]:
        """Each player's average regret so far; of 0 rounds, none."""
        if not self.rounds:
            return []
        trie, slot = self._trie()
        return [self._player(player, trie, slot) for player in range(self.n_players)]

    def save(self, path: str | Path) -> None:
        """Writes a ``.npz`` that ``load`` reads back bit for bit."""
        keys = list(self._players)
        rank = {key: index for index, key in enumerate(keys)}
        arrays = {
            **packed_keys(keys),
            "owners": np.array([self._players[key] for key in keys], dtype=np.int64),
            "spread": np.array([self._spread[key] for key in keys]),
            "nodes": np.array([(slot, rank[key]) for slot, key in self._nodes], dtype=np.int64).reshape(-1, 2),
            "leaves": self._leaves,
            "played": self._played,
            "rounds": np.int64(self.rounds),
        }
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "RunRegret":
        """Reads what ``save`` wrote.

        Raises:
            DataError: the file is missing or is no such file.
        """
        with loaded_arrays(path, what="a run's regret", remedy="it is written by training") as stored:
            out = cls(stored["played"].shape[1])
            out.rounds = int(stored["rounds"])
            keys = unpacked_keys(stored)
            out._players = dict(zip(keys, stored["owners"].tolist(), strict=True))
            out._spread = dict(zip(keys, stored["spread"].tolist(), strict=True))
            out._nodes = {(slot, keys[key]): node for node, (slot, key) in enumerate(stored["nodes"].tolist())}
            out._leaves, out._played = stored["leaves"], stored["played"]
        return out

    def _place(self, trie: Trie) -> np.ndarray:
        """Where the game's slots lie in the run's merged game, (slots,); new paths get new places."""
        slots = np.zeros(trie.n_slots, dtype=np.int64)
        for node, (above, infoset) in enumerate(zip(trie.above.tolist(), trie.infoset.tolist(), strict=True)):
            key = trie.keys[int(infoset)]
            place = self._nodes.setdefault((int(slots[above]), key), len(self._nodes))
            slots[1 + 2 * node : 3 + 2 * node] = 1 + 2 * place, 2 + 2 * place
            self._players.setdefault(key, int(trie.player[infoset]))
            self._spread.setdefault(key, 0.0)
        missing = 1 + 2 * len(self._nodes) - self._leaves.shape[2]
        self._leaves = np.pad(self._leaves, ((0, 0), (0, 0), (0, missing)))
        return slots

    def _add(self, kind: int, player: int, slots: np.ndarray, game: Game, strategy: np.ndarray) -> None:
        leaves = game.utility_of(player) * reach(game.trie, without(game.trie, strategy, player))
        self._leaves[kind, player, slots] += leaves
        self._played[kind, player] += float(leaves @ reach(game.trie, only(game.trie, strategy, player)))

    def _trie(self) -> tuple[Trie, np.ndarray]:
        """The merged game of all rounds and the slot in it of each of the run's slots."""
        keys = list(self._players)
        rank = {key: index for index, key in enumerate(keys)}
        above = np.array([slot for slot, _ in self._nodes], dtype=np.int64)
        every = np.arange(1 + 2 * len(self._nodes))
        histories = Histories(
            parent=(above + 1) // 2 - 1,
            action=(above + 1) % 2,
            infoset=np.array([rank[key] for _, key in self._nodes], dtype=np.int64),
            leaf_parent=(every + 1) // 2 - 1,
            leaf_action=(every + 1) % 2,
        )
        return merge(histories, keys, [self._players[key] for key in keys])

    def _player(self, player: int, trie: Trie, slot: np.ndarray) -> PlayerRegret:
        free = trie.player == player
        ones = np.ones((trie.n_infosets, 2))  # the others' play is in the leaves already
        averages: list[float] = []
        for kind in (0, 1):
            leaves = np.zeros(trie.n_slots)
            leaves[slot] = self._leaves[kind, player]
            best = maximise(trie, leaves, ones, free)
            averages.append((best.upper - self._played[kind, player]) / self.rounds)
        bound = sum(spread for key, spread in self._spread.items() if self._players[key] == player)
        return PlayerRegret(
            player=player, external=averages[0], as_seen=averages[1], bound=float(bound / np.sqrt(self.rounds))
        )
