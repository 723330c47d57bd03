"""One game, three ways to play it: the PettingZoo loop, the batched rollout and the expanded tree."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tracer_agents.build import Parts, build
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.scripted import ScriptedBackend
from tracer_agents.rollout.tree import expand, play, rollout
from tracer_agents.speakers.model import ModelSpeakers
from tracer_agents.speakers.prompts import prompts_for
from tracer_agents.team import Team
from tracer_agents.types import Episode
from tracer_env.dialogue import Dialogue, is_forced, is_terminal
from tracer_env.infosets import Infosets
from tracer_env.seeding import stream

# What a scripted model says: also nothing at all, and characters that no text space contains.
PROPOSALS = ("", "\n", "#### 7", "#### 8", "#### 9\0", "\0", "so\n#### 7", "<solution>", "Verdict: RIGHT")
REVIEWS = ("", "Verdict: RIGHT", "Verdict: WRONG", "Verdict: \0", "#### 7")


def mixed_controller(config, states: Sequence[Dialogue]) -> TabularController:
    """Speaks with another chance at every infoset met in ``states``."""
    infosets = Infosets(config.dialogue.infoset, config.rules)
    met = sorted({infosets.key(state) for state in states if not is_terminal(state) and not is_forced(state)})
    tables = RegretTables.empty().grown(met)
    speak = np.random.default_rng(0).uniform(0.1, 0.9, len(met))
    return TabularController(infosets, replace(tables, strategy=np.stack([1 - speak, speak], axis=1)))


def team_loop(team: Team, episodes: Sequence[Episode]) -> tuple[list[Dialogue], list[dict[str, float]]]:
    """The ordinary AEC loop: each episode's final state and every agent's return."""
    env = team.env()
    finals, returns = [], []
    for episode in episodes:
        env.reset(seed=episode.seed, options={"question": episode.question.text, "gold": episode.question.gold})
        earned: dict[str, float] = dict.fromkeys(env.agents, 0.0)
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            earned[agent] += reward
            env.step(None if terminated or truncated else team.act(observation, info))
        finals.append(env.unwrapped.dialogue)
        returns.append(earned)
    return finals, returns


def said(final: Dialogue) -> list[tuple[Any, ...]]:
    """Everything that happened, without what only the engine knows."""
    return [
        (turn.round, turn.agent, turn.role, turn.mode, turn.forced)
        if turn.utterance is None
        else (
            turn.round,
            turn.agent,
            turn.role,
            turn.mode,
            turn.forced,
            turn.utterance.text,
            turn.utterance.answer,
            turn.utterance.verdict,
            turn.utterance.generated_tokens,
            turn.utterance.prompt_tokens,
            turn.utterance.finish_reason,
        )
        for turn in final.turns
    ]


def scripted(parts: Parts, config) -> Parts:
    """The same parts with an engine that chooses its text by the row's seed and the prompt's role."""

    def script(request: GenerationRequest) -> str:
        reviews = parts.policy.tokenizer.decode(request.prompt_ids).endswith("Review.<|end|><|assistant|>")
        texts = REVIEWS if reviews else PROPOSALS
        return texts[int(stream(request.seed, len(request.prompt_ids)).integers(len(texts)))]

    speakers = ModelSpeakers(
        backend=ScriptedBackend(script=script),
        chat=parts.policy.chat,
        task=parts.task,
        prompts=prompts_for("tiny"),
        proposer_max_new_tokens=config.limits.proposer,
        reviewer_max_new_tokens=config.limits.reviewer,
        context=512,
    )
    return replace(parts, speakers=speakers)


@pytest.fixture(scope="module")
def small_parts(small_settings) -> Parts:
    from tracer_agents.config import load_config

    return build(load_config(overrides=small_settings))


@pytest.fixture(scope="module")
def looped(small_parts, small_settings):
    """64 episodes by the PettingZoo loop with the model, and the controllers that played them."""
    from tracer_agents.config import load_config

    config = load_config(overrides=small_settings)
    episodes = draw_episodes(small_parts.task, "test", 0, 64, seed=0, phase="loops")
    trees = expand(episodes, config.rules, small_parts.speakers, small_parts.task.grade)
    controller = mixed_controller(config, [state for tree in trees for state in tree.states.values()])
    finals, _ = team_loop(Team(config, small_parts, controller), episodes)
    return episodes, controller, [said(final) for final in finals]


@pytest.mark.parametrize("batch_size", [1, 16, 64])
def test_the_model_says_the_same_in_every_loop_and_batch(small_config, looped, batch_size):
    episodes, controller, expected = looped
    config = small_config({"backend.batch_size": batch_size})
    parts = build(config)
    rules = config.rules
    assert [said(final) for final in rollout(episodes, rules, parts.speakers, controller)] == expected
    if batch_size > 1:
        trees = expand(episodes, rules, parts.speakers, parts.task.grade)
        assert [said(final) for final in play(trees, controller)] == expected


def test_the_loops_are_worth_comparing(looped):
    """The 64 dialogues differ in who spoke, in what was said and in how it ended."""
    _, _, dialogues = looped
    assert len({tuple(turn[3] for turn in dialogue) for dialogue in dialogues}) > 8
    spoken = [turn for dialogue in dialogues for turn in dialogue if len(turn) > 5]
    assert len({turn[5] for turn in spoken}) > 50
    assert {turn[-1] for turn in spoken} == {"stop", "length"}
    assert {turn[7] for turn in spoken} >= {None, "RIGHT", "WRONG"}


@pytest.mark.parametrize("schedule", ["rotate", "parity"])
@pytest.mark.parametrize(("n_agents", "rounds", "infoset"), [(1, 3, "paper"), (2, 5, "consensus"), (3, 7, "recall")])
@pytest.mark.parametrize("force", [False, True])
def test_empty_and_unruly_texts_play_alike(small_config, small_parts, schedule, n_agents, rounds, infoset, force):
    config = small_config(
        {
            "dialogue.schedule": schedule,
            "dialogue.n_agents": n_agents,
            "dialogue.rounds": rounds,
            "dialogue.infoset": infoset,
            "dialogue.force_on_unparsed": force,
            "dialogue.price_of_speech": 0.3,
        }
    )
    parts = scripted(small_parts, config)
    rules, task = config.rules, parts.task
    episodes = [
        replace(one, question=replace(one.question, gold="7"))
        for one in draw_episodes(task, "test", 0, 30, seed=1, phase="loops")
    ]
    trees = expand(episodes, rules, parts.speakers, task.grade)
    controller = mixed_controller(config, [state for tree in trees for state in tree.states.values()])
    finals, returns = team_loop(Team(config, parts, controller), episodes)
    expected = [said(final) for final in finals]
    assert [said(final) for final in rollout(episodes, rules, parts.speakers, controller)] == expected
    lines = play(trees, controller)
    assert [said(final) for final in lines] == expected
    assert any("" in turn[5:] for dialogue in expected for turn in dialogue)
    for tree, line, earned in zip(trees, lines, returns, strict=True):
        utility = config.utility(tree.right(line), line.generated_tokens)
        assert earned["controller_0"] == pytest.approx(utility)


def test_any_one_agent_can_be_replaced(looped, small_config, small_parts):
    """A stranger that skips whenever it may leaves the others their part of the game."""
    episodes, controller, _ = looped
    team = Team(small_config(), small_parts, controller)
    env = team.env()
    env.reset(seed=episodes[0].seed)
    for agent in env.agent_iter():
        observation, _, terminated, truncated, info = env.last()
        if terminated or truncated:
            action = None
        elif agent == "controller_1":
            action = int(observation["action_mask"].argmax())
        else:
            action = team.act(observation, info)
        env.step(action)
    final = env.unwrapped.dialogue
    assert is_terminal(final)
    assert all(turn.mode == 0 for turn in final.turns if turn.agent == 1)
