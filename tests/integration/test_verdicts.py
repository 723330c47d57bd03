"""Reviews of one token: a resumed run is the one that was never stopped, and a team plays alike in every loop."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tracer_agents.build import build
from tracer_agents.controllers.calibration import fit_belief
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.controllers.tabular import TabularController
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.rollout.tree import expand, play, rollout
from tracer_agents.team import Team
from tracer_agents.training.experiment import run_training
from tracer_agents.training.stages import Silent
from tracer_env.dialogue import Dialogue, Role, is_forced, is_terminal
from tracer_env.infosets import Infosets


class _Stops(Silent):
    """Ends the process, as it were, after a step."""

    def step(self, report, steps: int) -> None:
        if report.step == 3:
            raise KeyboardInterrupt


def test_stopped_and_resumed_it_is_the_run_that_was_never_stopped(small_config, tmp_path):
    config = small_config({"speakers.review": "verdict", "dialogue.rounds": 3, "credit.verdict_epochs": 2})
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run_training(config, whole, resume=False, display=Silent())
    with pytest.raises(KeyboardInterrupt):
        run_training(config, stopped, resume=False, display=_Stops())  # its last checkpoint is of step 2
    run_training(config, stopped, resume=True, display=Silent())

    metrics = [
        [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()] for run in (whole, stopped)
    ]
    for one, other in zip(*metrics, strict=True):
        assert one | {"timing": None} == other | {"timing": None}
        assert one["verdicts"]["shared"]["samples"] > 0
    assert (whole / "transcripts.jsonl").read_bytes() == (stopped / "transcripts.jsonl").read_bytes()
    turns = [
        turn
        for row in (whole / "transcripts.jsonl").read_text().splitlines()
        for turn in json.loads(row)["turns"]
        if turn["role"] == "reviewer" and turn["text"] is not None
    ]
    assert turns
    assert all(turn["generated_tokens"] == 1 and 0 < turn["p_right"] < 1 for turn in turns)
    one, other = (load_file(run / "checkpoints" / "step_4" / "model.safetensors") for run in (whole, stopped))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("sharing", ["prefix", "view"])
@pytest.mark.parametrize("infoset", ["consensus", "belief"])
def test_a_team_with_reviews_of_one_token_plays_alike_in_every_loop(small_config, sharing, infoset):
    believing = {"dialogue.belief_bins": 4, "dialogue.answer_rule": "belief"} if infoset == "belief" else {}
    config = small_config(
        {"speakers.review": "verdict", **believing}
        | {
            f"dialogue.{name}": value
            for name, value in (("infoset", infoset), ("sharing", sharing), ("rounds", 5), ("price_of_speech", 0.3))
        }
    )
    with build(config) as parts:
        episodes = draw_episodes(parts.task, "test", 0, 16, seed=0, phase="loops")
        trees = expand(episodes, config.rules, parts.speakers, parts.task.grade)
        rules = config.rules
        if infoset == "belief":
            rules = replace(rules, belief=fit_belief(trees, bins=4))
            trees = [tree.under(rules) for tree in trees]
        controller = mixed(Infosets(infoset, rules), [state for tree in trees for state in tree.states.values()])
        finals = play(trees, controller)
        rolled = rollout(episodes, rules, parts.speakers, controller)
        looped, earned = team_loop(Team(config, parts, controller), episodes)

    expected = [said(final) for final in finals]
    assert [said(final) for final in rolled] == expected
    assert [said(final) for final in looped] == expected
    chances = [p_rights(final) for final in finals]
    assert len(np.unique(np.concatenate(chances))) > 8
    for other in (rolled, looped):
        for final, chance in zip(other, chances, strict=True):
            assert p_rights(final) == pytest.approx(chance, abs=1e-5)  # the last bits depend on the engine's batches
    for tree, final, utility in zip(trees, finals, earned, strict=True):
        assert utility == pytest.approx(config.utility(tree.right(final), final.generated_tokens))


def mixed(infosets: Infosets, states: list[Dialogue]) -> TabularController:
    """Speaks with another chance at every infoset that is met."""
    met = sorted({infosets.key(state) for state in states if not is_terminal(state) and not is_forced(state)})
    speak = np.random.default_rng(0).uniform(0.3, 0.9, len(met))
    tables = replace(RegretTables.empty().grown(met), strategy=np.stack([1 - speak, speak], axis=1))
    return TabularController(infosets, tables)


def team_loop(team: Team, episodes) -> tuple[list[Dialogue], list[float]]:
    """PettingZoo's loop: each episode's final state, and what its controllers earn."""
    env = team.env()
    finals, earned = [], []
    for episode in episodes:
        env.reset(seed=episode.seed, options={"question": episode.question.text, "gold": episode.question.gold})
        paid = dict.fromkeys(env.agents, 0.0)
        for agent in env.agent_iter():
            observation, reward, terminated, truncated, info = env.last()
            paid[agent] += reward
            env.step(None if terminated or truncated else team.act(observation, info))
        finals.append(env.unwrapped.dialogue)
        earned.append(paid["controller_0"])
    return finals, earned


def said(final: Dialogue) -> list[tuple]:
    """Who chose, and what was said at which length."""
    spoken = [turn.utterance for turn in final.turns]
    return [
        (turn.mode, each and (each.text, each.answer, each.verdict, each.generated_tokens, each.prompt_tokens))
        for turn, each in zip(final.turns, spoken, strict=True)
    ]


def p_rights(final: Dialogue) -> list[float]:
    """P(RIGHT) of every spoken review."""
    return [turn.utterance.p_right for turn in final.turns if turn.utterance and turn.role is Role.REVIEWER]
