"""A single agent trained by GSPO on the same questions, answering once or voting."""

from benchmarks.methods.generated import votes
from benchmarks.suite.recipes import SINGLE_GSPO

METHODS = (
    votes(
        "single_gspo",
        title="Single-agent GSPO + votes",
        reference="Zheng et al. 2025, arXiv 2507.18071; k = 1 is one answer",
        recipe=SINGLE_GSPO,
    ),
)
