"""Teams of different models, played and trained: who speaks with what, who learns, and what it costs."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file

from tracer_agents.build import build
from tracer_agents.controllers.fixed import AlwaysSpeak
from tracer_agents.evaluation.play import draw_episodes, play_team
from tracer_agents.rollout.tree import expand
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.team import Team
from tracer_agents.training.experiment import run_training
from tracer_agents.training.export import export_run
from tracer_agents.training.stages import Silent
from tracer_agents.training.trainer import Trainer
from tracer_env.dialogue import Rules

SHORT = {"evaluation.greedy": False, "evaluation.baselines": False}


@pytest.fixture(scope="session")
def other_folder(small_folder, tmp_path_factory):
    """A second model: the small one's shape and tokenizer with other weights."""
    from transformers import AutoModelForCausalLM

    folder = tmp_path_factory.mktemp("model") / "other"
    shutil.copytree(small_folder, folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def team(small_folder, other_folder, small_config):
    """Settings of a team of the two models; further fields of the members are given."""

    def make(first=None, second=None, **overrides):
        members = [{"model": str(small_folder), **(first or {})}, {"model": str(other_folder), **(second or {})}]
        return small_config({"speakers.members": members, **SHORT, **overrides})

    return make


def rows(folder, name):
    """A run's rows without their wall times."""
    lines = (folder / name).read_text(encoding="utf-8").splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "timing"} for line in lines]


def test_equal_members_are_a_team_of_one_model_to_the_bit(small_folder, small_config, tmp_path):
    members = [{"model": str(small_folder), "price": 3.0}] * 2
    for name, overrides in {"alone": {}, "members": {"speakers.members": members}}.items():
        run_training(small_config({**SHORT, **overrides}), tmp_path / name, resume=False, display=Silent())
    for name in ("metrics.jsonl", "transcripts.jsonl"):
        assert rows(tmp_path / "alone", name) == rows(tmp_path / "members", name)
    alone, members = (RunDirectory(tmp_path / name).checkpoints.latest() for name in ("alone", "members"))
    for key, tensor in load_file(alone / "model.safetensors").items():
        assert torch.equal(tensor, load_file(members / "model.safetensors")[key])


def played(parts, rules):
    """Dialogues of four test questions in which everybody speaks."""
    episodes = draw_episodes(parts.task, "test", 0, 4, seed=0, phase="test")
    return play_team(episodes, rules, parts.speakers, AlwaysSpeak(), parts.task, method="m", phase="p", seed=0)


def test_each_agent_speaks_with_its_own_model(team):
    config = team()
    with build(config) as parts:
        whole = played(parts, Rules())
        alone = [build(config.of_agent(agent)) for agent in (0, 1)]
        for agent, single in enumerate(alone):
            first, same = (played(each, Rules(rounds=1, first_agent=agent)) for each in (parts, single))
            assert [record.turns[0].text for record in first] == [record.turns[0].text for record in same]
            assert {record.turns[0].agent for record in first} == {agent}
    assert {turn.agent for record in whole for turn in record.turns} == {0, 1}


def test_both_models_learn_each_from_its_own_groups_and_go_on_after_a_kill(team, tmp_path):
    config = team()
    run_training(config, tmp_path / "whole", resume=False, display=Silent())

    class Killed(Silent):
        def step(self, report, steps):
            if report.step == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(config, tmp_path / "halves", resume=False, display=Killed())
    run_training(config, tmp_path / "halves", resume=True, display=Silent())
    assert rows(tmp_path / "whole", "metrics.jsonl") == rows(tmp_path / "halves", "metrics.jsonl")
    whole, halves = (RunDirectory(tmp_path / name).checkpoints.latest() for name in ("whole", "halves"))
    labels = [use.label for use in config.models]
    assert labels == ["0-small", "1-other"]
    for label, model in zip(labels, (use.speakers.model for use in config.models), strict=True):
        trained, again = (load_file(folder / label / "model.safetensors") for folder in (whole, halves))
        begun = load_file(f"{model}/model.safetensors")
        assert all(torch.equal(trained[key], again[key]) for key in trained)
        assert any(not torch.equal(trained[key], begun[key]) for key in trained)
    [*_, last] = rows(tmp_path / "whole", "metrics.jsonl")
    assert set(last["gspo_by_policy"]) == {"0-small.shared", "1-other.shared"}
    with Team.load(tmp_path / "whole") as loaded:
        assert len(loaded.parts.models) == 2
    folders = export_run(tmp_path / "whole", tmp_path / "exported")
    assert [folder.name for folder in folders] == ["0-small.shared", "1-other.shared"]


