"""The empirical game: expanded questions as one merged tree with a sparse leaf × question matrix a quantity.

Prices, question weights and bootstrap games are products with these matrices; the tree is built once. Chance
is sampled (one tree a question) or enumerated with weights (tabular speakers).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from tracer_agents.game.files import loaded_arrays, packed_keys, save_arrays, unpacked_keys
from tracer_agents.rollout.tree import Tree
from tracer_agents.game.trie import Histories, Trie, merge, trie_of
from tracer_agents.game.values import Game
from tracer_env.dialogue import Dialogue, Mode, Rules, Utterance, initial, is_forced, is_terminal, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.tasks.base import Question

SCHEMA_VERSION = 1  # of the file
_MATRICES = ("mass", "right", "tokens")
_PARTS = ("data", "indices", "indptr")


@dataclass(frozen=True, kw_only=True)
class EmpiricalGame:
    """Expanded questions, merged.

    Args:
        trie: the merged decisions.
        mass, right, tokens: sparse (slots, questions): sums over a question's leaves at a slot of its chance
            weight, of weight × [final answer right], of weight × generated tokens.
        weights: the questions' weights, float64 of shape (questions,), summing to 1.
        token_budget: R · max_new_tokens, the most tokens of a dialogue.
        n_players: the controllers.
    """

    trie: Trie
    mass: csr_array
    right: csr_array
    tokens: csr_array
    weights: np.ndarray
    token_budget: int
    n_players: int

    @property
    def n_questions(self) -> int:
        """How many questions were expanded: what counts as the sample size."""
        return len(self.weights)

    def at(self, price: float, weights: np.ndarray | None = None) -> Game:
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
            "token_budget": np.int64(self.token_budget),
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
                token_budget=int(stored["token_budget"]),
                n_players=int(stored["n_players"]),
                **matrices,
            )
            _check(game)
        return game

    @classmethod
    def from_trees(
        cls,
        trees: Sequence[Tree],
        infosets: Infosets,
        *,
        token_budget: int,
        weights: np.ndarray | None = None,
        sight: Callable[[Tree, Dialogue], InfosetKey] = lambda tree, state: (),
    ) -> "EmpiricalGame":
        """The game of expanded questions, each of weight 1/n by default.

        A choice with one child (forced, or sampled by external sampling) is no decision.

        Args:
            sight: what controllers see beyond their infoset, appended to its key: nothing by default.

        Raises:
            ConfigError: a dialogue has more tokens than the budget.
        """
        records = _Records(infosets, token_budget)
        for question, tree in enumerate(trees):
            todo = [("", -1, 0)]
            while todo:
                prefix, parent, action = todo.pop()
                state = tree.states[prefix]
                if is_terminal(state):
                    records.leaf(parent, action, question, 1.0, tree.right(state), state.generated_tokens)
                    continue
                modes = tree.children(prefix)
                if len(modes) == 2:
                    parent = records.decision(parent, action, state, sight(tree, state))
                todo.extend((f"{prefix}{mode:d}", parent, mode if len(modes) == 2 else action) for mode in modes)
        return records.finish(len(trees), weights)

    @classmethod
    def enumerated(
        cls,
        speakers: "EnumerableSpeakers",
        questions: Sequence[Question],
        infosets: Infosets,
        *,
        token_budget: int,
        weights: np.ndarray | None = None,
        sight: Callable[[Question, Dialogue], InfosetKey] = lambda question, state: (),
    ) -> "EmpiricalGame":
        """The exact game of speakers of known probability: every chance outcome of every question, weighted.

        Args:
            sight: what controllers see beyond their infoset, appended to its key: nothing by default.

        Raises:
            ConfigError: a dialogue has more tokens than the budget.
        """
        records = _Records(infosets, token_budget)
        for index, question in enumerate(questions):
            todo: list[tuple[Dialogue, int, int, float]] = [(initial(infosets.rules, question.text), -1, 0, 1.0)]
            while todo:
                state, parent, action, weight = todo.pop()
                if is_terminal(state):
                    right = state.answer == question.gold
                    records.leaf(parent, action, index, weight, right, state.generated_tokens)
                    continue
                if not is_forced(state):
                    parent, action = records.decision(parent, action, state, sight(question, state)), 0
                    todo.append((transition(state, Mode.SKIP), parent, 0, weight))
                    action = 1
                speaking = transition(state, Mode.SPEAK)
                for chance, utterance in speakers.outcomes(question, speaking):
                    todo.append((transition(speaking, utterance), parent, action, weight * chance))
        return records.finish(len(questions), weights)


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


class EnumerableSpeakers(Protocol):
    """Speakers whose chances are known."""

    def outcomes(self, question: Question, state: Dialogue) -> list[tuple[float, Utterance]]:
        """Every utterance possible at a state whose speaker is awaited, with its chance."""
        ...


class _Records:
    """Collects unmerged histories and leaves."""

    def __init__(self, infosets: Infosets, token_budget: int) -> None:
        self._key: Callable[[Dialogue], InfosetKey] = infosets.key
        self._rules: Rules = infosets.rules
        self._budget = token_budget
        self._ids: dict[InfosetKey, int] = {}
        self._players: list[int] = []
        self._histories: list[tuple[int, int, int]] = []
        self._leaves: list[tuple[int, int, int]] = []
        self._payoffs: list[tuple[float, float, float]] = []

    def decision(self, parent: int, action: int, state: Dialogue, sight: InfosetKey = ()) -> int:
        key = (*self._key(state), *sight)
        infoset = self._ids.get(key)
        if infoset is None:
            infoset = self._ids[key] = len(self._ids)
            self._players.append(state.agent)
        self._histories.append((parent, action, infoset))
        return len(self._histories) - 1

    def leaf(self, parent: int, action: int, question: int, weight: float, right: bool, tokens: int) -> None:
        if tokens > self._budget:
            raise ConfigError(
                f"a dialogue has {tokens} generated tokens, more than token_budget={self._budget}: "
                "raise max_new_tokens to the most that one utterance may have"
            )
        self._leaves.append((parent, action, question))
        self._payoffs.append((weight, weight * right, weight * tokens))

    def finish(self, n_questions: int, weights: np.ndarray | None) -> EmpiricalGame:
        histories = np.array(self._histories, dtype=np.int64).reshape(-1, 3)
        leaves = np.array(self._leaves, dtype=np.int64).reshape(-1, 3)
        keys, histories = self._in_order(histories)
        trie, slot = merge(
            Histories(
                parent=histories[:, 0],
                action=histories[:, 1],
                infoset=histories[:, 2],
                leaf_parent=leaves[:, 0],
                leaf_action=leaves[:, 1],
            ),
            keys,
            [self._players[self._ids[key]] for key in keys],
        )
        payoffs = np.array(self._payoffs).reshape(-1, 3)
        shape = (trie.n_slots, n_questions)
        mass, right, tokens = (csr_array((column, (slot, leaves[:, 2])), shape=shape) for column in payoffs.T)
        return EmpiricalGame(
            trie=trie,
            mass=mass,
            right=right,
            tokens=tokens,
            weights=np.full(n_questions, 1 / n_questions) if weights is None else np.asarray(weights, np.float64),
            token_budget=self._budget,
            n_players=self._rules.n_agents,
        )

    def _in_order(self, histories: np.ndarray) -> tuple[list[InfosetKey], np.ndarray]:
        """Infosets numbered by their sorted keys, so that the order of questions changes nothing."""
        keys = sorted(self._ids, key=lambda key: (len(key), key))
        rank = np.empty(len(keys), dtype=np.int64)
        for new, key in enumerate(keys):
            rank[self._ids[key]] = new
        if len(histories):
            histories[:, 2] = rank[histories[:, 2]]
        return keys, histories
