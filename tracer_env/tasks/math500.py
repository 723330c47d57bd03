"""MATH-500: competition problems with answers in LaTeX (Hendrycks et al., arXiv 2103.03874; split of 2305.20050)."""

from pathlib import Path

from tracer_env.grading.symbolic import Symbolic
from tracer_env.tasks.finite import FiniteTask
from tracer_env.tasks.sources import HubSource, evaluation_from, plain_reader


def math500(
    *, data: str | Path | None = None, eval_data: str | Path | None = None, deadline_seconds: float = 5.0
) -> FiniteTask:
    """The evaluation-only task ``math500``; rows have ``problem`` and ``answer`` (LaTeX).

    Args:
        data: a JSONL file with the questions; ``eval_data`` means the same. Without either, the questions come
            from the hub (``HuggingFaceH4/MATH-500``).
        deadline_seconds: the most wall time the comparison of one answer may take.

    Raises:
        DataError, ConfigError: as ``sources.evaluation_from``.
    """
    grader = Symbolic(deadline_seconds=deadline_seconds)
    return evaluation_from(
        "math500",
        grader,
        plain_reader(grader, "problem", "answer"),
        data=data,
        eval_data=eval_data,
        hub=HubSource(name="HuggingFaceH4/MATH-500"),
    )
