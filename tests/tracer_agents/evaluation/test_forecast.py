"""What a fit or an evaluation is said to cost is no less than what it then asks for."""

import pytest

from tracer_agents.config import load_config
from tracer_agents.evaluation.forecast import forecast
from tracer_agents.training.experiment import run_evaluation
from tracer_agents.training.fit import fit_settings, run_fit
from tracer_agents.training.stages import Silent


def completions(server):
    """What was asked for, the examining request aside."""
    return [body for body in server.bodies if body["max_tokens"] != 16 or body["seed"] != 0]


def test_a_fit_asks_for_no_more_than_was_forecast(remote_settings, model_server, tmp_path):
    config = fit_settings(load_config(overrides=remote_settings), remote_settings, 6)
    rows = {row.stage: row for row in forecast(config, "fit")}
    assert model_server.bodies == []
    expanded = {"record": 6, "checkpoint": 2, "validate": 4, "certify": 4}
    assert {stage: rows[stage].requests for stage in expanded} == {s: 4 * count for s, count in expanded.items()}
    assert rows["play"].requests == 6 * 4
    run_fit(config, tmp_path / "run", resume=False, display=Silent())
    played = [body for body in completions(model_server) if body["temperature"] == 0]
    assert 0 < len(played) <= rows["play greedily"].requests
    assert len(completions(model_server)) <= sum(row.requests for row in rows.values()) + 6 * 6  # votes are a guess


def test_an_evaluation_is_forecast_too(remote_settings, model_server, tmp_path):
    config = load_config(overrides=remote_settings)
    rows = {row.stage: row for row in forecast(config, "eval --model")}
    assert {stage: row.requests for stage, row in rows.items()} == {
        "play": 6 * (1 + 1 + 2),
        "play greedily": 6 * 3,
        "vote": 6 * 4,
    }
    run_evaluation(config, tmp_path / "run", run=None, display=Silent())
    asked = [body for body in completions(model_server) if body["temperature"] == 0]
    assert len(asked) <= rows["play greedily"].requests


def test_tokens_and_money_are_bounds(remote_settings, model_server, tmp_path):
    overrides = {
        **remote_settings,
        "evaluation.baselines": False,
        "backend.money_per_million_prompt_tokens": 100.0,
        "backend.money_per_million_generated_tokens": 200.0,
    }
    config = fit_settings(load_config(overrides=overrides), overrides, 6)
    rows = forecast(config, "fit")
    run_fit(config, tmp_path / "run", resume=False, display=Silent())
    usage = [model_server.say(body)["usage"] for body in completions(model_server)]
    prompt, generated = (sum(each[name] for each in usage) for name in ("prompt_tokens", "completion_tokens"))
    assert prompt <= sum(row.prompt.most for row in rows)
    assert generated <= sum(row.generated.most for row in rows)
    assert (prompt * 100 + generated * 200) / 1e6 <= sum(row.money.most for row in rows)
    for row in rows:
        assert 0 < row.prompt.likely <= row.prompt.most
        assert 0 < row.generated.likely <= row.generated.most
        assert row.money.most == pytest.approx((row.prompt.most * 100 + row.generated.most * 200) / 1e6)


def test_of_a_mixed_team_only_the_server_is_counted(remote_settings):
    engine = {name.removeprefix("backend."): value for name, value in remote_settings.items() if "backend." in name}
    members = [{"model": "tiny"}, {"model": "m", "price": 4.0, "backend": engine}]
    others = {name: value for name, value in remote_settings.items() if "backend." not in name}
    overrides = {**others, "speakers.members": members, "speakers.model": "tiny"}
    config = fit_settings(load_config(overrides=overrides), overrides, 6)
    rows = {row.stage: row for row in forecast(config, "fit")}
    assert {row.model for row in rows.values()} == {"m"}
    assert rows["record"].requests == 6 * (1 + 2)  # rounds 2 and 3 are its: a review and two proposals
    assert rows["vote"].requests == 6  # its single answer


def test_local_models_cost_no_money(small_config):
    assert forecast(small_config(), "eval --model") == []
