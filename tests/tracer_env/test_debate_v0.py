"""The debate as a PettingZoo environment: its API, seeds, texts, rewards, forks and parallel conversion."""

import copy
import inspect
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pettingzoo
import pytest
from pettingzoo.utils import BaseWrapper

from tracer_env import debate_v0
from tracer_env.beliefs import FEATURES
from tracer_env.dialogue import Mode, Verdict
from tracer_env.errors import ConfigError, DataError, IllegalMove, InvalidAction
from tracer_env.seeding import speak_seed
from tracer_env.spaces import SpokenText
from tracer_env.tasks.base import Grade, Question

SHAPES = [
    {"schedule": schedule, "infoset": infoset, "n_agents": n_agents}
    for schedule in ("rotate", "parity")
    for infoset in ("paper", "consensus", "recall", "belief")
    for n_agents in (1, 2, 3, 5)
]


class Exam:
    """A task with a handful of questions that counts how often it grades."""

    name = "exam"
    trainable = True

    def __init__(self, n_questions: int = 3, text: str = "What is") -> None:
        self.n_questions, self.text, self.graded = n_questions, text, []

    def draw(self, split, start, count, *, seed):
        numbers = range(start, min(start + count, self.n_questions))
        return [Question(id=str(i), text=f"{self.text} {i}?", gold=str(i)) for i in numbers]

    def parse(self, completion):
        return completion.removeprefix("answer ") if completion.startswith("answer ") else None

    def grade(self, answers, golds):
        self.graded += answers
        return [Grade.RIGHT if a == g else Grade.WRONG for a, g in zip(answers, golds, strict=True)]


def play(env, actions):
    """Plays a script through ``agent_iter`` and returns (agent, reward received, finished) of every turn."""
    script, received = iter(actions), []
    for agent in env.agent_iter():
        _, reward, terminated, truncated, _ = env.last()
        received.append((agent, reward, terminated or truncated))
        env.step(None if terminated or truncated else next(script))
    return received


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "-".join(map(str, shape.values())))
def test_passes_pettingzoo_suite(suite, shape):
    suite.api_test(debate_v0.env(**shape))
    suite.api_test(debate_v0.raw_env(**shape))
    suite.seed_test(lambda: debate_v0.env(**shape))
    suite.parallel_api_test(debate_v0.parallel_env(**shape))
    suite.render_test(lambda render_mode: debate_v0.env(render_mode=render_mode, **shape))


@pytest.mark.filterwarnings(r"ignore:Observation is a single number$:UserWarning")  # nothing to know in one round
def test_one_round_passes_pettingzoo_suite(suite):
    suite.api_test(debate_v0.env(rounds=1, infoset="recall"))


def test_registered_in_both_registries():
    aec = pettingzoo.make("aec", "tracer/debate_v0", n_agents=3)
    parallel = pettingzoo.make("parallel", "tracer/debate_v0", rounds=3)
    assert str(aec) == "debate_v0"
    assert len(aec.possible_agents) == 9
    assert isinstance(parallel, pettingzoo.ParallelEnv)
    assert "is_parallelizable" not in aec.metadata


