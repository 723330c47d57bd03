"""Pools are drawn with real models, go on after a kill to the same bytes, and serve every rival from the command."""

import json
import shutil

import numpy as np
import pytest
import yaml

from benchmarks.__main__ import main
from benchmarks.studies.pair import Arm, report
from tracer_agents.build import build
from tracer_agents.errors import RunError
from tracer_agents.evaluation.play import draw_episodes
from tracer_agents.rollout.pools import tokens_of
from tracer_agents.runs.pools import header_of, load_pool, record_pool
from tracer_agents.speakers.drawing import Drawing

RIVALS = ["automix", "cascade", "member_votes", "model_switch", "slm_mux"]


@pytest.fixture(scope="module")
def twin_folder(small_folder, tmp_path_factory):
    """The small model under another name: another model, as far as a team knows."""
    return shutil.copytree(small_folder, tmp_path_factory.mktemp("model") / "twin")


@pytest.fixture(scope="module")
def made(small_folder, twin_folder, small_settings, tmp_path_factory):
    from tracer_agents.config import load_config

    members = [{"model": str(small_folder)}, {"model": str(twin_folder), "price": 4}]
    config = load_config(overrides={**small_settings, "speakers.members": members})
    with build(config) as parts:
        episodes = draw_episodes(parts.task, "test", 0, 5, seed=0, phase="pool")
        path = tmp_path_factory.mktemp("pool") / "pool.jsonl"

        def draw(path):
            sizes = {"draws": 3, "reviews": 2, "reviewed_draws": 1}
            header = header_of(config, split="test", questions=5, **sizes, cross=True, chunk=2)
            drawing = Drawing(agents=[0, 1], speakers=parts.speakers, task=parts.task, **sizes, cross=True)
            record_pool(path, header, episodes, drawing.questions, chunk=2)

        draw(path)
        yield draw, episodes, path


def test_a_pool_holds_what_was_drawn(made):
    _, episodes, path = made
    pool = load_pool(path, episodes).questions
    assert [len(draws) for question in pool for draws in question.members] == [3, 3] * 5
    for question in pool:
        for draws in question.members:
            assert len({each.utterance.text for each in draws}) > 1 or draws[0].utterance.generated_tokens < 3
            assert all(each.utterance.mean_logp < 0 for each in draws)
            assert len(draws[0].reviews) == 2
            assert not any(each.reviews or each.cross_reviews for each in draws[1:])
        assert [len(question.reviews(member, 0, 1 - member)) for member in (0, 1)] == [2, 2]
    assert any(question.reviews(0, 0, 1) != question.reviews(0, 0, 0) for question in pool)
    assert tokens_of(pool) > 0


def test_a_killed_pool_is_continued_to_the_same_bytes(made, tmp_path):
    draw, _, path = made
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    (tmp_path / "pool.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:50])
    draw(tmp_path / "pool.jsonl")
    assert (tmp_path / "pool.jsonl").read_bytes() == whole


def test_a_damaged_line_is_named(made, tmp_path):
    _, episodes, path = made
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["members"]["0-small"][0]["verdict"] = "MAYBE"
    (tmp_path / "pool.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    with pytest.raises(RunError, match=r"pool\.jsonl, line 4: not a question of a pool"):
        load_pool(tmp_path / "pool.jsonl", episodes)


def test_rivals_run_from_the_command_and_learned_controllers_beside_them(
    small_folder, twin_folder, small_settings, tmp_path
):
    members = [{"model": str(small_folder)}, {"model": str(twin_folder), "price": 4}]
    settings = {**small_settings, "speakers.members": members}
    fields = {"preset": "demo", "settings": settings, "methods": [*RIVALS, "controllers_only", "best_fixed"]}
    fields |= {"questions": 6, "fit_questions": 6, "validation_questions": 4, "draws": 3, "reviews": 2}
    fields |= {"tasks": {"arithmetic-1": {"name": "arithmetic", "options": {"level": "1"}}}, "prices": [0.1, 1.0]}
    plan = tmp_path / "plan.yaml"
    plan.write_text(yaml.safe_dump(fields))
    main(["run", "--config", str(plan), "--out", str(tmp_path / "out"), "--jobs", "1"])
    for name in fields["methods"]:
        cell = json.loads((tmp_path / "out/cells" / name / "arithmetic-1/seed-0/cell.json").read_text())
        assert cell["points"] == [f"{name}@price=0.1", f"{name}@price=1"]
        assert cell["training_questions"] >= 6
    main(["report", str(tmp_path / "out")])
    assert "SLM-MUX" in (tmp_path / "out/report/report.md").read_text()
    page, rows = report([tmp_path / "out"])
    assert {row["rival"] for row in rows} == {*RIVALS, "best_fixed"}
    assert "| out | cascade | 0.1 |" in page


def test_rivals_of_teams_refuse_a_team_of_one_model(small_settings, tmp_path, capsys):
    plan = tmp_path / "plan.yaml"
    fields = {
        "preset": "demo",
        "settings": small_settings,
        "methods": ["cascade"],
        "tasks": {"a": {"name": "arithmetic"}},
    }
    plan.write_text(yaml.safe_dump(fields))
    assert main(["run", "--config", str(plan), "--out", str(tmp_path / "out")]) != 0
    assert "cascade is for teams of several models; set speakers.members" in capsys.readouterr().err


def test_a_rival_is_compared_at_the_learned_team_s_cost():
    def arm(points):
        return Arm(
            name="rival",
            right={price: np.array([accuracy]) for price, (_, accuracy) in enumerate(points)},
            cost={price: np.array([cost]) for price, (cost, _) in enumerate(points)},
            utility={},
        )

    rival = arm([(10.0, 0.5), (30.0, 0.9), (40.0, 0.6)])
    assert rival.accuracy_at(10) == 0.5
    assert rival.accuracy_at(20) == pytest.approx(0.7)  # half of the questions each way
    assert rival.accuracy_at(5) == pytest.approx(0.25)  # half of them are not answered
    assert rival.accuracy_at(100) == 0.9
