"""Expanded tabular dialogues as our game and as OpenSpiel's, and how far two solvers are apart on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.peers.efg import export_efg
from tracer_agents.controllers.regret import RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import strategy_of
from tracer_agents.game.values import Game, backward, expected_utility
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import Tree, expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularTask
from tracer_env.dialogue import Rules
from tracer_env.infosets import InfosetKey, InfosetName, Infosets
from tracer_env.rewards import Utility

PRICE, MAX_NEW_TOKENS = 0.1, 100
SOLVERS = {"CFR": RegretMatching(), "CFRPlus": RegretMatchingPlus()}  # OpenSpiel's name -> our minimiser
_COLUMNS = 2**14  # pure strategies valued in one pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Twins:
    """One game twice: ours, OpenSpiel's, and OpenSpiel's name of each of our infosets."""

    game: Game
    theirs: Any  # pyspiel.Game
    states: dict[InfosetKey, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Iterated:
    """Both average policies after some iterations of one algorithm."""

    iterations: int
    ours: np.ndarray  # (infosets, 2)
    theirs: np.ndarray  # (infosets, 2)
    openspiel_nash_conv: float | None  # of their policy, by their best response; None where OpenSpiel refuses

    @property
    def difference(self) -> float:
        """The largest difference of any probability."""
        return float(np.abs(self.ours - self.theirs).max())


def openspiel() -> Any:
    """The ``pyspiel`` module.

    Raises:
        SystemExit: it is not installed.
    """
    try:
        import pyspiel  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise SystemExit("OpenSpiel is not installed here: pip install open_spiel") from error
    return pyspiel


def twins(questions: int, infoset: InfosetName, rules: Rules | None = None) -> Twins:
    """Fresh questions of the shipped tabular speakers, expanded, and carried over through the exported EFG file."""
    infosets = Infosets(infoset, rules or Rules())
    rounds = infosets.rules.rounds
    trees = _trees(questions, infosets.rules)
    utility = Utility(price_of_speech=PRICE, rounds=rounds, max_new_tokens=MAX_NEW_TOKENS)
    theirs = openspiel().load_efg_game(export_efg(trees, infosets, utility).text)
    game = empirical_game(trees, infosets, token_budget=rounds * MAX_NEW_TOKENS).priced(PRICE)
    return Twins(game=game, theirs=theirs, states={_key(name): name for name in _information_states(theirs)})


def iterated(pair: Twins, solver: str, targets: Sequence[int]) -> list[Iterated]:
    """One algorithm on both games, alternating updates; stops to compare after each of ``targets`` iterations.

    Args:
        solver: a name of ``SOLVERS``.
        targets: ascending.
    """
    peer = getattr(openspiel(), f"{solver}Solver")(pair.theirs)
    tables, out = RegretTables.empty(), []
    for target in targets:
        further = target - tables.iterations
        for _ in range(further):
            peer.evaluate_and_update_policy()
        tables = solve(pair.game, tables, SOLVERS[solver], iterations=further, weighting="counterfactual")
        policy = peer.average_policy()  # a view into the solver: read it while the solver lives
        out.append(
            Iterated(
                iterations=target,
                ours=strategy_of(tables, "average")[tables.rows(pair.game.trie.keys)],
                theirs=np.array([_row(policy, pair.states[key]) for key in pair.game.trie.keys]),
                openspiel_nash_conv=_nash_conv(pair.theirs, policy),
            )
        )
    return out


def brute_force_nash_conv(game: Game, strategy: np.ndarray) -> float:
    """NashConv by trying every pure strategy of each player: 2^(its infosets) of them."""
    return sum(
        _best_of_all(game, strategy, player) - expected_utility(game, strategy, player)
        for player in range(game.n_players)
    )


def _best_of_all(game: Game, strategy: np.ndarray, player: int) -> float:
    rows = game.trie.infosets_of(player)
    best = -np.inf
    for start in range(0, 2 ** len(rows), _COLUMNS):
        codes = np.arange(start, min(start + _COLUMNS, 2 ** len(rows)))
        speaks = (codes >> np.arange(len(rows))[:, None]) & 1  # (its infosets, strategies)
        profiles = np.repeat(strategy[:, :, None], len(codes), axis=2)
        profiles[rows] = np.stack([1 - speaks, speaks], axis=1)
        best = max(best, float(backward(game.trie, game.utility_of(player), profiles)[0].max()))
    return best


def _trees(questions: int, rules: Rules) -> list[Tree]:
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(questions)]
    return expand(episodes, rules, TabularSpeaker.load(), TabularTask().grade)


def _information_states(theirs: Any) -> set[str]:
    states: set[str] = set()
    todo = [theirs.new_initial_state()]
    while todo:
        state = todo.pop()
        if state.is_terminal():
            continue
        if not state.is_chance_node():
            states.add(state.information_state_string())
        todo.extend(state.child(action) for action in state.legal_actions())
    return states


def _nash_conv(game: Any, policy: Any) -> float | None:
    try:
        return openspiel().nash_conv(game, policy)
    except openspiel().SpielError:  # a best response worse than the policy: it notices imperfect recall
        return None


def _row(policy: Any, name: str) -> tuple[float, float]:
    probabilities = policy.action_probabilities(name)
    return probabilities[0], probabilities[1]


def _key(name: str) -> InfosetKey:
    """Our infoset behind the third hyphen of OpenSpiel's name."""
    return tuple(int(part) for part in name.split("-", 3)[3].split())
