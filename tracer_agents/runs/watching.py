"""What people watch of a run: a step's figures under tags in a few groups, and the protocol of where they go."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

_GROUPS = {  # group -> tag -> the path of the figure in a row of ``metrics.jsonl``
    "team": {
        "accuracy": "accuracy",
        "utility": "utility",
        "tokens_per_dialogue": "generated_tokens",
        "first_proposal_accuracy": "first_proposal_accuracy",
        "truncation_rate": "truncation_rate",
        "proposer_reward": "proposer_reward",
        "reviewer_reward": "reviewer_reward",
    },
    "speaking": {
        "everybody": "speak_rate",
        "proposers": "speak_rate_by_role/proposer",
        "reviewers": "speak_rate_by_role/reviewer",
        "infosets": "infosets",
    },
    "gaps": {
        "Nash_gap": "certificate/nash_gap/plug_in",
        "KKT_gap": "certificate/kkt_gap/plug_in",
        "team_gap": "certificate/team_gap/plug_in",
        "oracle_gap": "certificate/oracle_gap/plug_in",
        "CCE_gap_of_the_run": "certificate/run/cce_gap",
        "utility_on_validation_questions": "certificate/utility/mean",
    },
    "work": {
        "tokens": "all_tokens",
        "utterances": "utterances",
        "groups": "groups",
        "groups_without_a_signal": "groups_dropped",
        "failed_completions": "failed_candidates",
    },
}
_LEARNING = {
    "loss": "loss",
    "clip_fraction": "clip_fraction",
    "KL": "kl",
    "gradient_norm": "gradient_norm",
    "largest_ratio_deviation": "ratio_max_deviation",
    "engine_logp_difference": "engine_logp_difference",
    "skipped_minibatches": "skipped_minibatches",
    "refused_minibatches": "refused_minibatches",
}


class Log(Protocol):
    """Where the figures of steps go."""

    def add(self, row: Mapping[str, Any]) -> None:
        """One step's figures, a row of ``metrics.jsonl``."""
        ...

    def show(self, step: int, dialogue: str) -> None:
        """A dialogue that was played in a step, as plain text."""
        ...


OpenLog = Callable[[Path, Mapping[str, Any], Sequence[Mapping[str, Any]]], AbstractContextManager[Log]]
"""Opens a log for the run in a folder, given its settings as plain data and the rows of earlier steps."""


def watched(row: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """(``group/tag``, figure) of everything that a row holds; what is null or not a number is left out.

    Where there are several policies, each has a group of its own, ``learning.NAME``; wall times are in ``timing``.
    """
    for group, tags in _GROUPS.items():
        for tag, path in tags.items():
            yield from _figure(f"{group}/{tag}", _at_path(row, path))
    policies = row.get("gspo_by_policy") or {}
    for group, figures in (
        ("learning", row.get("gspo")),
        *((f"learning.{name}", figures) for name, figures in policies.items()),
    ):
        for tag, name in _LEARNING.items():
            yield from _figure(f"{group}/{tag}", (figures or {}).get(name))
    for policy, figures in (row.get("verdicts") or {}).items():
        for name, value in figures.items():
            yield from _figure(f"verdicts.{policy}/{name}", value)
    for name, seconds in row.get("timing", {}).items():
        yield from _figure(f"timing/{name}", seconds)


def how_to_watch(run: Path) -> str:
    """What a person types to see the curves of a run while it works, and where they lie."""
    folder = run / "tb"
    return f"curves while it works: tensorboard --logdir {shlex.quote(str(folder))} ({folder.resolve().as_uri()})"


def _figure(tag: str, value: object) -> Iterator[tuple[str, float]]:
    if isinstance(value, int | float):
        yield tag, float(value)


def _at_path(row: Mapping[str, Any], path: str) -> object:
    value: object = row
    for name in path.split("/"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
