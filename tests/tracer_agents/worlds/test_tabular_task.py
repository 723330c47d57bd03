import numpy as np
import pytest

from tracer_agents.controllers.fixed import RandomSpeech
from tracer_agents.rollout.tree import expand, play
from tracer_agents.speakers.tabular import TabularSpeaker, tabular_question
from tracer_agents.types import Episode
from tracer_agents.worlds.tabular_task import TabularActor, TabularTask
from tracer_env.controller_env import controller_env
from tracer_env.dialogue import SCHEDULES, Rules
from tracer_env.rewards import Utility
from tracer_env.seeding import control_uniform
from tracer_env.tasks.base import SPLITS

SPEAKER, TASK = TabularSpeaker.load(), TabularTask()


def test_splits_are_disjoint():
    drawn = [{question.id for question in TASK.draw(split, 0, 50, seed=0)} for split in SPLITS]
    assert [len(each) for each in drawn] == [50, 50, 50]
    assert not drawn[0] & drawn[1] | drawn[0] & drawn[2] | drawn[1] & drawn[2]
    assert TASK.draw("test", 7, 2, seed=3) == TASK.draw("test", 0, 9, seed=0)[7:]


def test_what_is_said_is_what_is_read():
    assert TASK.parse("#### 12") == "12"
    assert TASK.parse("No answer.") is None


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_environments_loop_plays_the_line_of_the_tree(schedule):
    rules, controller = Rules(schedule=schedule), RandomSpeech(p=0.6)
    utility = Utility(price_of_speech=0.3, rounds=5, max_new_tokens=100)
    env = controller_env(
        TabularActor(SPEAKER), task=TASK, schedule=schedule, price_of_speech=0.3, max_new_tokens=100, infoset="paper"
    )
    for index in range(40):
        question = tabular_question(index)
        tree = expand([Episode(question=question, seed=index)], rules, SPEAKER, TASK.grade)[0]
        (line,) = play([tree], controller)
        env.reset(seed=index, options={"question": question.text, "gold": question.gold})
        total = 0.0
        for agent in env.agent_iter():
            observation, reward, termination, truncation, info = env.last()
            total += float(reward) * (agent == "controller_0")
            action = None
            if not (termination or truncation):
                speak = control_uniform(info["seed"], info["prefix"]) < 0.6
                action = int(speak or not observation["action_mask"][0])
            env.step(action)
        assert env.unwrapped.dialogue.turns == line.turns
        assert total == pytest.approx(float(utility(tree.right(line), line.generated_tokens)))
    assert np.isfinite(total)
