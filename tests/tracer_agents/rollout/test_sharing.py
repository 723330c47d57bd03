"""Sharing by view: paths share what was said to the same view, which leaves every value unbiased."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.game.values import expected_utility
from tracer_agents.rollout.empirical import empirical_game, enumerated_game
from tracer_agents.rollout.tree import Tree, expand, play, rollout
from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, tabular_question
from tracer_agents.types import Controller, Episode
from tracer_env.cost import utterance_count
from tracer_env.dialogue import Role, Rules, Utterance
from tracer_env.infosets import Infosets
from tracer_env.rewards import Utility
from tracer_env.tasks.base import Grade

INDEPENDENT = TabularSpeaker(  # a proposal's chances do not depend on what was said before it
    difficulties=(
        Difficulty(
            first=0.5,
            after_none=(0.5, 0.5),
            after_right=(0.5, 0.5),
            after_wrong=(0.5, 0.5),
            unparsed_proposal=0.1,
            sensitivity=0.7,
            specificity=0.8,
        ),
    )
)


class Constant(TabularController):
    """P(SPEAK) is the same wherever it is free."""

    def __init__(self, infosets: Infosets, chance: float) -> None:
        super().__init__(infosets, RegretTables.empty())
        self.chance = chance

    def probability_of_key(self, key) -> float:
        return self.chance


VIEW = Rules(revisions=False, sharing="view")
UTILITY = Utility(price_of_speech=1.0, most=5 * 100)


class ProposesOnly:
    """Every proposer proposes, and nobody reviews."""

    def speak_probability(self, states) -> np.ndarray:
        return np.array([float(state.role is Role.PROPOSER) for state in states])


class Distinct:
    """Speakers whose every utterance is another text, and who count."""

    def __init__(self) -> None:
        self.said: Counter[int] = Counter()

    def speak(self, requests):
        self.said.update(request.noise_seed for request in requests)
        return [Utterance(text=str(request.noise_seed), answer=str(request.noise_seed)) for request in requests]


def episodes(n: int) -> list[Episode]:
    return [Episode(question=tabular_question(index), seed=1000 + index) for index in range(n)]


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


def utilities(trees: list[Tree], controller: Controller) -> np.ndarray:
    finals = play(trees, controller)
    right = np.array([tree.right(final) for tree, final in zip(trees, finals, strict=True)])
    return UTILITY(right, np.array([final.generated_tokens for final in finals]))


@pytest.mark.parametrize("rounds", [1, 3, 5, 7, 9])
def test_a_tree_of_independent_proposals_says_as_much_as_the_formula(rounds):
    """P = (R + 1)/2 proposals, and of the k-th at most P − k reviews: P + P(P − 1)/2, not 2^(R−1)."""
    rules, speakers = replace(VIEW, rounds=rounds), Distinct()

    expand(episodes(2), rules, speakers, grade)

    proposals = (rounds + 1) // 2
    assert len(speakers.said) == 2 * utterance_count(rules)
    assert set(speakers.said.values()) == {1}
    assert utterance_count(rules) == proposals + proposals * (proposals - 1) // 2
    assert utterance_count(replace(rules, sharing="prefix")) == 2 ** (rounds - 1)


@pytest.mark.parametrize("rounds", [1, 3, 5, 7])
def test_a_tree_of_revisions_says_as_much_as_the_formula(rounds):
    rules, speakers = Rules(rounds=rounds, sharing="view"), Distinct()

    expand(episodes(2), rules, speakers, grade)

    assert len(speakers.said) == 2 * utterance_count(rules)


@pytest.mark.parametrize("rules", [VIEW, replace(VIEW, n_agents=3, voices=(0, 1, 0)), Rules(rounds=7, sharing="view")])
def test_no_path_hears_an_utterance_twice(rules):
    for tree in expand(episodes(3), rules, Distinct(), grade):
        for leaf in tree.leaves():
            texts = [turn.utterance.text for turn in leaf.turns if turn.utterance]
            assert len(set(texts)) == len(texts)


def test_agents_of_one_voice_share_and_others_do_not():
    rules = replace(VIEW, n_agents=2, voices=(0, 1))
    [tree] = expand(episodes(1), rules, Distinct(), grade)
    proposals = {tree.utterance(prefix).text for prefix in ("", "10", "1010")}
    first_of_agent_1 = {tree.utterance(prefix).text for prefix in ("10", "11")}
    second_of_agent_0 = {tree.utterance(prefix).text for prefix in ("1000", "1010", "1110", "1011")}

    assert len(proposals) == 3
    assert len(first_of_agent_1) == len(second_of_agent_0) == 1  # whatever was reviewed, and whoever else proposed


def test_values_are_those_of_the_enumerated_game():
    """For controllers that speak more and less, the mean over many trees is the exact value."""
    infosets = Infosets("recall", VIEW)
    exact = enumerated_game(
        INDEPENDENT, INDEPENDENT.representatives(), infosets, token_budget=UTILITY.budget, weights=np.ones(1)
    ).priced(UTILITY.price_of_speech)
    sampled = expand(episodes(2000), VIEW, INDEPENDENT, grade)
    shared = empirical_game(sampled, infosets, token_budget=UTILITY.budget)
    for chance in (0.1, 0.5, 0.9):
        controller = Constant(infosets, chance)
        truth = expected_utility(exact, controller.profile(exact.trie.keys))
        values = [
            expected_utility(
                shared.priced(UTILITY.price_of_speech, weights=part),
                controller.profile(shared.trie.keys),
            )
            for part in np.repeat(np.eye(20), 100, axis=1) / 100
        ]
        error = np.std(values) / np.sqrt(len(values))
        assert abs(np.mean(values) - truth) < 4 * error
        assert error < 0.03


def test_differences_between_profiles_are_less_noisy():
    """Of speaking always and never reviewing: their proposals are the same draws, so only the reviews' cost differs."""
    noise = {}
    for sharing in ("prefix", "view"):
        trees = expand(episodes(1500), replace(VIEW, sharing=sharing, answer_rule="plurality"), INDEPENDENT, grade)
        difference = utilities(trees, ProposesOnly()) - utilities(trees, AlwaysSpeak())
        noise[sharing] = difference.var()
    assert noise["view"] < 0.1 * noise["prefix"]


def test_playing_one_path_says_what_the_tree_holds():
    for rules in (VIEW, Rules(rounds=7, sharing="view")):
        trees = expand(episodes(30), rules, INDEPENDENT, grade)
        controller = RandomSpeech(p=0.6)
        assert rollout(episodes(30), rules, INDEPENDENT, controller) == play(trees, controller)


def test_reviewers_and_proposers_see_what_their_prompts_quote():
    assert VIEW.seen(Role.PROPOSER, "s", "r") == ("proposer",)
    assert Rules().seen(Role.PROPOSER, "s", "r") == ("proposer", "s", "r")
    assert Rules().seen(Role.PROPOSER, "s", None) == ("proposer",)
    assert VIEW.seen(Role.REVIEWER, "s", "r") == ("reviewer", "s")
