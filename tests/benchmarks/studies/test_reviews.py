"""The study of reviews: its counts by hand, and the whole command on a very small model."""

import json
import sys

import pytest

from benchmarks.studies.reviews import Review, figures, main
from tracer_agents.cli import main as tracer
from tracer_env.dialogue import FinishReason, Verdict
from tracer_env.errors import ConfigError


def review(right: bool, verdict: Verdict | None, tokens: int, finish: FinishReason = FinishReason.STOP) -> Review:
    return Review(
        question_id="q",
        solution_right=right,
        text="",
        verdict=verdict,
        prompt_tokens=10,
        generated_tokens=tokens,
        finish_reason=finish,
    )


def test_counts_by_hand():
    reviews = [
        review(True, Verdict.RIGHT, 4),
        review(True, Verdict.WRONG, 6),
        review(False, Verdict.RIGHT, 5),
        review(False, None, 9, FinishReason.LENGTH),
    ]
    assert figures(reviews) == {
        "reviews": 4,
        "readable": 3,
        "cut_off": 1,
        "right_solutions": 2,
        "right_called_right": 1,
        "right_called_wrong": 1,
        "wrong_solutions": 2,
        "wrong_called_right": 1,
        "wrong_called_wrong": 0,
        "prompt_tokens": 10.0,
        "generated_tokens": 6.0,
    }


@pytest.fixture
def evaluated(small_folder, tmp_path):
    """The small model's single answers to six questions."""
    words = ["eval", "--model", str(small_folder), "--task", "arithmetic", "--limit", "6", "--speakers.style", "tiny"]
    words += ["--dialogue.n_agents", "1", "--dialogue.rounds", "1", "--evaluation.greedy", "false"]
    words += ["--speakers.proposer_max_new_tokens", "16", "--evaluation.baselines", "false"]
    assert tracer([*words, "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run"


def test_recorded_solutions_are_reviewed_in_their_order(evaluated, tmp_path, monkeypatch, capsys):
    out = tmp_path / "reviews.jsonl"
    words = ["reviews", str(evaluated), "--solutions", "4", "--tokens", "8", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    capsys.readouterr()
    main()
    rows = [json.loads(row) for row in out.read_text().splitlines()]
    records = [json.loads(row) for row in (evaluated / "transcripts.jsonl").read_text().splitlines()]
    assert [row["question_id"] for row in rows] == [record["question_id"] for record in records[:4]]
    assert [row["solution_right"] for row in rows] == [record["correct"] for record in records[:4]]
    assert all(0 < row["generated_tokens"] <= 8 for row in rows)
    assert json.loads(capsys.readouterr().out)["reviews"] == 4
    monkeypatch.setattr(sys, "argv", [*words[:2], "--solutions", "7", "--out", str(out)])
    with pytest.raises(ConfigError, match="6 recorded solutions, not 7; lower --solutions"):
        main()
