"""Recorded completions are graded again, whatever their fields are called, and disagreements listed."""

import json

import pytest

from benchmarks.graders.__main__ import main
from benchmarks.graders.recorded import compare_all
from tracer_env.errors import DataError

ROWS = [
    {"response": "so #### 18", "gold": "18", "result": True},
    {"code": ["```python\n18\n```\nIt is $\\boxed{18}$."], "gt": "18", "pred": ["18.0"]},
    {"solution": "A: 7", "ground_truth": "8", "is_correct": False},
    {"response": "#### 18.", "gold": "18", "result": False},  # the authors did not read the full stop
]


def written(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def test_verdicts_are_compared_and_disagreements_listed(tmp_path):
    written(tmp_path / "rows.jsonl", ROWS)
    [compared] = compare_all([tmp_path], "numeric")
    assert (compared.rows, compared.authors_right, compared.ours_right) == (4, 2, 3)
    [disagreement] = compared.disagreements
    assert (disagreement["read"], disagreement["authors"]) == ("18", False)


def test_several_models_in_a_row_are_several_sources(tmp_path):
    solved = {"solution": "A: 8", "is_correct": True}
    path = written(tmp_path / "rows.jsonl", [{"ground_truth": "3+5\nA: 8", "small": solved, "large": solved}])
    assert [(each.source.split()[-1], each.ours_right) for each in compare_all([path], "numeric")] == [
        ("small", 1),
        ("large", 1),
    ]


MARKDOWN = r"""# Results
## Problem 1
  Problem Statement: What is $1/2$?
  Ground Truth: \frac12

## Response 1
  Answer: 0.5
  Is Correct: False

--- LLM Response ---
So \boxed{0.5}.
--- End LLM Response ---

## Problem 2
  Ground Truth: 3

## Response 2
  Is Correct: True

--- LLM Response ---
\boxed{3}
--- End LLM Response ---
"""


def test_a_report_in_markdown_is_read(tmp_path):
    (tmp_path / "report.md").write_text(MARKDOWN, "utf-8")
    [compared] = compare_all([tmp_path], "symbolic")
    assert (compared.rows, compared.authors_right, compared.ours_right) == (2, 1, 2)


@pytest.mark.parametrize(
    ("row", "message"), [({"response": "#### 1"}, "no gold"), ({"response": "#### 1", "gold": "1"}, "no verdict")]
)
def test_a_row_without_a_known_field_is_named(tmp_path, row, message):
    with pytest.raises(DataError, match=f"line 1.*{message}"):
        compare_all([written(tmp_path / "rows.jsonl", [row])], "numeric")


def test_a_folder_without_files_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no JSONL or Markdown file"):
        compare_all([tmp_path], "numeric")


def test_the_command_prints_a_table_and_writes_the_figures(tmp_path, capsys):
    path = written(tmp_path / "rows.jsonl", ROWS)
    main(["recorded", str(path), "--json", str(tmp_path / "figures.json")])
    assert "| 4 | 2 | 3 | 1 |" in capsys.readouterr().out
    assert json.loads((tmp_path / "figures.json").read_text())[0]["rows"] == 4
