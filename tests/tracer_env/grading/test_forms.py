"""Forms in which people and models write answers, right and wrong, read and graded as an evaluation does."""

import json
from pathlib import Path

import pytest

from tracer_env.grading.base import Grade
from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric
from tracer_env.grading.symbolic import Symbolic
from tracer_env.grading.verdict import parse_verdict

FORMS = [json.loads(line) for line in Path(__file__).with_name("forms.jsonl").read_text("utf-8").splitlines()]
ANSWERS = [form for form in FORMS if form["task"] != "verdict"]


@pytest.fixture(scope="module")
def graders():
    with Symbolic(deadline_seconds=30) as symbolic:
        yield {"gsm8k": Numeric(), "math500": symbolic, "gpqa": Choice()}


@pytest.mark.parametrize("kind", sorted({form["kind"] for form in ANSWERS}))
def test_every_form_of_a_kind_is_graded_as_a_reader_would(graders, kind):
    failed = []
    for form in ANSWERS:
        if form["kind"] == kind:
            grader = graders[form["task"]]
            [grade] = grader.grade([grader.parse(form["text"])], [grader.gold(form["gold"]) or ""])
            if (grade is Grade.RIGHT) != form["right"]:
                failed.append(form)
    assert failed == []


@pytest.mark.parametrize("form", [form for form in FORMS if form["task"] == "verdict"], ids=lambda form: form["text"])
def test_a_verdict_is_read_as_a_reader_would(form):
    verdict = parse_verdict(form["text"])
    assert (verdict and verdict.value) == form["gold"]