def test_import_is_light_and_registers_once():
    code = (
        "import importlib, sys, tracer_env, tracer_env.debate_v0\n"
        "tracer_env.debate_v0.env().reset(seed=0)\n"
        "importlib.reload(tracer_env)\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'math_verify', 'httpx'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr, done.returncode) == ("[]", "", 0)


def test_agents_take_turns_by_the_rules():
    env = debate_v0.env(n_agents=2, rounds=3, task=Exam())
    env.reset(seed=0)
    assert env.possible_agents == [f"{p}_{i}" for i in (0, 1) for p in ("controller", "proposer", "reviewer")]
    order = [agent for agent, _, finished in play(env, [1, "answer 0", 1, "Verdict: RIGHT", 0]) if not finished]
    assert order == ["controller_0", "proposer_0", "controller_1", "reviewer_1", "controller_1"]


def test_rewards_arrive_where_the_page_says():
    env = debate_v0.env(rounds=3, task=Exam(), price_of_speech=0.5, max_new_tokens=10)
    env.reset(seed=2)  # gold "2"
    received = play(env, [1, "answer 1", 1, "Verdict: WRONG", 1, "answer 2"])
    utility = 1.0 - 0.5 * (2 + 2 + 2) / 30  # two words each
    assert received == [
        ("controller_0", 0.0, False),
        ("proposer_0", 0.0, False),
        ("controller_1", 0.0, False),
        ("reviewer_1", 0.0, False),
        ("controller_1", 0.0, False),
        ("proposer_1", 0.0, False),
        ("controller_0", pytest.approx(utility), True),
        ("proposer_0", -1.0, True),
        ("reviewer_0", 0.0, True),
        ("controller_1", pytest.approx(utility), True),
        ("proposer_1", 1.0, True),
        ("reviewer_1", 1.0, True),
    ]


def test_speaker_collects_earlier_reward_when_next_selected():
    env = debate_v0.env(n_agents=1, rounds=3, task=Exam())
    env.reset(seed=2)
    received = play(env, [1, "answer 2", 0, 1, "no answer"])
    assert [reward for agent, reward, _ in received if agent == "proposer_0"] == [0.0, 1.0, -1.0]


def test_utility_is_minus_one_without_an_answer_and_free_speech_costs_nothing():
    env = debate_v0.env(rounds=1, task=Exam(), price_of_speech=0.0)
    env.reset(seed=1)
    rewards = dict((agent, reward) for agent, reward, done in play(env, [1, "dunno"]) if done)
    assert rewards["controller_0"] == rewards["controller_1"] == -1.0


def test_each_distinct_answer_is_graded_once_an_episode():
    task = Exam()
    env = debate_v0.env(task=task)
    env.reset(seed=1)
    play(env, [1, "answer 4", 1, "Verdict: WRONG", 1, "answer 4", 1, "Verdict: WRONG", 1, "nothing"])
    assert task.graded == ["4"]
    env.reset(seed=2)
    play(env, [1, "answer 4", 0, 0, 0, 0])
    assert task.graded == ["4", "4"]


def test_infos_of_who_acts_name_everything_a_stateless_policy_needs():
    env = debate_v0.env(task=Exam())
    env.reset(seed=7)
    assert env.infos["controller_0"] == {
        "round": 1, "agent": 0, "role": "proposer", "prefix": "", "seed": 7, "infoset": (0, 5, 0, 0, 0, 0)
    }  # fmt: skip
    env.step(1)
    assert env.infos["proposer_0"] == {
        "round": 1, "agent": 0, "role": "proposer", "prefix": "", "seed": 7, "noise_seed": speak_seed(7, "")
    }  # fmt: skip
    env.step("answer 7")
    env.step(0)
    assert env.infos["controller_1"]["prefix"] == "10"
    assert [agent for agent, info in env.infos.items() if info] == ["controller_1"]


def test_speaker_sees_question_pending_solution_and_its_last_review():
    env = debate_v0.env(task=Exam(), rounds=7)
    env.reset(seed=2)
    for action in (1, "answer 1", 1, "first review", 0, 1, "second review", 1):
        env.step(action)
    assert env.observe("proposer_0") == {
        "question": "What is 2?", "solution": "answer 1", "review": "second review", "round": 5
    }  # fmt: skip
    env.step("answer 2")
    assert env.observe("reviewer_1") == {"question": "What is 2?", "solution": "answer 2", "review": "", "round": 6}


def test_controller_features_are_those_of_the_infoset():
    env = debate_v0.raw_env(task=Exam())
    env.reset(seed=2)
    for action in (1, "answer 2", 1, "Verdict: RIGHT"):
        env.step(action)
    key = env.infos["controller_1"]["infoset"]
    np.testing.assert_array_equal(env.observe("controller_1")["observation"], env.infosets.features(key))
    assert env.observe("controller_0")["action_mask"].tolist() == [0, 0]
    assert env.observe("controller_1")["action_mask"].tolist() == [1, 1]


def test_signals_are_what_is_known_of_the_pending_answer():
    env = debate_v0.raw_env(task=Exam(), signals=True)
    env.reset(seed=2)
    for action in (1, SpokenText("answer 2", generated_tokens=3, mean_logp=-0.5), 1, SpokenText("Right.", p_right=0.9)):
        env.step(action)

    signals = dict(zip(FEATURES, env.observe("controller_1")["signals"].tolist(), strict=True))

    assert (signals["mean logp"], signals["logp known"], signals["chance known"]) == (-0.5, 1, 1)
    assert signals["mean logit"] == pytest.approx(2.1972, abs=1e-4)
    assert env.observation_space("controller_1").contains(env.observe("controller_1"))


def test_a_team_is_paid_for_what_its_rule_answers():
    paid = {}
    for rule in ("pending", "plurality"):
        env = debate_v0.env(task=Exam(), answer_rule=rule, price_of_speech=0)
        env.reset(seed=2)
        turns = play(env, [1, "answer 2", 0, 1, "answer 2", 0, 1, "answer 1"])
        paid[rule] = [reward for agent, reward, over in turns if over and agent == "controller_0"]
    assert paid == {"pending": [-1.0], "plurality": [1.0]}


def test_independent_proposers_see_no_review():
    env = debate_v0.env(task=Exam(), revisions=False)
    env.reset(seed=2)
    for action in (1, "answer 1", 1, "Verdict: WRONG", 1):
        env.step(action)
    assert env.observe("proposer_1")["review"] == ""


def test_noise_shared_by_view_is_that_of_what_the_speaker_sees():
    env = debate_v0.env(task=Exam(), revisions=False, sharing="view")
    seeds = []
    for reviewed in (True, False):
        env.reset(seed=2)
        for action in (1, "answer 1", *((1, "Verdict: WRONG") if reviewed else (0,)), 1):
            env.step(action)
        seeds.append(env.infos["proposer_1"]["noise_seed"])
    env.reset(seed=2)
    env.step(1)
    assert len(set(seeds)) == 1
    assert env.infos["proposer_0"]["noise_seed"] not in seeds


def test_features_beyond_the_memo_are_the_same(monkeypatch):
    kept, forgotten = debate_v0.raw_env(task=Exam()), debate_v0.raw_env(task=Exam())
    kept.reset(seed=0)
    monkeypatch.setattr("tracer_env.env.MEMO", 0)
    forgotten.reset(seed=0)
    seen = [env.observe("controller_0")["observation"] for env in (kept, forgotten)]
    np.testing.assert_array_equal(*seen)


class TestSeedsAndOptions:
    def test_seed_plays_its_question_and_a_finite_split_is_taken_round(self):
        env = debate_v0.env(task=Exam(n_questions=5))
        posed = []
        for seed in (0, 4, 5, 2**31 + 1, 12):
            env.reset(seed=seed)
            posed.append(env.unwrapped.dialogue.question)
        assert posed == [f"What is {i}?" for i in (0, 4, 0, 1, 2)]

    @pytest.mark.parametrize("n_questions", [1, 2, 3, 7, 8, 100])
    def test_seeds_below_n_play_every_question_once(self, n_questions):
        env = debate_v0.env(task=Exam(n_questions))
        posed = set()
        for seed in range(n_questions, 2 * n_questions):
            env.reset(seed=seed)
            posed.add(env.unwrapped.dialogue.question)
        assert len(posed) == n_questions

    def test_unseeded_resets_follow_from_the_last_seed(self):
        def fresh(env):
            seeds = []
            for _ in range(4):
                env.reset()
                seeds.append(env.unwrapped.episode_seed)
            return seeds

        first, second, other = debate_v0.env(), debate_v0.env(), debate_v0.env()
        unseeded = fresh(first)
        first.reset(seed=3)
        second.reset(seed=np.int64(3))
        other.reset(seed=4)
        after = fresh(first)
        assert after == fresh(second)
        assert len({*unseeded, *after, *fresh(other)}) == 12

    def test_own_question_and_ignored_options(self):
        env = debate_v0.env()
        env.reset(seed=1, options={"question": "Six times seven?", "gold": "42", "colour": "blue"})
        received = play(env, [1, "#### 42", 0, 0, 0, 0])
        assert ("proposer_0", 1.0, True) in received
        env.reset(seed=1, options={"options": 1})
        assert env.unwrapped.dialogue.question != "Six times seven?"

    @pytest.mark.parametrize(
        "options",
        [
            {"question": "Why?"},
            {"gold": "1"},
            {"question": 1, "gold": "1"},
            {"question": "Why?", "gold": 1},
            {"question": "a\0b", "gold": "1"},
            {"question": "x" * 100, "gold": "1"},
        ],
    )
    def test_unusable_options_are_refused(self, options):
        env = debate_v0.env(max_chars=99)
        with pytest.raises(ConfigError, match="'question' and 'gold'"):
            env.reset(options=options)

    @pytest.mark.parametrize("seed", [-1, 1.5, "7"])
    def test_wrong_seed_is_refused(self, seed):
        with pytest.raises(ConfigError, match="seed must be an integer"):
            debate_v0.env().reset(seed=seed)

    def test_empty_split_is_named(self):
        with pytest.raises(DataError, match="'exam' has no questions in its 'test' split"):
            debate_v0.env(task=Exam(0), split="test").reset(seed=0)

    def test_question_that_does_not_fit_is_named(self):
        with pytest.raises(DataError, match=r"question '0' .* max_chars=10"):
            debate_v0.env(task=Exam(text="Whatever is the value of"), max_chars=10).reset(seed=0)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("n_agents", 0), ("rounds", 4), ("schedule", "random"), ("infoset", "all"), ("split", "dev"),
            ("price_of_speech", -1), ("max_new_tokens", 0), ("max_chars", 0), ("max_chars", True),
            ("render_mode", "rgb_array"),
        ],
    )  # fmt: skip
    def test_wrong_argument_is_named(self, field, value):
        with pytest.raises(ConfigError, match=field):
            debate_v0.env(**{field: value})


