"""The exporter, and OpenSpiel's agreement with our iterations where it is installed (``pip install open_spiel``)."""

import re
from collections import Counter

import numpy as np
import pytest

from tracer_agents.controllers.regret import RegretMatching, RegretMatchingPlus
from tracer_agents.controllers.solve import solve
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import strategy_of
from tracer_agents.game.efg import Exported, export_efg
from tracer_agents.game.empirical import EmpiricalGame
from tracer_agents.game.gaps import nash_conv
from tracer_agents.game.tree import expand
from tracer_agents.game.values import Game
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Rules
from tracer_env.infosets import INFOSETS, Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade

PRICE, MAX_NEW_TOKENS = 0.1, 100


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def both(name: str, n: int, rules: Rules) -> tuple[Game, Exported]:
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(n)]
    trees = expand(episodes, rules, TabularSpeaker.load(), grade)
    infosets = Infosets(name, rules)
    utility = Utility(price_of_speech=PRICE, rounds=rules.rounds, max_new_tokens=MAX_NEW_TOKENS)
    sample = EmpiricalGame.from_trees(trees, infosets, token_budget=rules.rounds * MAX_NEW_TOKENS)
    return sample.at(PRICE), export_efg(trees, infosets, utility)


def test_the_file_by_hand():
    exported = both("recall", 1, Rules(rounds=3))[1]
    lines = exported.text.splitlines()
    assert lines[0] == 'EFG 2 R "TRACER dialogues" { "controller_0" "controller_1" }'
    assert lines[1] == 'c "" 1 "question" { "q0" 1 } 0'
    kinds = [line[0] for line in lines[2:]]
    assert kinds == ["p", "p", "t", "t", "p", "t", "t"]
    assert re.fullmatch(r'p "" 2 1 "\d" \{ "skip" "speak" \} 0', lines[2])
    assert re.fullmatch(r't "" 1 "" \{ (-?[\d.]+) \1 \}', lines[4])
    assert exported.keys[2, 1] == (int(lines[2].split('"')[3]),)


def test_counts_and_numbering():
    game, exported = both("consensus", 20, Rules())
    kinds = Counter(line[0] for line in exported.text.splitlines()[1:])
    assert kinds == {"c": 1, "p": 20 * 15, "t": 20 * 16}
    assert set(exported.keys.values()) == set(game.trie.keys)
    for player in (1, 2):
        numbers = sorted(number for owner, number in exported.keys if owner == player)
        assert numbers == list(range(1, len(game.trie.infosets_of(player - 1)) + 1))


def test_numbers_survive_the_text_bit_for_bit():
    exported = both("paper", 7, Rules())[1]
    paid = re.findall(r'^t "" \d+ "" \{ (\S+) ', exported.text, flags=re.M)
    utility = Utility(price_of_speech=PRICE, max_new_tokens=MAX_NEW_TOKENS)
    possible = {float(utility(right, tokens)) for right in (False, True) for tokens in range(501)}
    assert {float(value) for value in paid} <= possible
    assert float(f"{1 / 7:.17g}") == 1 / 7


def information_states(game) -> set[str]:
    """OpenSpiel's names of all infosets; ours is behind their third hyphen."""
    found, todo = set(), [game.new_initial_state()]
    while todo:
        state = todo.pop()
        if state.is_terminal():
            continue
        if not state.is_chance_node():
            found.add(state.information_state_string())
        todo.extend(state.child(action) for action in state.legal_actions())
    return found


@pytest.mark.parametrize(
    "rules", [Rules(), Rules(schedule="parity"), Rules(n_agents=3)], ids=["rotate", "parity", "N3"]
)
@pytest.mark.parametrize("name", INFOSETS)
@pytest.mark.parametrize("solver", ["CFR", "CFRPlus"])
def test_openspiel_agrees(name, solver, rules):
    pyspiel = pytest.importorskip("pyspiel", reason="OpenSpiel is not installed (pip install open_spiel)")
    game, exported = both(name, 64, rules)
    theirs = pyspiel.load_efg_game(exported.text)
    states = {tuple(map(int, state.split("-", 3)[3].split())): state for state in information_states(theirs)}
    peer = getattr(pyspiel, f"{solver}Solver")(theirs)
    rule = {"CFR": RegretMatching(), "CFRPlus": RegretMatchingPlus()}[solver]
    tables = RegretTables.empty()
    for target in (1, 10, 100):
        for _ in range(target - tables.iterations):
            peer.evaluate_and_update_policy()
        tables = solve(game, tables, rule, iterations=target - tables.iterations, weighting="counterfactual")
        ours = strategy_of(tables, "average")[tables.rows(game.trie.keys)]
        policy = peer.average_policy()
        assert len(states) == game.trie.n_infosets
        for key, state in states.items():
            row = policy.action_probabilities(state)
            assert [row[0], row[1]] == pytest.approx(ours[game.trie.row[key]], abs=1e-9)
        if name == "recall":
            assert pyspiel.nash_conv(theirs, policy) == pytest.approx(nash_conv(game, ours), abs=1e-9)
        assert np.all(ours >= 0)
