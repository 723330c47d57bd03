"""The empirical game: expanded questions as one merged tree with a sparse leaf × question matrix per quantity.

Prices, question weights and bootstrap games are products with these matrices; the tree is built once. Chance
is sampled (one tree per question) or enumerated with weights (tabular speakers).
"""

# SciPy has no annotations:
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from tracer_agents.game.files import loaded_arrays, packed_keys, save_arrays, unpacked_keys
from tracer_agents.game.trie import Trie, trie_of
from tracer_agents.game.values import Game

SCHEMA_VERSION = 1  # of the file
_MATRICES = ("mass", "right", "tokens")
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, kw_only=True)
class EmpiricalGame:
    """Expanded questions, merged.

    Args:
        trie: the merged decisions.
        mass, right, tokens: sparse (slots, questions): sums over a question's leaves at a slot of its chance
            weight, of weight × [final answer right], of weight × generated tokens, priced where agents' differ.
        weights: the questions' weights, float64 of shape (questions,), summing to 1.
        token_budget: the most tokens of a dialogue, R · max_new_tokens, priced like them.
        n_players: the controllers.
    """

    trie: Trie
    mass: csr_array
    right: csr_array
    tokens: csr_array
    weights: np.ndarray
    token_budget: float
    n_players: int

    @property
    def n_questions(self) -> int:
        """How many questions were expanded: what counts as the sample size."""
        return len(self.weights)

    def priced(self, price: float, weights: np.ndarray | None = None) -> Game:
        """The game at a price of speech λ: u = ±1 − λ · tokens / token_budget (DESIGN, section 2).

        Args:
            price: λ ≥ 0.
            weights: other question weights that sum to 1, (questions,); the game's own by default.
        """
        weights = self.weights if weights is None else weights
        mass, right, tokens = (np.asarray(matrix @ weights) for matrix in (self.mass, self.right, self.tokens))
        utility = 2 * right - mass - (price / self.token_budget) * tokens
        return Game(trie=self.trie, utilities=utility[None], mass=mass, n_players=self.n_players)

    def save(self, path: str | Path) -> None:
        """Writes a ``.npz`` that ``load`` reads back bit for bit."""
        arrays = {
            "schema_version": np.int64(SCHEMA_VERSION),
            **packed_keys(self.trie.keys),
            "player": self.trie.player,
            "infoset": self.trie.infoset,
            "above": self.trie.above,
            "weights": self.weights,
            "token_budget": np.float64(self.token_budget),
            "n_players": np.int64(self.n_players),
        }
        for name in _MATRICES:
            arrays |= {f"{name}_{part}": getattr(getattr(self, name), part) for part in _PARTS}
        save_arrays(path, arrays)

    @classmethod
    def load(cls, path: str | Path) -> "EmpiricalGame":
        """Reads what ``save`` wrote.

        Raises:
            DataError: the file is missing, damaged, no such file or of another version.
        """
        with loaded_arrays(path, what="an empirical game", remedy="EmpiricalGame.save writes one") as stored:
            if (version := int(stored["schema_version"])) != SCHEMA_VERSION:
                raise ValueError(f"its schema_version is {version}, this program reads {SCHEMA_VERSION}")
            trie = trie_of(unpacked_keys(stored), stored["player"], stored["infoset"], stored["above"])
            shape = (trie.n_slots, len(stored["weights"]))
            matrices = {
                name: csr_array(tuple(stored[f"{name}_{part}"] for part in _PARTS), shape=shape) for name in _MATRICES
            }
            game = cls(
                trie=trie,
                weights=stored["weights"],
                token_budget=float(stored["token_budget"]),
                n_players=int(stored["n_players"]),
                **matrices,
            )
            _check(game)
        return game


def _check(game: EmpiricalGame) -> None:
    """Raises ``ValueError`` where a readable file cannot be a game."""
    trie = game.trie
    for matrix in (game.mass, game.right, game.tokens):
        matrix.check_format(full_check=True)
    nodes, infosets = len(trie.above), len(trie.keys)
    if not nodes == len(trie.infoset) == sum(level.stop - level.start for level in trie.levels):
        raise ValueError("its nodes do not form a tree")
    if len(trie.player) != infosets or not np.all((trie.infoset >= 0) & (trie.infoset < infosets)):
        raise ValueError("its nodes name infosets that it lacks")
    if not np.all((trie.player >= 0) & (trie.player < game.n_players)):
        raise ValueError(f"its infosets belong to other players than {game.n_players}")