class TestActions:
    @pytest.fixture
    def env(self):
        env = debate_v0.raw_env(task=Exam(), max_chars=20, count_tokens=len)
        env.reset(seed=1)
        return env

    @pytest.mark.parametrize("action", ["1", None, 2, -1, 0.5, [1], np.ones(2, int)])
    def test_controller_takes_modes_only(self, env, action):
        with pytest.raises(InvalidAction, match="controller_0 must act: a mode"):
            env.step(action)
        assert env.agent_selection == "controller_0"

    @pytest.mark.parametrize("action", [1, np.int32(1), np.int8(1), True, Mode.SPEAK])
    def test_controller_takes_any_integer(self, env, action):
        env.step(action)
        assert env.agent_selection == "proposer_0"

    def test_masked_mode_is_illegal_and_changes_nothing(self, env):
        with pytest.raises(IllegalMove, match="speaking is forced"):
            env.step(0)
        assert env.dialogue.turns == ()
        assert env.agent_selection == "controller_0"

    @pytest.mark.parametrize("action", [0, None, b"text", ["text"], 3.0])
    def test_speaker_takes_text_only(self, env, action):
        env.step(1)
        with pytest.raises(InvalidAction, match="proposer_0 must speak: a text"):
            env.step(action)
        assert env.dialogue.speaking

    def test_error_about_a_huge_action_is_short(self, env):
        with pytest.raises(InvalidAction) as caught:
            env.step("x" * 1_000_000)
        assert len(str(caught.value)) < 200

    @pytest.mark.parametrize(
        ("said", "kept", "finish"),
        [
            ("x" * 21, "x" * 20, "length"),
            ("x" * 20, "x" * 20, "stop"),
            ("a\0b", "a\ufffdb", "stop"),
            ("a\ud800b\udfff", "a\ufffdb\ufffd", "stop"),
            ("😀 é", "😀 é", "stop"),
            ("", "", "stop"),
        ],
    )
    def test_unruly_text_is_made_usable(self, env, said, kept, finish):
        env.step(1)
        env.step(said)
        utterance = env.dialogue.turns[0].utterance
        assert (utterance.text, utterance.finish_reason, utterance.generated_tokens) == (kept, finish, len(kept))
        assert env.observation_space("reviewer_1").contains(env.observe("reviewer_1"))

    def test_spoken_text_is_believed(self, env):
        env.step(1)
        env.step(SpokenText("answer 1", generated_tokens=9, prompt_tokens=30, finish_reason="length"))
        said = env.dialogue.turns[0].utterance
        assert (said.generated_tokens, said.prompt_tokens, said.finish_reason) == (9, 30, "length")
        assert type(said.text) is str
        env.step(1)
        env.step(SpokenText("verdict: right"))
        said = env.dialogue.turns[1].utterance
        assert (said.generated_tokens, said.verdict) == (14, Verdict.RIGHT)

    def test_signals_are_kept_and_are_unknown_of_plain_text(self, env):
        for action in (1, SpokenText("answer 1", mean_logp=-0.25), 1, SpokenText("verdict: right", p_right=0.75)):
            env.step(action)
        proposal, review = (turn.utterance for turn in env.dialogue.turns)
        assert (proposal.mean_logp, proposal.p_right) == (-0.25, None)
        assert (review.mean_logp, review.p_right) == (None, 0.75)
        for action in (1, "answer 2"):
            env.step(action)
        plain = env.dialogue.turns[2].utterance
        assert (plain.mean_logp, plain.p_right) == (None, None)

    @pytest.mark.parametrize("revisions", [True, False])
    def test_reviews_are_seen_where_there_are_revisions(self, revisions):
        env = debate_v0.env(rounds=3, revisions=revisions)
        env.reset(seed=0)
        for action in (1, "answer 1", 1, "verdict: wrong", 1):
            env.step(action)
        assert env.observe("proposer_1")["review"] == ("verdict: wrong" if revisions else "")
        assert env.observe("proposer_1")["solution"] == "answer 1"
        assert env.unwrapped.rules.revisions is revisions

    def test_finished_agents_take_none_only(self, env):
        for action in (1, "answer 1", 0, 0, 0, 0):
            env.step(action)
        with pytest.raises(InvalidAction, match="controller_0 has finished"):
            env.step(1)
        assert env.agents == env.possible_agents

    def test_nothing_can_be_played_after_the_end_or_before_reset(self, env):
        play(env, [1, "answer 1", 0, 0, 0, 0])
        with pytest.raises(IllegalMove, match=r"call reset\(\)"):
            env.step(None)
        with pytest.raises(IllegalMove, match=r"call reset\(\)"):
            debate_v0.raw_env().step(1)

    def test_failing_grader_leaves_the_episode_as_it_was(self, env, monkeypatch):
        env.step(1)

        def fail(answers, golds):
            raise RuntimeError("grader is down")

        monkeypatch.setattr(env.task, "grade", fail)
        with pytest.raises(RuntimeError, match="grader is down"):
            env.step("answer 1")
        monkeypatch.undo()
        assert env.dialogue.speaking
        env.step("answer 1")
        assert env.rewards["proposer_0"] == 1.0


