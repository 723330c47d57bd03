"""Tasks and graders of the user's own, named by import paths."""

import sys

import pytest

from tracer_env.errors import ConfigError, DataError
from tracer_env.grading.base import Grade
from tracer_env.tasks import make_task

GRADER = """
from tracer_env.grading.base import grade_equal

class Initials:
    answer_format = "#### <letter>"
    def parse(self, completion):
        return completion.rpartition("#### ")[2][:1].upper() or None
    def gold(self, text):
        return text[:1].upper() or None
    def grade(self, answers, golds):
        return grade_equal(answers, golds)
"""
TASK = """
from tracer_env.errors import DataError
from tracer_env.tasks.custom import jsonl

number = 3
def questions(*, data, grader="numeric"):
    return jsonl(eval_data=data, grader=grader)
def nothing():
    return object()
def breaks():
    return 1 / 0
def refuses():
    raise DataError("row 3 is empty")
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working directory with a grader, tasks, modules that fail, and three questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    modules = {"own_graders": GRADER, "own_tasks": TASK, "own_typo": "x = (\n", "own_need": "import no_such_package\n"}
    for name, code in modules.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.delitem(sys.modules, name, raising=False)
    rows = [
        f'{{"question": "Who came {place}?", "gold": "{name}"}}\n' for place, name in enumerate(["Ada", "Bo", "Cy"])
    ]
    (tmp_path / "own.jsonl").write_text("".join(rows), encoding="utf-8")
    yield tmp_path
    for name in modules:
        sys.modules.pop(name, None)


@pytest.mark.usefixtures("here")
def test_a_grader_of_the_working_directory_judges_a_file():
    task = make_task("jsonl", eval_data="own.jsonl", grader="own_graders:Initials")

    assert [question.gold for question in task.draw("test", 0, 9, seed=0)] == ["A", "B", "C"]
    assert task.answer_format == "#### <letter>"
    assert task.grade([task.parse("She did.\n#### ada"), task.parse("#### x"), None], ["A", "B", "C"]) == [
        Grade.RIGHT,
        Grade.WRONG,
        Grade.WRONG,
    ]


@pytest.mark.usefixtures("here")
def test_a_task_takes_files_and_options_as_keyword_arguments():
    task = make_task("own_tasks:questions", data="own.jsonl", grader="own_graders:Initials")

    assert [question.gold for question in task.draw("test", 0, 9, seed=0)] == ["A", "B", "C"]


def test_installed_packages_come_before_the_working_directory(here):
    (here / "json.py").write_text("raise RuntimeError('the wrong json')", encoding="utf-8")

    with pytest.raises(ConfigError, match="has no 'Task'"):
        make_task("json:Task")


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("no_such_module:Task", {}, r"task: .*there is no module 'no_such_module'.*looked for.*PYTHONPATH"),
        ("own_tasks.inner:Task", {}, r"own_tasks\.inner"),
        ("own_tasks:nobody", {}, r"own_tasks \(.*own_tasks\.py\) has no 'nobody'; it has .*'questions'"),
        ("own_tasks:number", {}, "is int, which cannot be called"),
        ("own_tasks:nothing", {}, "makes object, which has no name, trainable, answer_format, draw, parse, grade"),
        ("own_tasks:breaks", {}, r"fails at .*own_tasks\.py:11: ZeroDivisionError"),
        ("own_tasks:questions", {}, "missing a required argument: 'data'"),
        ("own_tasks:questions", {"level": 2}, r"has no option 'level'; it has \['data', 'grader'\]"),
        ("own_typo:Task", {}, r"cannot be imported at .*own_typo\.py:1: SyntaxError"),
        ("own_need:Task", {}, r"cannot be imported at .*own_need\.py:1: ModuleNotFoundError.*no_such_package"),
        ("jsonl", {"eval_data": "own.jsonl", "grader": "own_tasks:nothing"}, "grader: .*no answer_format, parse, gold"),
        ("own tasks:questions", {}, "task must be one of .* or package.module:name"),
    ],
)
def test_a_path_that_leads_nowhere_says_why(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_task(name, **options)


@pytest.mark.usefixtures("here")
def test_an_error_of_the_project_stays_what_it_is():
    with pytest.raises(DataError, match="row 3 is empty"):
        make_task("own_tasks:refuses")
