"""A benchmark whose speakers are behind a chat server: what needs no training runs, what does is refused before."""

import json

import pytest
import yaml

from benchmarks.__main__ import main
from benchmarks.methods import METHODS
from benchmarks.suite.cells import fitting_methods
from benchmarks.suite.plan import make_plan

RUN = ["single", "single_greedy", "self_consistency", "always_speak", "stop_on_agreement", "controllers_only"]
MONEY = {"backend.money_per_million_prompt_tokens": 1000.0, "backend.money_per_million_generated_tokens": 2000.0}


@pytest.fixture
def fields(remote_settings):
    """A plan in which the very small model's server speaks for everybody."""
    return {
        "settings": remote_settings,
        "methods": RUN,
        "tasks": {"easy": {"name": "arithmetic", "options": {"level": "1"}}},
        "questions": 4,
        "fit_questions": 4,
        "validation_questions": 3,
        "prices": [0.1],
        "votes": 3,
        "draws": 2,
        "reviews": 1,
        "chunk": 2,
    }


@pytest.fixture
def run(fields, tmp_path):
    """``python -m benchmarks run`` on a plan with some fields changed; returns its exit status."""

    def command(*words: str, **changed) -> int:
        plan = tmp_path / "plan.yaml"
        plan.write_text(yaml.safe_dump({**fields, **changed}))
        return main(["run", "--config", str(plan), "--out", str(tmp_path / "out"), *words])

    return command


def cells(out):
    return {path.parts[-4]: json.loads(path.read_text()) for path in out.glob("cells/*/easy/seed-0/cell.json")}


def test_methods_without_training_run_and_buy_nothing_twice(run, model_server, tmp_path):
    model_server.plant("500", "cut", "no choices")  # the first requests: each is asked for again
    assert run() == 0
    assert set(cells(tmp_path / "out")) == set(RUN)
    turns = [turn for row in rows(tmp_path / "out", "single") for turn in row["turns"] if turn["text"] is not None]
    assert len(turns) == 4
    assert all(turn["text"] and turn["prompt_tokens"] > 0 and turn["generated_tokens"] > 0 for turn in turns)
    assert main(["report", str(tmp_path / "out"), "--compare", "controllers_only"]) == 0
    assert "Controllers only" in (tmp_path / "out/report/report.md").read_text()
    asked = len(model_server.bodies)
    for name in RUN:
        (tmp_path / "out/cells" / name / "easy/seed-0/cell.json").unlink()
        (tmp_path / "out/cells" / name / "easy/seed-0/records.jsonl").unlink()
    assert run() == 0
    bought = {json.dumps(body, sort_keys=True) for body in model_server.bodies[:asked]}
    assert {json.dumps(body, sort_keys=True) for body in model_server.bodies[asked:]} <= bought  # the examination


def rows(out, name):
    path = out / "cells" / name / "easy/seed-0/records.jsonl"
    return [json.loads(row) for row in path.read_text().splitlines()]


def test_one_member_may_be_there_and_its_rivals_are_replayed_from_a_pool(run, fields, remote_settings, tmp_path):
    here = {name: value for name, value in remote_settings.items() if not name.startswith("backend")}
    backend = {
        name.removeprefix("backend."): value for name, value in remote_settings.items() if name.startswith("backend")
    }
    members = [{"model": "tiny"}, {"model": "m", "price": 4, "train": False, "style": "tiny", "backend": backend}]
    settings = {**here, "speakers.members": members}
    del settings["speakers.model"]
    names = ["cascade", "slm_mux", "controllers_only"]
    assert run(settings=settings, methods=names) == 0
    assert set(cells(tmp_path / "out")) == set(names)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.recipes])
def test_methods_that_train_are_refused_before_any_work(run, model_server, tmp_path, capsys, name):
    assert run(methods=["single", name]) == 1
    assert f"{name} trains speakers" in capsys.readouterr().err
    assert model_server.bodies == []
    assert not (tmp_path / "out").exists()


def test_a_member_that_is_to_learn_there_is_refused(run, remote_settings, model_server, capsys):
    backend = {"name": "openai", "url": model_server.url, "cache": remote_settings["backend.cache"]}
    members = [{"model": "tiny"}, {"model": "m", "style": "tiny", "backend": backend}]
    assert run(settings={"speakers.members": members}, methods=["speakers_only"]) == 1
    assert "speakers.members.1.train" in capsys.readouterr().err
    assert model_server.bodies == []


def test_all_methods_are_those_that_need_no_training(fields):
    names = fitting_methods(make_plan(fields, "test"))
    assert {*RUN, "multi_agent_debate", "best_of_n", "best_fixed"} <= set(names)
    assert not any(METHODS[name].recipes for name in names)


def test_a_dry_run_says_what_it_costs_and_asks_for_nothing(run, fields, model_server, tmp_path, capsys):
    assert run("--dry-run", settings={**fields["settings"], **MONEY}) == 0
    table = capsys.readouterr().out
    assert "money" in table
    assert "0.00 │" in table  # hours of a device
    assert model_server.bodies == []
    assert run("--dry-run") == 0
    assert "money" not in capsys.readouterr().out


def test_a_benchmark_stopped_by_its_limit_goes_on_with_a_higher_limit(run, fields, model_server, tmp_path, capsys):
    limited = {**fields["settings"], "backend.max_spend_tokens": 1500}
    assert run(settings=limited) == 1
    assert "backend.max_spend_tokens: 1500 is reached" in capsys.readouterr().err
    asked = len(model_server.bodies)
    assert asked > 0
    assert run() == 0
    assert set(cells(tmp_path / "out")) == set(RUN)


def test_a_key_that_is_not_set_is_missed_before_any_work(run, fields, model_server, tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    assert run(settings={**fields["settings"], "backend.api_key_env": "NO_SUCH_KEY"}) == 1
    assert "NO_SUCH_KEY" in capsys.readouterr().err
    assert model_server.bodies == []
    assert not (tmp_path / "out").exists()