class Labelled(BaseWrapper):
    """Somebody else's wrapper, with state of its own."""

    def __init__(self, env):
        super().__init__(env)
        self.labels = []

    def step(self, action):
        self.labels.append(action)
        super().step(action)


class TestForks:
    def test_fork_is_made_and_played_within_a_loop(self):
        env = debate_v0.env(task=Exam())
        env.reset(seed=1)
        for agent in env.agent_iter():
            if agent == "controller_1":
                break
            env.step(1 if agent == "controller_0" else "answer 1")
        fork = env.fork()
        assert type(fork) is type(env)
        assert ("proposer_0", 1.0, True) in play(fork, [0, 0, 0, 0])
        assert env.agent_selection == "controller_1"
        assert len(env.agents) == 6

    def test_fork_below_other_wrappers_keeps_them(self):
        env = Labelled(debate_v0.env(task=Exam()))
        env.reset(seed=1)
        env.step(1)
        fork = debate_v0.fork(env)
        fork.step("answer 1")
        assert isinstance(fork, Labelled)
        assert (env.labels, fork.labels) == ([1], [1, "answer 1"])
        assert env.agent_selection == "proposer_0"

    def test_fork_has_spaces_of_its_own(self):
        env = debate_v0.env()
        env.reset(seed=1)
        env.action_space("proposer_0").seed(5)
        expected = copy.deepcopy(env.action_space("proposer_0")).sample()
        fork = env.fork()
        for _ in range(3):
            fork.action_space("proposer_0").sample()
        assert env.action_space("proposer_0").sample() == expected
        assert fork.observation_space("controller_0") == env.observation_space("controller_0")

    def test_fork_draws_the_same_fresh_episodes_without_touching_its_parent(self):
        env = debate_v0.env()
        env.reset(seed=1)
        fork = env.fork()
        fork.reset()
        assert env.unwrapped.episode_seed == 1
        env.reset()
        assert env.unwrapped.episode_seed == fork.unwrapped.episode_seed

    def test_fork_before_reset(self):
        fork = debate_v0.env().fork()
        fork.reset(seed=0)
        assert fork.agent_selection == "controller_0"

    def test_only_our_environments_fork(self):
        with pytest.raises(TypeError, match="cannot fork"):
            debate_v0.fork(pettingzoo.AECEnv())

    def test_pickled_episode_goes_on(self):
        env = debate_v0.env()
        env.reset(seed=1)
        env.step(1)
        twin = pickle.loads(pickle.dumps(env))
        assert play(twin, ["#### 3", 0, 0, 0, 0])[1:] == play(env, ["#### 3", 0, 0, 0, 0])[1:]


