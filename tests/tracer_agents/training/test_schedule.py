"""What each step does, as a function of its number."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.training.schedule import Schedule


@pytest.fixture
def schedule():
    trainer = {
        "trainer.steps": 10,
        "trainer.controller_steps": 2,
        "trainer.answer_share": 0.25,
        "trainer.questions_per_step": 3,
        "trainer.controller_questions_per_step": 50,
        "trainer.checkpoint_every": 4,
    }
    return lambda overrides=None: Schedule.of(load_config(overrides={**trainer, **(overrides or {})}))


def test_questions_follow_one_another_without_gap(schedule):
    steps = range(1, 11)
    made = schedule()

    assert [made.questions(step) for step in steps] == [3] * 8 + [50] * 2
    assert [made.first_question(step) for step in [*steps, 11]] == [3 * n for n in range(9)] + [74, 124]
    assert made.speaker_questions == 24


def test_who_learns_when(schedule):
    made = schedule()
    kinds = {
        step: (made.answers_alone(step), made.speakers_learn(step), made.controllers_learn(step))
        for step in range(1, 11)
    }

    assert [step for step, (alone, _, _) in kinds.items() if alone] == [1, 2]
    assert [step for step, (_, speakers, _) in kinds.items() if speakers] == list(range(1, 9))
    assert [step for step, (_, _, controllers) in kinds.items() if controllers] == list(range(3, 11))
    assert [step for step in kinds if made.controllers_start_afresh(step)] == [9]


def test_a_layer_that_does_not_train_never_learns(schedule):
    made = schedule({"credit.train": False, "controllers.train": False})

    assert not any(made.speakers_learn(step) or made.controllers_learn(step) for step in range(1, 11))


def test_the_last_step_always_has_a_checkpoint(schedule):
    made = schedule()

    assert [step for step in range(1, 11) if made.has_checkpoint(step)] == [4, 8, 10]
