"""The debate with its speakers folded in."""

import pytest
from pettingzoo.utils.wrappers import TerminateIllegalWrapper

from tracer_env import debate_v0
from tracer_env.errors import ConfigError, IllegalMove, InvalidAction
from tracer_env.seeding import speak_seed, stream
from tracer_env.testing import check_dialogue_env


def speak(observation, info):
    """A stateless speaker: all its randomness comes from the episode's seed and the mode prefix."""
    rng = stream(info["seed"], info["agent"], info["prefix"])
    if info["role"] == "proposer":
        return f"#### {rng.integers(5, 9)}"
    return "Verdict: RIGHT" if rng.random() < 0.5 else "Verdict: WRONG"


class Recorder:
    """A speaker with the verb ``act`` that remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def act(self, observation, info):
        self.shown.append((observation, info))
        return speak(observation, info)


QUESTION = {"question": "How many?", "gold": "7"}


@pytest.mark.parametrize("schedule", ["rotate", "parity"])
@pytest.mark.parametrize("infoset", ["paper", "consensus", "recall"])
@pytest.mark.parametrize("n_agents", [1, 2, 3, 5])
def test_passes_pettingzoo_suite(suite, schedule, infoset, n_agents):
    shape = {"schedule": schedule, "infoset": infoset, "n_agents": n_agents}
    suite.api_test(debate_v0.controller_env(speak, **shape))
    suite.seed_test(lambda: debate_v0.controller_env(speak, **shape))
    suite.parallel_api_test(debate_v0.controller_parallel_env(speak, **shape))
    suite.render_test(lambda render_mode: debate_v0.controller_env(speak, render_mode=render_mode, **shape))


def test_without_infos_it_is_the_same_game(suite):
    suite.api_test(debate_v0.WithoutInfos(debate_v0.controller_env(speak)))
    told, untold = debate_v0.controller_env(speak), debate_v0.WithoutInfos(debate_v0.controller_env(speak))
    for env in (told, untold):
        env.reset(seed=3)
    for _ in range(5):
        assert told.infos[told.agent_selection]["role"] in ("proposer", "reviewer")
        assert untold.infos == {"controller_0": {}, "controller_1": {}}
        assert untold.last()[4] == {}
        for env in (told, untold):
            env.step(1)
    assert told.last()[1:4] == untold.last()[1:4]
    assert told.last()[2]


def test_without_infos_forks_are_independent_and_have_none_either():
    env = debate_v0.WithoutInfos(debate_v0.controller_env(speak))
    env.reset(seed=3)

    twin = env.fork()
    twin.step(1)

    assert isinstance(twin, debate_v0.WithoutInfos)
    assert (env.unwrapped.dialogue.round, twin.unwrapped.dialogue.round) == (1, 2)


def test_keeps_the_contract():
    report = check_dialogue_env(lambda: debate_v0.controller_env(speak, render_mode="ansi"), episodes=60)
    assert report.forks == 60
    assert min(report.utilities) < 0 < max(report.utilities)


def test_gives_the_same_dialogues_as_the_whole_environment():
    modes = [1, 1, 1, 0, 1]
    whole, folded = debate_v0.env(rounds=5), debate_v0.controller_env(speak, rounds=5)
    whole.reset(seed=3, options=QUESTION)
    folded.reset(seed=3, options=QUESTION)
    script = iter(modes)
    for agent in whole.agent_iter():
        observation, reward, done, _, info = whole.last()
        if agent == "controller_0" and done:
            utility = reward
        whole.step(None if done else next(script) if "infoset" in info else speak(observation, info))
    for mode in modes:
        folded.step(mode)
    assert folded.unwrapped.dialogue == whole.unwrapped.dialogue
    assert {folded.last()[1], folded.rewards["controller_1"]} == {utility}
    assert folded.possible_agents == ["controller_0", "controller_1"]


def test_speakers_are_shown_texts_and_where_they_are():
    recorder = Recorder()
    env = debate_v0.controller_env(recorder)
    env.reset(seed=3, options=QUESTION)
    env.step(1)
    env.step(1)
    (first, first_info), (second, second_info) = recorder.shown
    assert first == {"question": "How many?", "solution": "", "review": "", "round": 1}
    place = {"round": 1, "agent": 0, "role": "proposer", "prefix": "", "seed": 3}
    assert first_info == {**place, "noise_seed": speak_seed(3, "")}
    assert second["solution"].startswith("#### ")
    assert (second_info["role"], second_info["agent"], second_info["prefix"]) == ("reviewer", 1, "1")


def test_failing_speaker_leaves_the_episode_as_it_was():
    replies = iter([None, "#### 7"])
    env = debate_v0.controller_env(lambda observation, info: next(replies))
    env.reset(seed=0)
    with pytest.raises(InvalidAction, match="proposer_0 must speak"):
        env.step(1)
    assert env.agent_selection == "controller_0"
    assert env.unwrapped.dialogue.turns == ()
    env.step(1)
    assert env.unwrapped.dialogue.answer == "7"


def test_masked_and_late_moves_are_illegal():
    env = debate_v0.controller_env(speak, rounds=1).unwrapped
    env.reset(seed=0)
    with pytest.raises(IllegalMove, match="forced"):
        env.step(0)
    env.step(1)
    env.step(None)
    env.step(None)
    with pytest.raises(IllegalMove, match="reset"):
        env.step(None)


def test_spaces_stay_the_same_objects_while_it_is_played():
    env = debate_v0.controller_env(speak)
    env.reset(seed=0)
    action_space, observation_space = env.action_space("controller_0"), env.observation_space("controller_0")
    env.step(1)
    assert env.action_space("controller_0") is action_space
    assert env.observation_space("controller_0") is observation_space
    assert env.fork().action_space("controller_0") is not action_space


def test_parallel_pays_the_utility_in_the_last_step():
    env = debate_v0.controller_parallel_env(speak, rounds=3)
    _, infos = env.reset(seed=1, options=QUESTION)
    paid = []
    while env.agents:
        active = infos[env.agents[0]]["active_agent"]
        _, rewards, *_, infos = env.step({active: 1})
        paid.append(rewards)
    assert [set(rewards.values()) == {0.0} for rewards in paid] == [True, True, False]
    assert paid[-1]["controller_0"] == paid[-1]["controller_1"]


def test_works_with_pettingzoo_wrappers_and_forks_below_them():
    env = TerminateIllegalWrapper(debate_v0.controller_env(speak), illegal_reward=-1)
    env.reset(seed=0)
    env.step(1)
    fork = debate_v0.fork(env)
    fork.step(1)
    assert isinstance(fork, TerminateIllegalWrapper)
    assert len(fork.unwrapped.dialogue.turns) == 2
    assert len(env.unwrapped.dialogue.turns) == 1


def test_human_mode_prints_rounds(capsys):
    env = debate_v0.controller_env(lambda observation, info: "#### 7", rounds=1, render_mode="human")
    env.reset(seed=0)
    assert "question" in capsys.readouterr().out
    env.step(1)
    assert "answer 7" in capsys.readouterr().out


def test_speakers_must_speak():
    with pytest.raises(ConfigError, match="speakers must be a callable"):
        debate_v0.controller_env("not a speaker")
