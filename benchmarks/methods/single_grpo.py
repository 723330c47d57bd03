"""A single agent trained by GRPO on the same questions, answering once or voting."""

from benchmarks.methods.generated import votes
from benchmarks.suite.recipes import SINGLE_GRPO

METHODS = (
    votes(
        "single_grpo",
        title="Single-agent GRPO + votes",
        reference="Shao et al. 2024, arXiv 2402.03300; k = 1 is one answer",
        recipe=SINGLE_GRPO,
    ),
)
