"""A team as policies of the PettingZoo loop, apart from any trained run."""

import pytest
import torch

from tracer_agents.build import build
from tracer_agents.config import load_config
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.errors import RunError
from tracer_agents.rollout.tree import rollout
from tracer_agents.runs.controllers import load_controller
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_agents.training.trainer import Trainer
from tracer_agents.types import Episode
from tracer_env.infosets import Infosets
from tracer_env.tasks.base import Question


@pytest.fixture(scope="module")
def team(small_settings) -> Team:
    config = load_config(overrides=small_settings)
    infosets = Infosets(config.dialogue.infoset, config.rules)
    return Team(config, build(config), TabularController.uniform(infosets))


def play(team: Team, env, seed: int) -> list[str | None]:
    env.reset(seed=seed)
    for _ in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        env.step(None if terminated or truncated else team.act(observation, info))
    return [turn.utterance.text if turn.utterance else None for turn in env.unwrapped.dialogue.turns]


def test_the_team_keeps_no_state_between_calls(team):
    """Two environments played in turns say what each says alone."""
    alone = [play(team, team.env(), seed) for seed in (3, 4)]
    envs = [team.env(), team.env()]
    for env, seed in zip(envs, (3, 4), strict=True):
        env.reset(seed=seed)
    while any(env.agents for env in envs):
        for env in envs:
            if env.agents:
                observation, _, terminated, truncated, info = env.last()
                env.step(None if terminated or truncated else team.act(observation, info))
    together = [
        [turn.utterance.text if turn.utterance else None for turn in env.unwrapped.dialogue.turns] for env in envs
    ]
    assert together == alone
    assert alone[0] != alone[1]


def test_a_fork_hears_the_same_after_the_same_modes(team):
    env = team.env()
    env.reset(seed=5)
    for _ in range(2):  # the forced first proposal
        observation, _, _, _, info = env.last()
        env.step(team.act(observation, info))
    twin = env.fork()
    for one in (env, twin):
        for _ in one.agent_iter():
            observation, _, terminated, truncated, info = one.last()
            one.step(None if terminated or truncated else team.act(observation, info))
    assert env.unwrapped.dialogue == twin.unwrapped.dialogue


def test_the_environment_is_the_one_trained_for_unless_overridden(team):
    env = team.env(price_of_speech=0.7, render_mode="ansi")
    raw = env.unwrapped
    assert raw.rules == team.config.rules
    assert raw.infosets.name == team.config.dialogue.infoset
    assert raw.utility.price_of_speech == 0.7
    assert raw.utility.max_new_tokens == team.config.limits.longest
    assert raw.render_mode == "ansi"
    assert team.env().unwrapped.utility == team.config.utility


def test_loading_needs_a_run_with_a_checkpoint(small_config, tmp_path):
    with pytest.raises(RunError, match=r"no config\.yaml"):
        Team.load(tmp_path)
    with RunDirectory.create(tmp_path, small_config()):
        pass
    with pytest.raises(RunError, match="no checkpoint"):
        Team.load(tmp_path)


def test_a_strategy_chosen_on_validation_is_known_once_the_run_has_ended(small_config, tmp_path):
    config = small_config({"controllers.play": "validated"})
    trainer = Trainer(config, build(config))
    trainer.step(1)
    with RunDirectory.create(tmp_path, config) as run:
        run.checkpoints.save(1, lambda folder: trainer.save(folder, 1))
        with pytest.raises(RunError, match="has not ended"):
            load_controller(run)
        run.write_summary({"controllers": {"play": "greedy"}})
        loaded = load_controller(run)
    assert loaded.play == "greedy"
    keys = trainer.tables.keys
    assert (loaded.profile(keys) == trainer.controller("greedy").profile(keys)).all()


class _Talkative:
    """Speaks whenever asked."""

    def __init__(self, infosets: Infosets) -> None:
        self.infosets = infosets

    def probability_of_key(self, key) -> float:
        return 1.0


def test_each_agent_speaks_with_its_own_policy(small_settings):
    """In the loop as in the batched rollout: whoever a policy belongs to, and nobody before, says something new."""
    config = load_config(overrides={**small_settings, "speakers.policy": "per_agent_role", "speakers.lora_rank": 3})

    def said(changed: str | None) -> list[str | None]:
        parts = build(config)
        with torch.no_grad():
            for factor in parts.policy.weights.parameters(changed) if changed else ():
                factor.add_(0.3)
        team = Team(config, parts, _Talkative(Infosets("consensus", config.rules)))
        env = team.env()
        looped = play(team, env, 3)
        raw = env.unwrapped
        question = Question(id="?", text=raw.dialogue.question, gold="0")
        episode = Episode(question=question, seed=raw.episode_seed)
        [rolled] = rollout([episode], config.rules, parts.speakers, AlwaysSpeak())
        assert [turn.utterance.text for turn in rolled.turns] == looped
        return looped

    plain = said(None)
    # agent 0 proposes in rounds 1 and 5 and reviews in 4; agent 1 reviews in 2 and proposes in 3
    for name, first in (("proposer_0", 1), ("reviewer_1", 2), ("proposer_1", 3), ("reviewer_0", 4)):
        changed = said(name)
        assert changed[: first - 1] == plain[: first - 1]
        assert changed[first - 1] != plain[first - 1]
