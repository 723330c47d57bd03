import numpy as np
import pytest

from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.rollout.tree import (
    choose,
    expand,
    expand_external,
    grade_dialogues,
    is_right,
    play,
    rollout,
)
from tracer_agents.speakers.tabular import Difficulty, TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_env.dialogue import Rules, is_forced, is_terminal
from tracer_env.seeding import control_uniform
from tracer_env.tasks.base import Grade

SPEAKER = TabularSpeaker.load()


def episodes(n: int) -> list[Episode]:
    return [Episode(question=tabular_question(index), seed=1000 + index) for index in range(n)]


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


class Counting:
    """Speakers that remember how they were called."""

    def __init__(self, speakers):
        self.speakers, self.batches = speakers, []

    def speak(self, requests):
        self.batches.append(len(requests))
        return self.speakers.speak(requests)


def test_a_tree_holds_each_state_under_its_prefix():
    tree = expand(episodes(1), Rules(), SPEAKER, grade)[0]
    for prefix, state in tree.states.items():
        assert state.prefix == prefix
        assert tree.right(state) == (state.answer == tree.episode.question.gold)
    for prefix, utterance in tree.spoken():
        assert tree.request(prefix).state.speaking
        assert SPEAKER.speak([tree.request(prefix)]) == [utterance]


def test_no_noise_seed_repeats():
    trees = expand(episodes(20), Rules(), SPEAKER, grade)
    seeds = [tree.request(prefix).noise_seed for tree in trees for prefix, _ in tree.spoken()]
    assert len(set(seeds)) == len(seeds) == 20 * 16


@pytest.mark.parametrize("rules", [Rules(), Rules(schedule="parity", n_agents=3), Rules(force_on_unparsed=True)])
def test_rollout_plays_the_line_of_the_tree(rules):
    controller = RandomSpeech(p=0.6)
    trees = expand(episodes(64), rules, SPEAKER, grade)
    played = play(trees, controller)
    assert rollout(episodes(64), rules, SPEAKER, controller) == played
    alone = [rollout([episode], rules, SPEAKER, controller)[0] for episode in episodes(64)]
    assert alone == played
    assert len({state.prefix for state in played}) > 8


def test_rollout_generates_only_what_is_played():
    speakers = Counting(SPEAKER)
    played = rollout(episodes(30), Rules(), speakers, RandomSpeech(p=0.4))
    assert sum(speakers.batches) == sum(state.prefix.count("1") for state in played)


def test_forcing_over_unparsed_solutions_removes_the_choice():
    mute = Difficulty(
        first=0.5,
        after_none=(0.5, 0.5),
        after_right=(0.5, 0.5),
        after_wrong=(0.5, 0.5),
        unparsed_proposal=1.0,
        sensitivity=0.5,
        specificity=0.5,
    )
    speaker = TabularSpeaker(difficulties=(mute,))
    tree = expand(episodes(1), Rules(force_on_unparsed=True), speaker, grade)[0]
    assert sorted(leaf for leaf in tree.states if len(leaf) == 5) == ["10101", "10111", "11101", "11111"]
    assert tree.children("10") == (1,)
    assert not any(tree.right(state) for state in tree.leaves())
    assert tree.grades == {}


def test_answers_are_graded_once_in_one_call():
    calls = []

    def counted(answers, golds):
        calls.append(list(zip(answers, golds, strict=True)))
        return grade(answers, golds)

    trees = expand(episodes(40), Rules(), SPEAKER, counted)
    assert len(calls) == 1
    assert len(set(calls[0])) == len(calls[0])
    assert all(None not in pair for pair in calls[0])
    played = play(trees, AlwaysSpeak())
    grades = grade_dialogues(episodes(40), played, grade)
    assert [is_right(known, state) for known, state in zip(grades, played, strict=True)] == [
        tree.right(state) for tree, state in zip(trees, played, strict=True)
    ]


def test_external_sampling_branches_only_for_its_player():
    rules, controller = Rules(n_agents=2), RandomSpeech(p=0.5)
    full = expand(episodes(25), rules, SPEAKER, grade)
    for player in (0, 1):
        for tree, whole in zip(
            expand_external(episodes(25), rules, SPEAKER, grade, controller, player), full, strict=True
        ):
            for prefix, state in tree.states.items():
                assert state == whole.states[prefix]
                if is_terminal(state):
                    continue
                branches = len(tree.children(prefix))
                assert branches == (2 if state.agent == player and not is_forced(state) else 1)


def test_the_mode_compares_a_uniform_of_the_episode_and_prefix():
    tree = expand(episodes(1), Rules(), SPEAKER, grade)[0]
    state, seed = tree.states["101"], tree.episode.seed
    uniform = control_uniform(seed, "101")

    class Fixed:
        def __init__(self, chance):
            self.chance = chance

        def speak_probability(self, states):
            return np.full(len(states), self.chance)

    assert choose([(tree.episode, state)], Fixed(uniform + 1e-9)) == [1]
    assert choose([(tree.episode, state)], Fixed(uniform)) == [0]
    assert choose([(tree.episode, tree.states[""])], Fixed(0.0)) == [1]
