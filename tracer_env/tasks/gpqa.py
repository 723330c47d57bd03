"""GPQA-Diamond: graduate-level science questions with four choices (Rein et al., arXiv 2311.12022)."""

from pathlib import Path

from tracer_env.grading.choice import Choice
from tracer_env.seeding import choice_order
from tracer_env.tasks.finite import FiniteTask
from tracer_env.tasks.rows import Row, question_hash
from tracer_env.tasks.sources import HubSource, evaluation_from

LETTERS = "ABCD"
CHOICE_FIELDS = ("Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


def gpqa_diamond(*, data: str | Path | None = None, eval_data: str | Path | None = None) -> FiniteTask:
    """The evaluation-only task ``gpqa_diamond``; rows have ``Question`` and the four ``CHOICE_FIELDS``.

    The question's text holds the lettered choices, in an order that depends on the question alone, so that every
    run and machine agrees; the gold is the right choice's letter. A row where a wrong choice reads like the right
    one has no gold and is dropped.

    Args:
        data: a JSONL file with the questions; ``eval_data`` means the same. Without either, the questions come
            from the hub (``Idavidrein/gpqa``, gated: its terms must be accepted and a login be there).

    Raises:
        DataError, ConfigError: as ``sources.evaluation_from``.
    """
    return evaluation_from(
        "gpqa_diamond",
        Choice(letters=LETTERS),
        _read,
        data=data,
        eval_data=eval_data,
        hub=HubSource(name="Idavidrein/gpqa", config="gpqa_diamond", test_split="train"),
    )


def _read(row: Row) -> tuple[str, str, str | None]:
    question = row.text("Question")
    choices = [row.text(field) for field in CHOICE_FIELDS]
    order = [int(i) for i in choice_order(question_hash(question), len(choices))]
    lines = [f"({letter}) {choices[i]}" for letter, i in zip(LETTERS, order, strict=True)]
    gold = LETTERS[order.index(0)] if choices[0] not in choices[1:] else None
    return question, "\n".join([question, "", *lines]), gold
