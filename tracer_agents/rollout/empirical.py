"""Builds empirical games: from expanded questions, or from speakers whose chances are known."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.trie import Histories, merge
from tracer_agents.rollout.tree import Tree
from tracer_env.dialogue import Dialogue, Mode, Rules, Utterance, initial, is_forced, is_terminal, transition
from tracer_env.errors import ConfigError
from tracer_env.infosets import InfosetKey, Infosets
from tracer_env.rewards import UNIT_PRICES, Prices
from tracer_env.tasks.base import Question


class EnumerableSpeakers(Protocol):
    """Speakers whose chances are known."""

    def outcomes(self, question: Question, state: Dialogue) -> list[tuple[float, Utterance]]:
        """Every utterance possible at a state whose speaker is awaited, with its chance."""
        ...


def empirical_game(
    trees: Sequence[Tree],
    infosets: Infosets,
    *,
    token_budget: float,
    prices: Prices = UNIT_PRICES,
    weights: np.ndarray | None = None,
    sight: Callable[[Tree, Dialogue], InfosetKey] = lambda tree, state: (),
) -> EmpiricalGame:
    """The game of expanded questions, each of weight 1/n by default.

    A choice with one child (forced, or sampled by external sampling) is no decision.

    Args:
        token_budget: the unit of cost, ``Utility.budget``.
        prices: what tokens cost, by agent.
        sight: what controllers see beyond their infoset, appended to its key: nothing by default.

    Raises:
        ConfigError: a dialogue has more tokens than the budget.
    """
    records = _Records(infosets, token_budget, prices)
    for question, tree in enumerate(trees):
        todo = [("", -1, 0)]
        while todo:
            prefix, parent, action = todo.pop()
            state = tree.states[prefix]
            if is_terminal(state):
                records.leaf(parent, action, question, 1.0, tree.right(state), state)
                continue
            modes = tree.children(prefix)
            if len(modes) == 2:
                parent = records.decision(parent, action, state, sight(tree, state))
            todo.extend((tree.child(prefix, mode), parent, mode if len(modes) == 2 else action) for mode in modes)
    return records.finish(len(trees), weights)


def enumerated_game(
    speakers: EnumerableSpeakers,
    questions: Sequence[Question],
    infosets: Infosets,
    *,
    token_budget: float,
    prices: Prices = UNIT_PRICES,
    weights: np.ndarray | None = None,
    sight: Callable[[Question, Dialogue], InfosetKey] = lambda question, state: (),
) -> EmpiricalGame:
    """The exact game of speakers of known probability: every chance outcome of every question, weighted.

    Args:
        token_budget: the unit of cost, ``Utility.budget``.
        prices: what tokens cost, by agent.
        sight: what controllers see beyond their infoset, appended to its key: nothing by default.

    Raises:
        ConfigError: a dialogue has more tokens than the budget.
    """
    records = _Records(infosets, token_budget, prices)
    for index, question in enumerate(questions):
        todo: list[tuple[Dialogue, int, int, float]] = [(initial(infosets.rules, question.text), -1, 0, 1.0)]
        while todo:
            state, parent, action, weight = todo.pop()
            if is_terminal(state):
                right = state.team_answer == question.gold
                records.leaf(parent, action, index, weight, right, state)
                continue
            if not is_forced(state):
                parent, action = records.decision(parent, action, state, sight(question, state)), 0
                todo.append((transition(state, Mode.SKIP), parent, 0, weight))
                action = 1
            speaking = transition(state, Mode.SPEAK)
            for chance, utterance in speakers.outcomes(question, speaking):
                todo.append((transition(speaking, utterance), parent, action, weight * chance))
    return records.finish(len(questions), weights)


class _Records:
    """Collects unmerged histories and leaves."""

    def __init__(self, infosets: Infosets, token_budget: float, prices: Prices) -> None:
        self._key: Callable[[Dialogue], InfosetKey] = infosets.key
        self._rules: Rules = infosets.rules
        self._budget, self._prices = token_budget, prices
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

    def leaf(self, parent: int, action: int, question: int, weight: float, right: bool, end: Dialogue) -> None:
        tokens = self._prices.dialogue(end)
        if tokens > self._budget and not self._prices.reads:
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
