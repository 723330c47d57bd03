"""Controllers are learned from pools that were made elsewhere, by the command and without a model."""

import json

import numpy as np
import pytest

from tracer_agents.cli import main
from tracer_agents.config import load_config
from tracer_agents.controllers.tables import RegretTables
from tracer_agents.runs.directory import RunDirectory
from tracer_agents.training.fit import fit_settings
from tracer_agents.training.pools import Pools, pool_parts, pool_settings
from tracer_env.errors import ConfigError, DataError

HEADER = {"schema_version": 1, "members": ["api-model"], "task": "somewhere"}
QUICK = ["--evaluation.bootstrap", "200", "--controllers.inner_iterations", "100"]


def row(number, rng, members=("api-model",), draws=3):
    """By hand: reviews tell right from wrong, so that they are worth their tokens."""

    def draw():
        right = bool(rng.random() < 0.5)
        answer = "7" if right else str(rng.integers(3))
        verdict = {"verdict": "RIGHT" if right else "WRONG", "generated_tokens": 2}
        reviews = {name: [{**verdict, "p_right": 0.9 if right else 0.1}] for name in members}
        return {"answer": answer, "generated_tokens": 30, "mean_logp": -0.2, "reviews": reviews}

    drawn = {name: [draw() for _ in range(draws)] for name in members}
    return {"question_id": f"q{number}", "question": f"Question {number}?", "gold": "7", "members": drawn}


def write(path, rows, header=HEADER):
    path.write_text("".join(f"{json.dumps(each)}\n" for each in (header, *rows)))
    return str(path)


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    rows = iter([row(number, rng) for number in range(200)])
    sizes = {"train": 120, "validation": 30, "test": 50}
    return {
        split: write(tmp_path / f"{split}.jsonl", [next(rows) for _ in range(size)]) for split, size in sizes.items()
    }


def test_a_fit_from_three_pools_learns_from_the_first_and_is_measured_on_the_last(files, tmp_path, capsys):
    run = tmp_path / "run"
    pools = ["--pool", files["train"], "--validation-pool", files["validation"], "--test-pool", files["test"]]
    assert main(["fit", *pools, "--out", str(run), *QUICK]) == 0
    summary = RunDirectory(run).summary()
    assert (summary["model"], summary["task"]) == ("api-model", "somewhere")
    assert set(summary["pools"]) == {"train", "validation", "test"}
    assert summary["after"]["n"] == summary["certificate"]["questions"] == 50
    [metrics] = RunDirectory(run).metrics()
    assert metrics["questions"] == 120
    # perfect reviews and two thirds of a proposal's price: 1 − ½³ is what always speaking where WRONG is said comes to
    assert summary["after"]["accuracy"] == pytest.approx(1 - 0.5**3, abs=0.1)
    assert summary["after"]["accuracy"] > summary["baselines"]["single"]["accuracy"] + 0.2
    assert (
        summary["after"]["generated_tokens_per_question"]
        < summary["baselines"]["always_speak"]["generated_tokens_per_question"]
    )
    assert RegretTables.load(RunDirectory(run).checkpoints.latest() / "controllers.npz").iterations == 100
    table = capsys.readouterr().out
    assert "somewhere, 50 held-out questions" in table
    assert "after training" in table


def test_one_pool_is_divided_by_its_questions(files, tmp_path):
    pools = Pools.load({"train": tmp_path / "train.jsonl"})
    names = {split: {each.episode.question.id for each in part} for split, part in pools.splits.items()}
    assert sum(map(len, names.values())) == len(set.union(*names.values())) == 120
    assert len(names["train"]) == pytest.approx(72, abs=12)
    grown = Pools.load({"train": tmp_path / "train.jsonl", "test": tmp_path / "test.jsonl"})
    assert {each.episode.question.id for each in grown.splits["validation"]} == names["validation"]
    assert len(grown.splits["test"]) == 50
    assert main(["fit", "--pool", files["train"], "--out", str(tmp_path / "run"), *QUICK]) == 0
    assert RunDirectory(tmp_path / "run").summary()["after"]["n"] == len(names["test"])


def test_members_speak_for_the_agents_that_the_settings_name(tmp_path):
    names, rng = ("cheap", "dear"), np.random.default_rng(0)
    header = {**HEADER, "members": list(names)}
    rows = [row(number, rng, names) for number in range(40)]
    pools = Pools.load({"train": tmp_path / "pool.jsonl"}) if write(tmp_path / "pool.jsonl", rows, header) else None
    members = {"speakers.members": [{"model": "tiny"}, {"model": "small", "price": 4}]}
    config = pool_settings(fit_settings(load_config(overrides=members), members), pools)
    parts = pool_parts(config, pools)
    assert parts.speakers.voices == (0, 1)
    assert config.utility.prices.generated == (1.0, 4.0)
    with pytest.raises(ConfigError, match=r"the pool is of 2 members \(cheap, dear\), and the settings have 1"):
        pool_parts(pool_settings(fit_settings(load_config(), {}), pools), pools)


def test_what_cannot_be_learned_from_is_refused_before_anything_is_written(files, tmp_path, capsys):
    run, pool = tmp_path / "run", ["--pool", files["train"]]
    refused = {
        "a pool says what is asked": [*pool, "--questions", "9"],
        "go with --pool": ["--test-pool", files["test"]],
        "is in the pools of 'train' and of 'test'": [*pool, "--test-pool", files["train"]],
        "up to 4 proposals of member 0": [*pool, "--dialogue.rounds", "7"],
        "dialogue.revisions: a pool holds": [*pool, "--dialogue.revisions", "true"],
        "there is no such pool": ["--pool", str(tmp_path / "none.jsonl")],
    }
    for message, options in refused.items():
        assert main(["fit", *options, "--out", str(run), *QUICK]) == 1
        assert message in " ".join(capsys.readouterr().err.split())
    assert not run.exists()
    write(tmp_path / "few.jsonl", [row(number, np.random.default_rng(0)) for number in range(4)])
    with pytest.raises(DataError, match=r"leaves \d questions for the \w+ split, and 2 are the least"):
        Pools.load({"train": tmp_path / "few.jsonl"})
    other = {**HEADER, "members": ["another"]}
    write(tmp_path / "other.jsonl", [row(900, np.random.default_rng(0), ("another",))], other)
    with pytest.raises(DataError, match=r"other\.jsonl: is of another, and .*train\.jsonl of api-model"):
        Pools.load({"train": tmp_path / "train.jsonl", "test": tmp_path / "other.jsonl"})
