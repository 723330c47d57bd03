"""The shipped conformance check: it passes the environment in every shape, and catches every kind of breach."""

from functools import partial

import numpy as np
import pytest

from tracer_env import debate_v0
from tracer_env.beliefs import FEATURES, Belief
from tracer_env.errors import ConformanceError
from tracer_env.testing import check_dialogue_env


@pytest.mark.parametrize("schedule", ["rotate", "parity"])
@pytest.mark.parametrize("infoset", ["paper", "consensus", "recall", "belief"])
@pytest.mark.parametrize("n_agents", [1, 2, 3, 5])
def test_every_shape_keeps_the_contract(schedule, infoset, n_agents):
    make = partial(debate_v0.env, schedule=schedule, infoset=infoset, n_agents=n_agents, render_mode="ansi")
    report = check_dialogue_env(make, episodes=12, seed=n_agents)
    assert report.episodes == 12
    assert report.turns >= 12 * (6 + 3 * n_agents)
    assert report.refused >= report.turns
    assert min(report.utilities) < -0.9


@pytest.mark.parametrize("answer_rule", ["pending", "plurality", "belief"])
@pytest.mark.parametrize("revisions", [True, False])
def test_every_answer_rule_and_view_keeps_the_contract(answer_rule, revisions):
    belief = Belief(intercept=0.5, coefficients=tuple(0.1 * n for n in range(len(FEATURES))), edges=(0.4, 0.6, 0.8))
    make = partial(
        debate_v0.env,
        infoset="belief",
        answer_rule=answer_rule,
        belief=belief,
        revisions=revisions,
        sharing="view",
        signals=True,
        render_mode="ansi",
    )
    assert check_dialogue_env(make, episodes=12, seed=0).episodes == 12


def test_a_thousand_episodes_keep_the_contract():
    report = check_dialogue_env(partial(debate_v0.env, render_mode="ansi"), episodes=1000)
    assert (report.episodes, report.forks) == (1000, 1000)
    assert min(report.utilities) < -0.9 < 0.9 < max(report.utilities)


def test_longer_dialogues_with_forced_proposals_keep_the_contract():
    check_dialogue_env(partial(debate_v0.raw_env, rounds=9, force_on_unparsed=True), episodes=30)


class LeakyInfo(debate_v0.raw_env):
    def _inform(self):
        super()._inform()
        self.infos[self.agent_selection]["gold"] = self._gold


class LeakyRepr(debate_v0.raw_env):
    def __repr__(self):
        return f"raw_env(gold={self._gold})"


class LeakyRendering(debate_v0.raw_env):
    def render(self):
        return f"{super().render()} {self._gold}"


class SharedInfos(debate_v0.raw_env):
    def fork(self):
        twin = super().fork()
        twin.infos = self.infos
        return twin


class SharedInfo(debate_v0.raw_env):
    def fork(self):
        twin = super().fork()
        twin.infos = dict(self.infos)
        return twin


class SharedRewards(debate_v0.raw_env):
    def fork(self):
        twin = super().fork()
        twin._cumulative_rewards = self._cumulative_rewards
        return twin


class SharedSpaces(debate_v0.raw_env):
    def fork(self):
        twin = super().fork()
        twin.__dict__["_action_spaces"] = self._action_spaces
        return twin


class SharedFeatures(debate_v0.raw_env):
    def observe(self, agent):
        seen = super().observe(agent)
        return {**seen, "observation": self._features()} if "observation" in seen else seen


class LooseMask(debate_v0.raw_env):
    def observe(self, agent):
        seen = super().observe(agent)
        return {**seen, "action_mask": np.ones(2, np.int8)} if "action_mask" in seen else seen


class LooseAction(debate_v0.raw_env):
    def _mode(self, action):
        return super()._mode(action if action in (0, 1) else 1)


class HalfStep(debate_v0.raw_env):
    def step(self, action):
        self.infos[self.agent_selection] = {}
        super().step(action)


class EarlyUtility(debate_v0.raw_env):
    def _paid(self, state):
        return dict.fromkeys(self._controllers, 1.0) | super()._paid(state)


class PaidBystander(debate_v0.raw_env):
    def _paid(self, state):
        return super()._paid(state) | {"reviewer_0": 0.5}


class UnequalUtility(debate_v0.raw_env):
    def _paid(self, state):
        paid = super()._paid(state)
        return paid | {"controller_1": 5.0} if "controller_1" in paid else paid


class OddProposerPay(debate_v0.raw_env):
    def _paid(self, state):
        return {agent: 0.5 * reward for agent, reward in super()._paid(state).items()}


class UncollectedReward(debate_v0.raw_env):
    def _settle(self, paid, following):
        kept = self._cumulative_rewards[self.agent_selection]
        agent = self.agent_selection
        super()._settle(paid, following)
        self._cumulative_rewards[agent] += kept


class LastAgentOnly(debate_v0.raw_env):
    def _settle(self, paid, following):
        super()._settle(paid, following)
        if following is None:
            self.agent_selection = self.agents[-1]


class UnseededQuestions(debate_v0.raw_env):
    calls = 0

    def _posed(self, seed, options):
        UnseededQuestions.calls += 1
        return super()._posed(seed + UnseededQuestions.calls, options)


class LongObservation(debate_v0.raw_env):
    def observe(self, agent):
        seen = super().observe(agent)
        return {**seen, "round": 99} if "round" in seen else seen


@pytest.mark.parametrize(
    ("broken", "breach"),
    [
        (LeakyInfo, "the gold answer leaked"),
        (LeakyRepr, "the gold answer leaked"),
        (LeakyRendering, "the gold answer leaked"),
        (SharedInfos, "changed its parent"),
        (SharedInfo, "changed its parent"),
        (SharedRewards, "changed its parent"),
        (SharedSpaces, "shares the space"),
        (SharedFeatures, "shared with the environment|changed its parent"),
        (LooseMask, "the mask of controller_1"),
        (LooseAction, "was allowed the action"),
        (HalfStep, "changed the environment"),
        (EarlyUtility, "for nothing"),
        (PaidBystander, "for nothing|for a review"),
        (UnequalUtility, "different utilities"),
        (OddProposerPay, "for a solution"),
        (UncollectedReward, "received"),
        (LastAgentOnly, "out of order"),
        (UnseededQuestions, "played again"),
        (LongObservation, "its space lacks"),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else None,
)
def test_catches_breach(broken, breach):
    with pytest.raises(ConformanceError, match=rf"episode \d+ of seed 0: .*({breach})"):
        check_dialogue_env(lambda: broken(render_mode="ansi"), episodes=30)


def test_catches_a_fork_without_its_wrappers():
    class Unwrapping(type(debate_v0.env())):
        def fork(self):
            return self.env.fork()

    with pytest.raises(ConformanceError, match="a fork of Unwrapping is a raw_env"):
        check_dialogue_env(lambda: Unwrapping(debate_v0.raw_env()), episodes=1)


def test_speech_can_be_chosen():
    report = check_dialogue_env(debate_v0.env, episodes=9, speak=lambda rng: "#### 7")
    assert max(report.utilities) > 0.9
