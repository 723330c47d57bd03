"""Self-consistency (Wang et al. 2022): the most frequent of k independent answers."""

from benchmarks.methods.generated import votes

METHODS = (votes("self_consistency", title="Self-consistency", reference="Wang et al. 2022, arXiv 2203.11171"),)
