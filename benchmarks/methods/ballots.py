"""Independent answers and a majority, with the initial speakers and with trained ones."""

from benchmarks.methods.generated import votes
from benchmarks.suite.recipes import SINGLE_GRPO, SINGLE_GSPO, TRACER

METHODS = (
    votes("self_consistency", title="Self-consistency", reference="Wang et al. 2022, arXiv 2203.11171"),
    votes(
        "single_grpo",
        title="Single-agent GRPO + votes",
        reference="Shao et al. 2024, arXiv 2402.03300; k = 1 is one answer",
        recipe=SINGLE_GRPO,
    ),
    votes(
        "single_gspo",
        title="Single-agent GSPO + votes",
        reference="Zheng et al. 2025, arXiv 2507.18071; k = 1 is one answer",
        recipe=SINGLE_GSPO,
    ),
    votes(
        "tracer_votes",  # what the controllers add is what it lacks
        title="TRACER's speakers + votes",
        reference="self-consistency with the speakers that TRACER trained",
        recipe=TRACER,
    ),
)
