"""Costs of a plan by formula: figures worked out by hand, and counts that a real run confirms."""

import re
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from benchmarks.__main__ import main
from benchmarks.methods import METHODS, Cost
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.cells import jobs_of
from benchmarks.suite.estimate import (
    DEVICES,
    Device,
    Model,
    Work,
    declared_size,
    estimate,
    expansion,
    generating,
    generation_seconds,
    model_of,
    played,
    training,
    training_seconds,
    work_of,
)
from benchmarks.suite.plan import Plan, make_plan, read_plan
from tracer_agents.build import TINY
from tracer_agents.config import Config
from tracer_agents.controllers.fixed import AlwaysSpeak, NeverReview
from tracer_env.cost import utterance_count
from tracer_env.dialogue import Rules
from tracer_env.errors import ConfigError

ROOT = Path(__file__).parents[3]
DEVICE = Device(half_flops=1e12, full_flops=1e11, bandwidth=1e10)
MODEL = Model(parameters=1e6, kv_values=100)
ALONE = sorted(name for name, method in METHODS.items() if not method.several_models)


def make(**fields: Any) -> Plan:
    return make_plan({"methods": ["single"], "tasks": {"t": {"name": "gsm8k"}}, **fields}, "test")


def bench(plan: Plan) -> Bench:
    return Bench(plan=plan, out=Path("nowhere"), label="t", seed=0)


def test_kinds_of_utterances_of_an_expansion_by_hand():
    """R = 3: a fresh attempt in round 1, and in round 3 if the review was skipped; R = 5 likewise, counted by hand."""
    assert expansion(Rules(rounds=1)) == Cost(proposals=1)
    assert expansion(Rules(rounds=3)) == Cost(proposals=2, reviews=1, revisions=1)
    assert expansion(Rules(rounds=5)) == Cost(proposals=5, reviews=5, revisions=6)


@pytest.mark.parametrize("rounds", [1, 3, 5, 7])
def test_an_expansion_has_as_many_utterances_as_the_formula_says(rounds):
    cost = expansion(Rules(rounds=rounds))
    assert cost.proposals + cost.reviews + cost.revisions == utterance_count(Rules(rounds=rounds))


def test_kinds_of_utterances_of_a_dialogue_by_hand():
    assert played(Rules(), AlwaysSpeak()) == Cost(proposals=1, reviews=2, revisions=2)
    assert played(Rules(), NeverReview()) == Cost(proposals=1)
    # a fair coin in rounds 2 and 3: S, SP, SR, SRV with equal chances
    assert played(Rules(rounds=3), None) == Cost(proposals=5 / 4, reviews=2 / 4, revisions=1 / 4)


def test_tokens_by_hand():
    """The embedded model's prompts: question, solution, "Review." (7 characters), review, "Revise." (7)."""
    speakers = {"speakers": {"model": "tiny", "proposer_max_new_tokens": 60, "reviewer_max_new_tokens": 40}}
    config = Config.model_validate(speakers)
    assert generating(config, Cost(proposals=1), 2) == Work(
        generations=2, generated_tokens=2 * 30, prompt_tokens=2 * 80
    )
    assert generating(config, Cost(reviews=1), 1) == Work(
        generations=1, generated_tokens=20, prompt_tokens=80 + 30 + 7 / 4
    )
    revision = Work(generations=1, generated_tokens=30, prompt_tokens=80 + 30 + 20 + 14 / 4)
    assert generating(config, Cost(revisions=1), 1) == revision


@pytest.mark.parametrize(
    ("dtype", "batch", "step_seconds", "expected"),
    [
        # 10 rows, context 20 + 10/2 = 25: reads 2·(1e6 + 10·25·100) = 2.05e6 bytes at 6e9 a second, 100/10 steps;
        # prefilling 2·1e6·200 FLOP at 4e11 a second
        ("bfloat16", 100, 0.0, 100 / 10 * 2.05e6 / 6e9 + 4e8 / 4e11),
        # 5 rows: 2·(1e6 + 5·25·100) bytes, 100/5 steps
        ("bfloat16", 5, 0.0, 100 / 5 * 2.025e6 / 6e9 + 4e8 / 4e11),
        # float32: twice the bytes, a tenth of the FLOP/s
        ("float32", 100, 0.0, 100 / 10 * 4.1e6 / 6e9 + 4e8 / 4e10),
        # no step is faster than the engine
        ("bfloat16", 100, 0.5, 100 / 10 * 0.5 + 4e8 / 4e11),
    ],
)
def test_seconds_of_generation_by_hand(dtype, batch, step_seconds, expected):
    work = Work(generations=10, generated_tokens=100, prompt_tokens=200)
    taken = generation_seconds(work, MODEL, DEVICE, dtype=dtype, batch=batch, step_seconds=step_seconds)
    assert taken == pytest.approx(expected, rel=1e-12)


def test_arithmetic_binds_large_batches():
    """10,000 rows of no context: 2·1e6·1e4 FLOP at 4e9 a second take longer than reading 2e6 bytes."""
    slow = Device(half_flops=1e10, full_flops=1e10, bandwidth=1e10)
    work = Work(generations=10_000, generated_tokens=10_000)
    taken = generation_seconds(work, MODEL, slow, dtype="bfloat16", batch=10_000, step_seconds=0.0)
    assert taken == pytest.approx(2e10 / 4e9)


