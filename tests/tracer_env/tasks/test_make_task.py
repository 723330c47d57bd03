"""Every task by its name, over files and (faked) hub data sets."""

import json
import sys
from types import SimpleNamespace

import pytest

from tracer_env.errors import ConfigError, DataError, LeakageError
from tracer_env.grading.base import Grade
from tracer_env.tasks import make_task
from tracer_env.tasks.arithmetic import Arithmetic

GPQA = [
    {
        "Question": f"Which of these is particle {i}?",
        "Correct Answer": f"right {i}\n",
        "Incorrect Answer 1": f"wrong {i} one",
        "Incorrect Answer 2": f"wrong {i} two",
        "Incorrect Answer 3": f"wrong {i} three",
        "Record ID": f"rec{i}",
    }
    for i in range(40)
]


def gsm8k_rows(prefix: str, count: int) -> list[dict]:
    return [{"question": f"{prefix} {i}?", "answer": f"1+{i}=<<1+{i}={1 + i}>>\n#### {1 + i}"} for i in range(count)]


@pytest.fixture
def write(tmp_path):
    def write(name: str, rows: list[dict]) -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(path)

    return write


@pytest.fixture
def hub(monkeypatch):
    def serve(splits: dict) -> list:
        asked = []

        def load_dataset(name, config):
            asked.append((name, config))
            return splits

        monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
        return asked

    return serve


def test_arithmetic_takes_its_options():
    assert make_task("arithmetic", level=2) == Arithmetic(level=2)


def test_gsm8k_tests_on_the_evaluation_file_in_its_order(write):
    train, test = write("train.jsonl", gsm8k_rows("train", 200)), write("test.jsonl", gsm8k_rows("test", 20))
    task = make_task("gsm8k", data=train, eval_data=test)
    assert [question.text for question in task.draw("test", 0, 99, seed=3)] == [f"test {i}?" for i in range(20)]
    assert task.draw("test", 2, 1, seed=0)[0].gold == "3"
    assert {question.text.split()[0] for question in task.draw("train", 0, 500, seed=0)} == {"train"}


def test_gsm8k_holds_test_questions_away_from_a_lone_training_file(write):
    task = make_task("gsm8k", data=write("train.jsonl", gsm8k_rows("train", 200)), test_share=0.2)
    drawn = {split: {q.id for q in task.draw(split, 0, 1000, seed=0)} for split in ("train", "validation", "test")}
    assert all(drawn.values())
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["validation"]


def test_gsm8k_with_a_lone_evaluation_file_cannot_be_trained_on(write):
    path = write("test.jsonl", gsm8k_rows("test", 20))
    task = make_task("gsm8k", eval_data=path)
    assert not task.trainable
    assert len(task.draw("test", 0, 99, seed=0)) == 20
    with pytest.raises(LeakageError, match=r"test\.jsonl is for evaluation; to train, give data=FILE"):
        task.draw("train", 0, 1, seed=0)


def test_gsm8k_refuses_one_file_in_both_parts(write):
    path = write("both.jsonl", gsm8k_rows("q", 200))
    with pytest.raises(LeakageError, match="200 questions are both in"):
        make_task("gsm8k", data=path, eval_data=path)


def test_gsm8k_drops_and_counts_rows_without_a_number(write):
    rows = [*gsm8k_rows("q", 5), {"question": "no?", "answer": "I never say"}, gsm8k_rows("Q", 1)[0]]
    task = make_task("gsm8k", eval_data=write("test.jsonl", rows))
    assert (task.size("test"), task.dropped, task.duplicates) == (5, 1, 1)


def test_a_malformed_row_is_named(write):
    path = write("test.jsonl", [*gsm8k_rows("q", 2), {"question": "x"}])
    with pytest.raises(DataError, match=r"test\.jsonl, line 3: no field 'answer'; the row has \['question'\]"):
        make_task("gsm8k", eval_data=path)


def test_gsm8k_comes_from_the_hub_by_default(hub):
    asked = hub({"train": gsm8k_rows("train", 200), "test": gsm8k_rows("test", 20)})
    task = make_task("gsm8k")
    assert asked == [("openai/gsm8k", "main")]
    assert len(task.draw("test", 0, 99, seed=0)) == 20
    assert task.trainable


@pytest.mark.parametrize("field", ["data", "eval_data"])
def test_math500_is_for_evaluation_only(write, field):
    rows = [{"problem": f"p{i}", "solution": "…", "answer": rf"\frac{{{i}}}{{7}}"} for i in range(1, 4)]
    task = make_task("math500", **{field: write("math.jsonl", rows)})
    assert [question.gold for question in task.draw("test", 0, 9, seed=0)] == [rf"\frac{{{i}}}{{7}}" for i in (1, 2, 3)]
    assert task.parse(r"thus \boxed{\dfrac17}") == r"\frac{1}{7}"
    for split in ("train", "validation"):
        with pytest.raises(LeakageError, match=r"task 'math500' has no .* it is an evaluation set"):
            task.draw(split, 0, 1, seed=0)


def test_math500_takes_one_file_only(write):
    path = write("math.jsonl", [{"problem": "p", "answer": "1"}])
    with pytest.raises(ConfigError, match="give one file"):
        make_task("math500", data=path, eval_data=path)


