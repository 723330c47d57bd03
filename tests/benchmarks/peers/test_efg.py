"""The exporter; that OpenSpiel reads it and agrees with us is tested in ``tests/benchmarks/peers``."""

import re
from collections import Counter

from benchmarks.peers.efg import Exported, export_efg
from tracer_agents.game.values import Game
from tracer_agents.rollout.empirical import empirical_game
from tracer_agents.rollout.tree import expand
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Rules
from tracer_env.infosets import Infosets
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
    sample = empirical_game(trees, infosets, token_budget=rules.rounds * MAX_NEW_TOKENS)
    return sample.priced(PRICE), export_efg(trees, infosets, utility)


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