def test_seconds_of_training_by_hand():
    """1,000 tokens: one pass to score and three to learn, 2·1e6·1000·4 FLOP at 35% of 1e12; a reference is a fifth."""
    assert training_seconds(1000, MODEL, DEVICE, dtype="bfloat16", references=0) == pytest.approx(8e9 / 3.5e11)
    assert training_seconds(1000, MODEL, DEVICE, dtype="bfloat16", references=1) == pytest.approx(10e9 / 3.5e11)
    assert training_seconds(1000, MODEL, DEVICE, dtype="float32", references=0) == pytest.approx(8e9 / 3.5e10)


def test_the_embedded_model_is_counted():
    with safe_open(str(TINY / "model.safetensors"), "np") as weights:
        parameters = sum(weights.get_tensor(name).size for name in weights.keys())  # noqa: SIM118  # no mapping
    assert model_of("tiny").parameters == parameters
    assert model_of(str(TINY)) == model_of("tiny")


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("no-such-owner/Model2.5-7B-Instruct", 7e9),
        ("no-such-owner/model-0.5b", 0.5e9),
        ("no-such-owner/model-350M", 350e6),
    ],
)
def test_the_size_of_a_model_that_is_not_here_is_read_from_its_name(name, parameters):
    assert model_of(name) == Model(parameters=parameters, kv_values=parameters * 0.8e-5)


@pytest.mark.parametrize("name", ["no-such-owner/model", "no-such-7B-owner/model", "no-such-owner/model2.5"])
def test_a_model_of_unknown_size_is_refused(name):
    with pytest.raises(ConfigError, match="states none"):
        model_of(name)


def test_a_test_set_may_be_smaller_than_what_is_asked_for():
    assert declared_size(bench(make(questions=2000)), "test") == 1319
    assert declared_size(bench(make(questions=300)), "test") == 300
    assert declared_size(bench(make(questions=2000, fit_questions=5000)), "train") == 5000
    assert declared_size(bench(make(questions=2000, tasks={"t": {"name": "arithmetic"}})), "test") == 2000


def test_every_method_is_estimated_without_data_or_network(monkeypatch):
    monkeypatch.setattr("benchmarks.suite.bench.build_task", None)  # data would be loaded by it
    plan = make(methods=ALONE, questions=100)
    made = estimate(jobs_of(plan, Path("nowhere"), declared_size), DEVICES["cpu"])
    assert {one.job.method for one in made if one.job.kind == "cell"} == set(ALONE)
    for one in made:
        works = one.work.generations > 0
        assert (one.hours > 0) == works
        if one.job.kind != "cell":
            assert works
        assert (one.work.trained_tokens > 0) == (one.job.kind == "train")


def test_recorded_methods_generate_nothing_in_their_cells():
    plan = make(methods=["always_speak", "self_consistency", "multi_agent_debate"], votes=8, questions=10)
    work = {job.name: work_of(job) for job in jobs_of(plan, Path("nowhere"), declared_size)}
    assert work["always_speak on t, seed 0"] == Work()
    assert work["self_consistency on t, seed 0"].generations == 80
    assert work["multi_agent_debate on t, seed 0"].generations == 90
    assert work["record initial/t/seed-0/test"].generations == 160


def test_answers_alone_are_counted_without_trees():
    """Of 4 steps of 10 questions the first 2 have groups of 5 answers each, and nothing else."""
    settings = {"trainer.steps": 4, "trainer.controller_steps": 0, "trainer.questions_per_step": 10}
    settings |= {"evaluation.checkpoint_questions": 0, "credit.answer_group_size": 5, "trainer.answer_share": 0.0}
    first = Recipe(name="first", settings={**settings, "trainer.answer_share": 0.5})
    alone = Recipe(name="alone", settings={**settings, "dialogue.rounds": 1, "credit.group_size": 5})
    team = Recipe(name="team", settings=settings)
    half, answers, dialogues = (training(bench(make()), recipe).generations for recipe in (first, alone, team))
    assert answers == 4 * 10 * 5
    assert half == pytest.approx((answers + dialogues) / 2)


@pytest.mark.parametrize("name", [path.stem for path in sorted((ROOT / "configs").glob("*.yaml"))])
def test_the_shipped_plans_are_estimated(name, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("benchmarks.suite.bench.build_task", None)
    out = tmp_path / "out"
    assert (
        main(
            ["run", "--config", str(ROOT / "configs" / f"{name}.yaml"), "--out", str(out), "--seeds", "0", "--dry-run"]
        )
        == 0
    )
    printed = capsys.readouterr().out
    named = read_plan(ROOT / "configs" / f"{name}.yaml")["methods"]
    assert all(method in printed for method in (ALONE if named == "all" else named))
    assert ("hours, cpu" if name.startswith(("arithmetic", "pair", "trio")) else "hours, h100") in printed
    assert "jobs left" in printed
    assert re.search(
        r"of these, training \d.*, recording \d.*, drawing pools \d.*, answering and evaluating \d", printed
    )
    assert not out.exists()
