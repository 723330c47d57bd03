"""Tasks over the user's own questions: any JSONL file, any data set of the Hugging Face hub."""

from collections.abc import Callable
from pathlib import Path

from tracer_env.errors import ConfigError
from tracer_env.grading.base import Grader
from tracer_env.grading.choice import Choice
from tracer_env.grading.numeric import Numeric
from tracer_env.grading.symbolic import Symbolic
from tracer_env.names import nearest
from tracer_env.tasks.finite import FiniteTask, Shares, evaluation_task
from tracer_env.tasks.imported import imported, is_import_path, made
from tracer_env.tasks.rows import hub_rows, question_set
from tracer_env.tasks.sources import HubSource, plain_reader, trainable_from

GRADERS: dict[str, Callable[[], Grader]] = {"numeric": Numeric, "choice": Choice, "symbolic": Symbolic}
EVALUATION_ONLY = frozenset({"huggingfaceh4/math-500", "idavidrein/gpqa"})


def jsonl(
    *,
    data: str | Path | None = None,
    eval_data: str | Path | None = None,
    question_field: str = "question",
    answer_field: str | None = None,
    grader: str = "symbolic",
    validation_share: float = 0.05,
    test_share: float = 0.10,
) -> FiniteTask:
    """The task ``jsonl``: any JSONL file with a question and a gold answer per line.

    Args:
        data: the file to train on; ``eval_data``: the file to test on (``sources.trainable_from``).
        question_field: the field of the question.
        answer_field: the field of the gold answer, bare or a worked solution; default: ``gold``, else ``answer``.
        grader: ``"numeric"``, ``"choice"`` (letters A to D), ``"symbolic"``, or ``"package.module:name"`` of a class
            or a function that returns a ``Grader`` (looked for where Python looks, then in the working directory).
        validation_share: the share of ``data`` held away for validation.
        test_share: the share of ``data`` held away for testing when no ``eval_data`` is given.

    Raises:
        DataError, LeakageError, ConfigError: as ``sources.trainable_from``.
    """
    judge = _grader(grader)
    return trainable_from(
        "jsonl",
        judge,
        plain_reader(judge, question_field, *_answer_fields(answer_field)),
        data=data,
        eval_data=eval_data,
        hub=None,
        shares=Shares(validation=validation_share, test=test_share),
    )


def hub(
    name: str,
    *,
    config: str | None = None,
    train_split: str = "train",
    test_split: str = "test",
    question_field: str = "question",
    answer_field: str | None = None,
    grader: str = "symbolic",
    validation_share: float = 0.05,
    test_share: float = 0.10,
) -> FiniteTask:
    """The task ``hub:<owner/name>``: any data set of the hub, read with the package ``datasets``.

    A data set without ``test_split`` gets a hash slice of ``train_split`` for testing; one without
    ``train_split``, and those in ``EVALUATION_ONLY`` whatever their splits are called, are evaluation only.

    Args:
        name: ``owner/name``.
        config: the data set's configuration, if it has several.
        train_split, test_split: the names of its splits.
        question_field, answer_field, grader, validation_share, test_share: as ``jsonl``.

    Raises:
        DataError: the data set cannot be loaded or a row is malformed.
        LeakageError: a question is in both splits.
        ConfigError: an unknown grader.
    """
    judge = _grader(grader)
    read = plain_reader(judge, question_field, *_answer_fields(answer_field))
    if name.lower() in EVALUATION_ONLY:
        rows = hub_rows(name, config=config, splits=(test_split,))
        return evaluation_task(f"hub:{name}", judge, question_set(f"hub:{name}", name, rows[test_split], read))
    return trainable_from(
        f"hub:{name}",
        judge,
        read,
        data=None,
        eval_data=None,
        hub=HubSource(name=name, config=config, train_split=train_split, test_split=test_split),
        shares=Shares(validation=validation_share, test=test_share),
    )


def _grader(name: str) -> Grader:
    if is_import_path(name):
        return made("grader", name, imported("grader", name), {}, needs=("answer_format", "parse", "gold", "grade"))
    if name not in GRADERS:
        known = f"{sorted(GRADERS)} or package.module:name"
        raise ConfigError(f"grader must be one of {known}, got {name!r}{nearest(name, GRADERS)}")
    return GRADERS[name]()


def _answer_fields(field: str | None) -> tuple[str, ...]:
    return ("gold", "answer") if field is None else (field,)
