"""Training by external sampling: what a step expands, plays and learns."""

import pytest

from tracer_agents.build import build
from tracer_agents.config import load_config
from tracer_agents.controllers.fixed import AlwaysSpeak, RandomSpeech
from tracer_agents.rollout.tree import expand_external, play, rollout
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.training.trainer import Trainer
from tracer_agents.types import Episode
from tracer_env.cost import external_count, utterance_count
from tracer_env.dialogue import Rules
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Grade

EXTERNAL = {
    "controllers.expansion": "external",
    "credit.train": False,
    "dialogue.infoset": "recall",
    "evaluation.checkpoint_questions": 0,
}


def grade(answers, golds):
    return [Grade.RIGHT if answer == gold else Grade.WRONG for answer, gold in zip(answers, golds, strict=True)]


@pytest.mark.parametrize("player", [0, 1])
def test_what_is_played_is_in_the_tree(player):
    episodes = [Episode(question=tabular_question(index), seed=index) for index in range(40)]
    speakers, rules, controller = TabularSpeaker.load(), Rules(rounds=7), RandomSpeech(p=0.6)
    trees = expand_external(episodes, rules, speakers, grade, controller, player)
    assert play(trees, controller) == rollout(episodes, rules, speakers, controller)


def test_agents_take_turns_and_learn_from_fewer_utterances(small_config):
    config = small_config(EXTERNAL)
    trainer = Trainer(config, build(config))
    rules, questions = config.rules, config.trainer.questions_per_step
    known: list[set[int]] = []
    for number in (1, 2):
        report = trainer.step(number)
        count = external_count(rules, number % 2)
        assert (
            questions * count.always <= report.utterances <= questions * count.most < questions * utterance_count(rules)
        )
        # a recall key has an entry a finished round, so its length tells who decides
        known.append({rules.seats[len(key)][0] for key in trainer.tables.keys})
    assert known == [{1}, {0, 1}]
    assert trainer.regret.rounds == 0  # the others' sampled choices are no fixed sequence of games


def test_a_line_of_its_own_is_expanded(small_config):
    config = small_config(EXTERNAL)
    trainer = Trainer(config, build(config), AlwaysSpeak())
    report = trainer.step(1)
    assert report.speak_rate == 1.0
    assert report.utterances == config.trainer.questions_per_step * external_count(config.rules, 1).most


def test_speakers_learn_too(small_config):
    config = small_config({**EXTERNAL, "credit.train": True})
    report = Trainer(config, build(config)).step(1)
    assert report.groups > 0
    assert report.policy_version == 1


def test_uplift_needs_all_branches():
    with pytest.raises(ConfigError, match="uplift compares branches"):
        load_config(overrides={"controllers.expansion": "external", "credit.reviewer": "uplift"})
