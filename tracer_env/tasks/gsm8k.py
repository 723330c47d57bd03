"""GSM8K: grade-school word problems whose answers are numbers (Cobbe et al., arXiv 2110.14168)."""

from pathlib import Path

from tracer_env.grading.numeric import Numeric
from tracer_env.tasks.finite import FiniteTask, Shares
from tracer_env.tasks.sources import HubSource, plain_reader, trainable_from


def gsm8k(
    *,
    data: str | Path | None = None,
    eval_data: str | Path | None = None,
    validation_share: float = 0.05,
    test_share: float = 0.10,
) -> FiniteTask:
    """The task ``gsm8k``; rows have ``question`` and ``answer`` (a solution that ends with ``#### gold``).

    Args:
        data: the JSONL file to train on (``gsm8k_train.jsonl``).
        eval_data: the JSONL file to test on (``gsm8k_test.jsonl``), in its order. Without it, a slice of
            ``data`` is held away for testing; with neither, both come from the hub (``openai/gsm8k``).
        validation_share: the share of ``data`` held away for validation, by question hash.
        test_share: the share of ``data`` held away for testing when no ``eval_data`` is given.

    Raises:
        DataError, LeakageError, ConfigError: as ``sources.trainable_from``.
    """
    grader = Numeric()
    return trainable_from(
        "gsm8k",
        grader,
        plain_reader(grader, "question", "answer"),
        data=data,
        eval_data=eval_data,
        hub=HubSource(name="openai/gsm8k", config="main"),
        shares=Shares(validation=validation_share, test=test_share),
    )
