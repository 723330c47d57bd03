"""Rows are checked as they are read, and an error names file, line, field and remedy."""

import json
import sys
from types import SimpleNamespace

import pytest

from tracer_env.errors import DataError
from tracer_env.tasks import rows as rows_module
from tracer_env.tasks.rows import Row, hub_rows, jsonl_rows, question_hash, question_set


def read(row):
    question = row.text("question")
    return question, question, None if row.text("answer") == "?" else row.text("answer")


def write(path, *lines):
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_rows_are_read_in_order_and_blank_lines_skipped(tmp_path):
    path = write(tmp_path / "q.jsonl", '\ufeff{"question": "é?"}', "", "  ", '{"question": "b"}')
    assert [(row.fields["question"], row.where) for row in jsonl_rows(path)] == [
        ("é?", f"{path}, line 1"),
        ("b", f"{path}, line 4"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"a": 1}\n{"question": ', "line 2: not JSON"),
        (b'{"a": 1}\n[1]', "line 2: a list"),
        (b'{"a": "\xff"}', "line 1: not JSON in UTF-8"),
        (b"[" * 100_000, "line 1: not JSON"),
        (b'{"a": "' + b"x" * 50 + b'"}', "line 1: longer than 40 bytes"),
        (b"{}\n" * 5, "line 5: more than 4 lines"),
    ],
)
def test_a_bad_line_is_named(tmp_path, monkeypatch, content, message):
    if b"[[" not in content:
        monkeypatch.setattr(rows_module, "MAX_LINE_BYTES", 40)
    monkeypatch.setattr(rows_module, "MAX_ROWS", 4)
    path = tmp_path / "q.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(jsonl_rows(path))


@pytest.mark.parametrize("name", ["missing.jsonl", ""])
def test_a_file_that_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(DataError, match="cannot be read"):
        list(jsonl_rows(tmp_path / name))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"text": "a"}, r"f\.jsonl, line 3: no field 'question' or 'problem'; the row has \['text'\]"),
        ({"question": ""}, "field 'question' is empty"),
        ({"question": ["a"]}, "field 'question' must be text, got list"),
        ({"question": None}, "got NoneType"),
        ({"question": True}, "got bool"),
    ],
)
def test_a_bad_field_is_named(fields, message):
    with pytest.raises(DataError, match=message):
        Row(where="f.jsonl, line 3", fields=fields).text("question", "problem")


def test_a_number_is_text():
    assert Row(where="", fields={"gold": 18}).text("gold") == "18"


def test_unreadable_golds_and_duplicates_are_left_out_and_counted():
    raw = [("a", "1"), ("b", "?"), (" A ", "2"), ("c", "3"), ("a", "4")]
    found = question_set("t", "f", [Row(where="", fields={"question": q, "answer": a}) for q, a in raw], read)
    assert [(question.text, question.gold) for question in found.questions] == [("a", "1"), ("c", "3")]
    assert (found.dropped, found.duplicates) == (1, 2)
    assert found.questions[0].id == f"t/{question_hash('a')}"


def test_a_source_without_a_usable_row_is_an_error():
    with pytest.raises(DataError, match=r"f: no usable row \(1 without a readable gold"):
        question_set("t", "f", [Row(where="", fields={"question": "a", "answer": "?"})], read)


def test_question_hashes_are_stable_and_ignore_case_and_spacing():
    assert question_hash("How  many\n eggs?") == question_hash("how many eggs?") == "0907bd1dc33b9d70"
    assert question_hash("how many eggs") != question_hash("how many eggs?")


def test_hub_rows_come_from_the_wanted_splits(monkeypatch):
    asked = []

    def load_dataset(name, config):
        asked.append((name, config))
        return {"train": [{"q": 1}, {"q": 2}], "other": [{"q": 3}]}

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    found = hub_rows("o/n", config="main", splits=("train", "test"))
    assert asked == [("o/n", "main")]
    assert {split: [row.where for row in rows] for split, rows in found.items()} == {
        "train": ["o/n, train row 0", "o/n, train row 1"]
    }
    with pytest.raises(DataError, match=r"none of the splits \['test'\], only \['other', 'train'\]"):
        hub_rows("o/n", config=None, splits=("test",))


def test_a_hub_set_that_cannot_be_loaded_says_what_to_do(monkeypatch):
    def load_dataset(name, config):
        raise ConnectionError("offline\nand more")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"'o/n' \(config 'main'\): .*ConnectionError: offline\); .*--data FILE"):
        hub_rows("o/n", config="main", splits=("train",))
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match="pip install datasets"):
        hub_rows("o/n", config=None, splits=("train",))


@pytest.mark.parametrize("field", ["question", "answer"])
@pytest.mark.parametrize("fault", ["\ud800", "\0"])
def test_text_that_is_no_unicode_is_named_with_file_line_and_field(tmp_path, field, fault):
    fields = {"question": "How many?", "answer": "1", field: f"seven {fault} eggs"}
    path = write(tmp_path / "q.jsonl", json.dumps({"question": "Who?", "answer": "1"}), json.dumps(fields))
    with pytest.raises(DataError, match=f"q.jsonl, line 2: field '{field}' has a NUL or a lone surrogate"):
        question_set("t", "q", jsonl_rows(path), read)