class TestParallel:
    def test_only_the_active_agent_acts_and_reset_names_it(self):
        env = debate_v0.parallel_env(task=Exam(), rounds=3)
        observations, infos = env.reset(seed=2)
        assert {info["active_agent"] for info in infos.values()} == {"controller_0"}
        assert set(observations) == set(env.possible_agents)
        acted, total = [], dict.fromkeys(env.possible_agents, 0.0)
        script = {"controller_0": 1, "proposer_0": "answer 2", "controller_1": 0}
        while env.agents:
            acted.append(infos[env.agents[0]]["active_agent"])
            _, rewards, terminations, truncations, infos = env.step({**dict.fromkeys(env.agents, "?"), **script})
            for agent, reward in rewards.items():
                total[agent] += reward
        assert acted == ["controller_0", "proposer_0", "controller_1", "controller_1"]
        assert all(terminations.values())
        assert not any(truncations.values())
        assert not any("active_agent" in info for info in infos.values())
        assert total["proposer_0"] == 1.0
        assert total["controller_0"] == total["controller_1"] == pytest.approx(1 - 0.1 * 2 / (3 * 256))

    def test_infos_belong_to_the_caller(self):
        env = debate_v0.parallel_env()
        _, infos = env.reset(seed=0)
        assert "active_agent" not in env.aec_env.infos["controller_0"]
        infos["controller_0"].clear()
        assert env.aec_env.infos["controller_0"]["seed"] == 0

    def test_missing_action_names_the_agent_and_changes_nothing(self):
        env = debate_v0.parallel_env()
        env.reset(seed=0)
        with pytest.raises(InvalidAction, match="turn of controller_0"):
            env.step({"proposer_0": "hello"})
        with pytest.raises(IllegalMove):
            env.step({"controller_0": 0})
        assert env.step({"controller_0": 1})[4]["proposer_1"]["active_agent"] == "proposer_0"

    def test_step_after_the_end_returns_five_empty_dictionaries(self):
        env = debate_v0.parallel_env(rounds=1)
        env.reset(seed=0)
        env.step({"controller_0": 1})
        env.step({"proposer_0": "#### 1"})
        assert env.agents == []
        assert env.step({}) == ({}, {}, {}, {}, {})

    def test_fork_is_independent(self):
        env = debate_v0.parallel_env(rounds=1)
        before = env.fork()
        env.reset(seed=0)
        fork = env.fork()
        fork.step({"controller_0": 1})
        fork.step({"proposer_0": "#### 1"})
        assert fork.agents == []
        assert env.agents == env.possible_agents
        assert env.step({"controller_0": 1})[4]["proposer_0"]["active_agent"] == "proposer_0"
        before.reset(seed=1)
        assert len(before.agents) == 6


