"""Finite tasks: disjoint splits, pure draws, and no leaks."""

import pytest

from tracer_env.errors import ConfigError, DataError, LeakageError
from tracer_env.grading.numeric import Numeric
from tracer_env.tasks.base import Grade, Question
from tracer_env.tasks.finite import FiniteTask, Shares, evaluation_task, trainable_task
from tracer_env.tasks.rows import QuestionSet, question_hash


def questions(prefix: str, count: int) -> QuestionSet:
    made = [Question(id=f"t/{question_hash(f'{prefix} {i}')}", text=f"{prefix} {i}", gold=str(i)) for i in range(count)]
    return QuestionSet(source=f"{prefix}.jsonl", questions=tuple(made), dropped=2, duplicates=3)


def task(test_set: QuestionSet | None = None, **shares: float) -> FiniteTask:
    return trainable_task("t", Numeric(), questions("train", 400), test_set, Shares(**shares))


def test_slices_partition_the_questions_in_their_shares():
    made = task(validation=0.2, test=0.3)
    ids = {split: {question.id for question in made.splits[split]} for split in ("train", "validation", "test")}
    assert len(ids["train"] | ids["validation"] | ids["test"]) == sum(map(len, ids.values())) == 400
    assert 50 <= made.size("validation") <= 110
    assert 85 <= made.size("test") <= 155
    assert (made.dropped, made.duplicates) == (2, 3)


def test_a_test_set_changes_what_is_trained_on_but_not_what_validates():
    alone, beside = task(), task(questions("test", 50))
    assert beside.splits["validation"] == alone.splits["validation"]
    assert beside.splits["test"] == questions("test", 50).questions
    assert set(beside.splits["train"]) == set(alone.splits["train"]) | set(alone.splits["test"])
    assert (beside.dropped, beside.duplicates) == (4, 6)


def test_slices_do_not_depend_on_the_other_questions():
    small = trainable_task("t", Numeric(), questions("train", 200), None, Shares())
    assert set(small.splits["validation"]) <= set(task().splits["validation"])


def test_training_draws_are_seeded_permutations_without_end():
    made = task()
    n = made.size("train")
    drawn = made.draw("train", 0, 2 * n, seed=1)
    assert set(drawn[:n]) == set(drawn[n:]) == set(made.splits["train"])
    assert drawn[:n] != drawn[n:]
    assert made.draw("train", 0, n, seed=2) != drawn[:n]


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_draws_are_windows_of_one_stream(split):
    made = task()
    whole = made.draw(split, 0, 500, seed=7)
    for start, count in [(0, 0), (3, 5), (338, 10), (345, 155)]:
        assert made.draw(split, start, count, seed=7) == whole[start : start + count]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_held_out_questions_keep_their_order_and_end(split):
    made = task()
    assert tuple(made.draw(split, 0, 1000, seed=1)) == made.splits[split]
    assert made.draw(split, 5, 2, seed=1) == made.draw(split, 5, 2, seed=2)
    assert made.draw(split, 1000, 5, seed=1) == []


def test_an_overlap_of_training_and_test_is_an_error():
    with pytest.raises(LeakageError, match=r"40 questions are both in train\.jsonl .* and in train\.jsonl"):
        task(questions("train", 40))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_evaluation_set_is_never_trained_on(split):
    made = evaluation_task("bench", Numeric(), questions("test", 5))
    assert not made.trainable
    assert len(made.draw("test", 0, 9, seed=0)) == 5
    with pytest.raises(LeakageError, match=f"task 'bench' has no '{split}' questions: it is an evaluation set"):
        made.draw(split, 0, 1, seed=0)


def test_an_empty_split_is_an_error():
    with pytest.raises(DataError, match="2 questions are too few"):
        trainable_task("t", Numeric(), questions("train", 2), None, Shares(validation=0.01, test=0.01))
    assert trainable_task("t", Numeric(), questions("train", 2), None, Shares(validation=0, test=0)).size("train") == 2


@pytest.mark.parametrize("shares", [(-0.1, 0.1), (0.5, 0.5), (0.1, float("nan"))])
def test_shares_must_leave_something(shares):
    with pytest.raises(ConfigError, match="validation_share and test_share"):
        Shares(validation=shares[0], test=shares[1])


@pytest.mark.parametrize("arguments", [("dev", 0, 1), ("train", -1, 1), ("train", 0, -1)])
def test_a_draw_outside_the_data_is_an_error(arguments):
    with pytest.raises(ConfigError):
        task().draw(*arguments, seed=0)


def test_the_grader_reads_and_grades():
    made = task()
    assert made.answer_format == "#### <number>"
    assert made.grade([made.parse("#### 18"), made.parse("none")], ["18", "18"]) == [Grade.RIGHT, Grade.WRONG]