def test_math500_comes_from_the_hub_by_default(hub):
    asked = hub({"test": [{"problem": "p", "answer": "1"}]})
    assert make_task("math500").draw("test", 0, 9, seed=0)[0].gold == "1"
    assert asked == [("HuggingFaceH4/MATH-500", None)]


def test_gpqa_letters_its_shuffled_choices(write):
    task = make_task("gpqa_diamond", data=write("gpqa.jsonl", GPQA))
    drawn = task.draw("test", 0, 99, seed=0)
    for i, question in enumerate(drawn):
        text, blank, *choices = question.text.split("\n")
        assert (text, blank) == (GPQA[i]["Question"], "")
        assert [choice[:4] for choice in choices] == ["(A) ", "(B) ", "(C) ", "(D) "]
        assert sorted(choice[4:] for choice in choices) == sorted(
            GPQA[i][field].strip() for field in GPQA[i] if "Answer" in field
        )
        assert next(choice for choice in choices if choice[4:].startswith("right"))[1] == question.gold
    assert {question.gold for question in drawn} == set("ABCD")
    assert task.grade([task.parse(f"The answer is ({drawn[0].gold})")], [drawn[0].gold]) == [Grade.RIGHT]


def test_gpqa_choices_depend_on_the_question_alone(write, hub):
    by_id = {q.id: q for q in make_task("gpqa_diamond", data=write("gpqa.jsonl", GPQA)).draw("test", 0, 99, seed=0)}
    asked = hub({"train": GPQA[::-1]})
    for question in make_task("gpqa_diamond").draw("test", 0, 99, seed=5):
        assert by_id[question.id] == question
    assert asked == [("Idavidrein/gpqa", "gpqa_diamond")]


def test_gpqa_choices_never_change(write):
    gold = [q.gold for q in make_task("gpqa_diamond", data=write("gpqa.jsonl", GPQA[:8])).draw("test", 0, 8, seed=0)]
    assert "".join(gold) == "BABAAACD"


def test_gpqa_is_for_evaluation_only_and_drops_ambiguous_rows(write):
    task = make_task("gpqa_diamond", data=write("g.jsonl", [*GPQA[:2], {**GPQA[2], "Incorrect Answer 2": "right 2"}]))
    assert (task.size("test"), task.dropped) == (2, 1)
    with pytest.raises(LeakageError, match="task 'gpqa_diamond' has no 'train' questions"):
        task.draw("train", 0, 1, seed=0)


@pytest.mark.parametrize(
    ("rows", "options", "gold", "completion"),
    [
        ([{"question": "q", "gold": 18}], {"grader": "numeric"}, "18", "A: 18.0"),
        ([{"question": "q", "gold": "b", "answer": "x"}], {"grader": "choice"}, "B", "Answer: B"),
        ([{"question": "q", "answer": r"so \boxed{\frac12}"}], {}, r"\frac{1}{2}", r"\boxed{1/2}"),
        ([{"ask": "q", "key": "7"}], {"question_field": "ask", "answer_field": "key"}, "7", "The answer is 7."),
    ],
)
def test_any_jsonl_file_is_a_task(write, rows, options, gold, completion):
    task = make_task("jsonl", eval_data=write("own.jsonl", rows), **options)
    assert [question.gold for question in task.draw("test", 0, 9, seed=0)] == [gold]
    assert task.parse(completion) == gold


def test_a_jsonl_task_can_be_trained_on(write):
    rows = [{"question": f"q{i}", "gold": i} for i in range(200)]
    task = make_task("jsonl", data=write("own.jsonl", rows), grader="numeric", validation_share=0.1)
    assert task.trainable
    assert len(task.draw("train", 0, 300, seed=0)) == 300


def test_any_hub_set_is_a_task(hub):
    asked = hub({"fit": gsm8k_rows("train", 200), "dev": gsm8k_rows("test", 20)})
    task = make_task("hub:me/mine", config="c", train_split="fit", test_split="dev", grader="numeric")
    assert asked == [("me/mine", "c")]
    assert task.name == "hub:me/mine"
    assert len(task.draw("test", 0, 99, seed=0)) == 20
    assert task.trainable


def test_a_hub_set_without_a_test_split_holds_a_slice_away(hub):
    hub({"train": gsm8k_rows("train", 200)})
    task = make_task("hub:me/mine", grader="numeric")
    assert task.draw("test", 0, 99, seed=0)


def test_a_benchmark_of_the_hub_is_for_evaluation_only_whatever_its_splits(hub):
    hub({"train": [{"problem": "p", "answer": "1"}], "test": [{"problem": "q", "answer": "1"}]})
    task = make_task("hub:HuggingFaceH4/MATH-500", question_field="problem")
    assert not task.trainable


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("gsm9k", {}, "task must be one of .*'gsm8k'.* got 'gsm9k'"),
        ("jsonl", {}, "'jsonl' needs questions: data=FILE"),
        ("jsonl", {"data": "f", "grader": "vibes"}, r"grader must be one of \['choice', 'numeric', 'symbolic'\]"),
        ("gsm8k", {"level": 2}, "task 'gsm8k' has no option 'level'"),
        ("arithmetic", {"data": "f.jsonl"}, "task 'arithmetic' has no option 'data'"),
        ("hub:a/b", {"eval_data": "f.jsonl"}, "task 'hub:a/b' has no option 'eval_data'"),
    ],
)
def test_a_task_that_cannot_be_made_says_what_can(name, options, message):
    with pytest.raises(ConfigError, match=message):
        make_task(name, **options)