class TestRendering:
    def test_ansi_shows_the_dialogue_and_never_the_gold(self):
        env = debate_v0.env(render_mode="ansi", rounds=3, task=Exam())
        env.reset(seed=0, options={"question": "What \x1b[2J?", "gold": "a secret"})
        play(env, [1, "answer 5", 1, "Verdict: WRONG", 0])
        assert env.render() == (
            "Question: What \\x1b[2J?\n"
            "[1] agent 0 proposer: speak, forced (answer 5; 2 tokens)\n"
            "    answer 5\n"
            "[2] agent 1 reviewer: speak (verdict WRONG; 2 tokens)\n"
            "    Verdict: WRONG\n"
            "[3] agent 1 proposer: skip\n"
            "Team's answer: 5 (4 tokens)"
        )
        assert "a secret" not in env.render() + repr(env) + repr(env.unwrapped)

    def test_render_without_a_mode_warns(self):
        env = debate_v0.env()
        env.reset(seed=0)
        with pytest.warns(UserWarning, match="needs a render_mode"):
            assert env.render() is None


ARGUMENTS = inspect.signature(debate_v0.raw_env).parameters
PAGE = Path(__file__).parents[2] / "docs/reference/environment.md"


def arguments_table(text: str) -> list[list[str]]:
    """The cells of the rows of a page's table of arguments, without code marks."""
    section = re.split(r"^##+ ", text.partition("## Arguments\n")[2], flags=re.M)[0]
    rows = re.findall(r"^\| `+(\w+)`+ \| (.*?) \| (.*) \|$", section, flags=re.M)
    return [[cell.strip("`") for cell in row] for row in rows]


def test_the_module_page_has_every_argument_once():
    names = [name for name, *_ in arguments_table(str(debate_v0.__doc__))]

    assert sorted(names) == sorted(ARGUMENTS)


def test_the_environment_page_has_every_argument_with_its_default():
    shown = {name: default for name, default, _ in arguments_table(PAGE.read_text("utf-8"))}
    defaults = {name: argument.default for name, argument in ARGUMENTS.items()}
    written = {name: getattr(each, "__name__", repr(each).replace("'", '"')) for name, each in defaults.items()}

    assert shown == written


def test_the_environment_page_says_how_wide_observations_are():
    row = r"^\| `\"(paper|consensus|recall)\"` \| (\d+), (\d+), (\d+) \|"
    rows = re.findall(row, PAGE.read_text("utf-8"), flags=re.M)

    assert [name for name, *_ in rows] == ["paper", "consensus", "recall"]
    for name, *widths in rows:
        for rounds, width in zip((3, 5, 7), widths, strict=True):
            space = debate_v0.raw_env(infoset=name, rounds=rounds).observation_space("controller_0")
            assert space["observation"].shape == (int(width),)
