"""Cases that other people reported, graded as an evaluation grades them: parsed, then compared with the gold."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tracer_env.grading.base import Grade
from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric
from tracer_env.grading.symbolic import Symbolic

CASES = Path(__file__).parents[4] / "shared" / "cases" / "grading.jsonl"
LEAST_RIGHT = 0.97


@pytest.mark.skipif(not CASES.exists(), reason="the public cases are not here (../shared/cases/grading.jsonl)")
def test_public_cases_are_graded_as_expected():
    cases = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
    failed = []
    with Symbolic(deadline_seconds=30) as symbolic:
        graders = {"gsm8k": Numeric(), "math500": symbolic, "gpqa": Choice()}
        for case in cases:
            grader = graders[case["task"]]
            [grade] = grader.grade([grader.parse(case["text"])], [grader.gold(case["gold"]) or ""])
            if (grade is Grade.RIGHT) != (case["expected"] == "right"):
                failed.append(case)
    by_kind = Counter(case["kind"] for case in failed)
    assert len(failed) <= (1 - LEAST_RIGHT) * len(cases), (by_kind, failed)
