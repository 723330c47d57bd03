"""The formulas beside what speakers are really asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.suite.immediate import play_and_score
from tracer_agents.controllers.fixed import RandomSpeech
from tracer_agents.rollout.tree import expand, expand_external
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.cost import (
    MOST_UTTERANCES,
    UtteranceCount,
    check_expandable,
    external_count,
    immediate_count,
    utterance_count,
)
from tracer_env.dialogue import SCHEDULES, Role, Rules, is_forced, is_terminal
from tracer_env.errors import ConfigError
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Grade

SPEAKER = TabularSpeaker.load()
RULES = st.builds(
    Rules, rounds=st.sampled_from([1, 3, 5, 7]), n_agents=st.integers(1, 4), schedule=st.sampled_from(SCHEDULES)
)


def episodes(n: int, first_seed: int = 0) -> list[Episode]:
    return [Episode(question=tabular_question(index), seed=first_seed + index) for index in range(n)]


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


class Counting:
    """Speakers that remember how they were called."""

    def __init__(self):
        self.batches = []

    def speak(self, requests):
        self.batches.append(len(requests))
        return SPEAKER.speak(requests)


@pytest.mark.parametrize("rounds", [1, 3, 5, 7])
@pytest.mark.parametrize("n_agents", [1, 2, 3])
def test_full_expansion(rounds, n_agents):
    speakers = Counting()
    rules = Rules(n_agents=n_agents, rounds=rounds)
    trees = expand(episodes(3), rules, speakers, grade)
    # One call per round, for every question at once: 1, 1, 2, 4, … utterances per question.
    assert speakers.batches == [3 * max(1, 2 ** (depth - 1)) for depth in range(rounds)]
    for tree in trees:
        free = [state for state in tree.states.values() if not is_terminal(state) and not is_forced(state)]
        assert len(list(tree.spoken())) == utterance_count(rules) == 2 ** (rounds - 1)
        assert len(free) == 2 ** (rounds - 1) - 1
        assert len(tree.leaves()) == 2 ** (rounds - 1)
    if rounds == 5:
        assert utterance_count(rules) == 16


@given(rules=RULES, player=st.integers(0, 3), p=st.floats(0, 1), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_external_sampling(rules, player, p, seed):
    player %= rules.n_agents
    speakers = Counting()
    trees = expand_external(episodes(4, seed), rules, speakers, grade, RandomSpeech(p=p), player)
    count = external_count(rules, player)
    spoken = 0
    for tree in trees:
        drawn = [
            tree.children(prefix)[0]
            for prefix, state in tree.states.items()
            if not is_terminal(state) and not is_forced(state) and state.agent != player
        ]
        assert len(drawn) == count.sampled
        assert len(list(tree.spoken())) == count.always + sum(drawn)
        spoken += sum(drawn)
    assert sum(speakers.batches) == 4 * count.always + spoken


@given(rules=RULES, player=st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_external_sampling_between_silent_and_talkative_others(rules, player):
    player %= rules.n_agents
    count = external_count(rules, player)
    for p, each in ((0.0, count.always), (1.0, count.most)):
        speakers = Counting()
        expand_external(episodes(3), rules, speakers, grade, RandomSpeech(p=p), player)
        assert sum(speakers.batches) == 3 * each == 3 * count.expected(p)
    free = sum(agent == player for agent, _ in rules.seats[1:])
    assert count.always == 2**free
    assert count.most <= utterance_count(rules)
    if rules.n_agents == 1:
        assert (count.always, count.sampled) == (utterance_count(rules), 0)


def test_external_sampling_by_hand():
    # rotate, two agents: rounds 2 and 3 are agent 1's, 4 and 5 agent 0's.
    assert external_count(Rules(), 0) == UtteranceCount(always=4, sampled=1 + 1)
    assert external_count(Rules(), 1) == UtteranceCount(always=4, sampled=4 + 4)
    # parity: rounds 2 and 4 are agent 1's.
    assert external_count(Rules(schedule="parity"), 1) == UtteranceCount(always=4, sampled=2 + 4)


def test_the_mean_over_many_questions_is_the_expected_one():
    rules, p, n = Rules(rounds=7), 0.3, 300
    for player in (0, 1):
        trees = expand_external(episodes(n), rules, SPEAKER, grade, RandomSpeech(p=p), player)
        spoken = np.array([len(list(tree.spoken())) for tree in trees])
        error = spoken.std(ddof=1) / np.sqrt(n)
        assert abs(spoken.mean() - external_count(rules, player).expected(p)) < 4 * error


@given(rules=RULES, p=st.floats(0, 1), seed=st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_the_immediate_rule(rules, p, seed):
    speakers = Counting()
    played, _ = play_and_score(episodes(5, seed), Infosets("consensus", rules), speakers, RandomSpeech(p=p), grade)
    count = immediate_count(rules)
    fresh = sum(turn.mode for state in played for turn in state.turns[1:] if turn.role is Role.PROPOSER)
    assert sum(speakers.batches) == 5 * count.always + fresh
    assert count.always == 1 + (rules.rounds - 1) // 2
    assert count.most == rules.rounds


@pytest.mark.parametrize("rounds", [15, 21, 99])
def test_dialogues_too_long_to_be_expanded_are_refused_before_anybody_speaks(rounds):
    speakers, rules = Counting(), Rules(rounds=rounds)
    with pytest.raises(ConfigError, match=rf"{2 ** (rounds - 1):,} utterances .* set controllers.expansion: external"):
        expand(episodes(1), rules, speakers, grade)
    with pytest.raises(ConfigError, match="4,096 are the most; choose fewer rounds"):
        expand_external(episodes(1), Rules(rounds=rounds, n_agents=1), speakers, grade, RandomSpeech(p=0.5), 0)
    assert speakers.batches == []


def test_the_longest_dialogue_that_is_expanded():
    check_expandable(Rules(rounds=13))
    assert utterance_count(Rules(rounds=13)) == MOST_UTTERANCES
    assert all(external_count(Rules(rounds=21), player).most <= MOST_UTTERANCES for player in (0, 1))
