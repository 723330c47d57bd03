"""The page of pools: votes and certainty by hand."""

import json

import pytest

from tracer_agents.cli import main
from tracer_agents.report.sources import page_of

HEADER = {"schema_version": 1, "members": ["cheap", "dear"]}


def draw(answer, p_right):
    review = {"p_right": p_right, "verdict": "RIGHT" if p_right > 0.5 else "WRONG", "generated_tokens": 1}
    return {"answer": answer, "generated_tokens": 10, "text": f"I say {answer}", "reviews": {"cheap": [review]}}


@pytest.fixture
def pool(tmp_path):
    rows = [
        {
            "question_id": f"q{number}",
            "question": "3 + 4?",
            "gold": "7",
            "members": {
                "cheap": [draw(answer, 0.9 if answer == "7" else 0.2) for answer in cheap],
                "dear": [{"answer": "7", "generated_tokens": 30}] * 3,
            },
        }
        for number, cheap in enumerate((["8", "7", "7"], ["7", "7", "8"], ["8", "8", "7"], ["8", "8", "8"]))
    ]
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in (HEADER, *rows)))
    return path


def test_draws_votes_and_hindsight_are_those_counted_by_hand(pool):
    [cheap, dear] = page_of([pool]).sections[0].blocks[0].rows
    assert [cell.text for cell in cheap.cells] == ["0.417", "0.500", "0.750", "30.0", "3"]
    assert [cell.text for cell in dear.cells] == ["1.000", "1.000", "1.000", "90.0", "3"]


def test_every_number_of_votes_is_on_the_frontier(pool):
    [chart] = page_of([pool]).sections[1].blocks
    assert [(point.x, point.y, point.label) for point in chart.series[0].points] == [
        (10, 0.25, "1 vote"),
        (20, 0.25, ""),  # ties go to the first
        (30, 0.5, "3 votes"),
    ]


def test_reviews_are_judged_by_what_they_review(pool):
    page = page_of([pool])
    [reviews, certainty] = [section for section in page.sections if section.name in ("reviews", "belief")]
    assert [cell.detail.partition(",")[0] for cell in reviews.blocks[0].rows[0].cells] == ["7 of 7", "5 of 5"]
    assert [(round(point.x, 6), point.y) for point in certainty.blocks[0].series[0].points] == [(0.2, 0), (0.9, 1)]
    assert "AUROC 1.000" in certainty.blocks[0].title


def test_every_draw_can_be_read_and_a_folder_of_pools_is_one_page(pool, capsys):
    out = pool.with_name("page.html")
    assert main(["report", str(pool.parent), "--out", str(out)]) == 0
    assert "<h1>pool</h1>" in out.read_text("utf-8")
    browser = page_of([pool]).browser
    assert [run["name"] for run in browser["runs"]] == ["cheap", "dear"]
    turns = browser["questions"][0]["entries"][0]["turns"]
    assert [(turn[0], turn[2]) for turn in turns[:4]] == [
        (1, "proposer"),
        (1, "reviewer"),
        (2, "proposer"),
        (2, "reviewer"),
    ]
    assert browser["texts"][turns[0][5]] == "I say 8"
    capsys.readouterr()