def test_a_frozen_member_stays_as_it_is_and_no_group_is_sampled_for_it(team, tmp_path):
    config = team(second={"train": False})
    with build(config) as parts:
        before = [parameter.clone() for parameter in parts.models[1].policy.model.parameters()]
        trainer = Trainer(config, parts)
        groups = []
        sample = trainer._sample_groups
        trainer._sample_groups = lambda played, number: groups.append(sample(played, number)) or groups[-1]
        trainer.step(1)
        assert {candidate.agent for candidate in groups[0].candidates} == {0}
        assert all(map(torch.equal, before, parts.models[1].policy.model.parameters()))
        trainer.save(tmp_path, 1)
    assert not (tmp_path / "1-other").exists()


def test_of_two_frozen_models_only_controllers_learn(team, tmp_path):
    config = team(first={"train": False}, second={"train": False})
    summary = run_training(config, tmp_path / "run", resume=False, display=Silent())
    assert summary.controllers["infosets"] > 0
    assert all(row["gspo"] is None for row in rows(tmp_path / "run", "metrics.jsonl"))


def test_a_frozen_agent_on_a_trained_model_speaks_as_before(small_folder, small_config):
    members = [{"model": str(small_folder)}, {"model": str(small_folder), "train": False}]
    config = small_config({"speakers.members": members, "speakers.lora_rank": 2, "gspo.learning_rate": 0.05})
    rules = Rules(rounds=1, first_agent=1)
    with build(config) as parts:
        [model] = parts.models
        assert model.policy.weights.names == ("shared", "frozen")
        episodes = draw_episodes(parts.task, "test", 0, 8, seed=0, phase="test")

        def said(rules):
            trees = expand(episodes, rules, parts.speakers, parts.task.grade)
            return [tree.utterance("").text for tree in trees]

        frozen, trained = said(rules), said(Rules(rounds=1))
        trainer = Trainer(config, parts)
        for number in (1, 2):
            trainer.step(number)
        assert said(rules) == frozen
        assert said(Rules(rounds=1)) != trained


def cost_of(rounds):
    """At price 1 for agent 0's tokens, 4 for agent 1's, and a half for what agent 1 reads."""
    return sum(
        (1, 4)[each.agent] * each.generated_tokens + (0, 0.5)[each.agent] * each.prompt_tokens for each in rounds
    )


def test_prices_count_in_the_environment_the_metrics_and_the_certificate_alike(team, tmp_path):
    config = team(first={"train": False}, second={"train": False, "price": 4.0, "prompt_price": 0.5})
    summary = run_training(config, tmp_path / "run", resume=False, display=Silent())
    assert config.utility.budget == 16 * (1 + 4 + 4 + 1 + 1)  # agents 0, 1, 1, 0, 0 speak in five rounds
    records = RunDirectory(tmp_path / "run").records()
    assert any(turn.agent == 1 and turn.prompt_tokens for r in records["before", "team"] for turn in r.turns)
    for phase, figures in {"before": summary.before, "after": summary.after}.items():
        dialogues = records[phase, "team"]
        costs = [cost_of(record.turns) for record in dialogues]
        assert figures.cost_per_question == pytest.approx(sum(costs) / len(costs))
        worths = [
            (1 if record.correct else -1) - 0.1 * cost / config.utility.budget
            for record, cost in zip(dialogues, costs, strict=True)
        ]
        assert figures.utility == pytest.approx(sum(worths) / len(worths))
    with Team.load(tmp_path / "run") as team_:
        env = team_.env()
        env.reset(seed=3)
        totals = dict.fromkeys(env.possible_agents, 0.0)
        for agent in env.agent_iter():
            observation, reward, done, _, info = env.last()
            totals[agent] += reward
            speaks = agent.startswith("controller")  # everybody does, so that every price counts
            env.step(None if done else 1 if speaks else team_.act(observation, info))
        state = env.unwrapped.dialogue
    cost = cost_of(state.usage())
    assert {usage.agent for usage in state.usage()} == {0, 1}
    worth = totals["controller_0"]
    assert min(abs(worth - (sign - 0.1 * cost / config.utility.budget)) for sign in (1, -1)) < 1e-9
    certificate = json.loads((tmp_path / "run" / "certificate.json").read_text())
    assert certificate["generated_tokens"]["mean"] > 0


def test_the_empirical_game_counts_tokens_at_their_agents_prices(team):
    config = team(first={"train": False}, second={"train": False, "price": 4.0, "prompt_price": 0.5})
    with build(config) as parts:
        episodes = draw_episodes(parts.task, "test", 0, 3, seed=0, phase="test")
        trees = expand(episodes, config.rules, parts.speakers, parts.task.grade)
        game = Trainer(config, parts).game(trees)
    leaves = [leaf for tree in trees for leaf in tree.leaves()]
    assert game.tokens.sum() == pytest.approx(sum(cost_of(leaf.usage()) for leaf in leaves))
    assert game.tokens.sum() != sum(leaf.generated_tokens for leaf in leaves)
    assert game.token_budget == config.utility.budget
