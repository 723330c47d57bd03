"""Outcomes of several seeds as a table of differences, with intervals and tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.ablations.replay import Outcome
from benchmarks.report.holm import holm
from tracer_agents.evaluation.statistics import Resamples, bootstrap_p, draw_resamples, interval95
from tracer_env.seeding import stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A mean with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One setting's figures, means over the questions of all seeds.

    Args:
        label: of the setting.
        utility, accuracy, tokens: of a question.
        difference: of utility to the default setting's, on the same questions.
        p: two-sided bootstrap test that the difference is nil, adjusted by Holm within the table; NaN for the default.
        generated: utterances of training questions looked at, mean over seeds.
    """

    label: str
    utility: Estimate
    accuracy: Estimate
    tokens: Estimate
    difference: Estimate
    p: float
    generated: float

    @property
    def is_default(self) -> bool:
        """Whether it is the row that the others are compared with."""
        return bool(np.isnan(self.p))


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What the rows of a section did under one seed.

    Args:
        seed: which.
        question_ids: of the test questions.
        outcomes: label -> outcome.
    """

    seed: int
    question_ids: Sequence[str]
    outcomes: Mapping[str, Outcome]


def resampled(seeds: Sequence[Measured], *, resamples: int, label: str) -> Resamples:
    """Resamples of the test questions of some seeds, the same for every table of these questions.

    Args:
        seeds: in the order of the rows.
        resamples: how many.
        label: of the questions; the draws depend on nothing else.
    """
    return draw_resamples(
        np.repeat([run.seed for run in seeds], [len(run.question_ids) for run in seeds]),
        np.concatenate([np.asarray(run.question_ids) for run in seeds]),
        resamples=resamples,
        rng=stream("ablations", label),
    )


def compare(seeds: Sequence[Measured], drawn: Resamples, *, default: str, price_per_token: float) -> list[Row]:
    """A row for every label, in order.

    Args:
        seeds: with the same labels.
        drawn: resamples of their questions.
        default: the label that the others are compared with.
        price_per_token: of utility ±1.
    """
    labels = list(seeds[0].outcomes)
    right, tokens = (
        np.concatenate([np.stack([getattr(run.outcomes[name], field) for name in labels], axis=1) for run in seeds])
        for field in ("right", "tokens")
    )
    utility = 2 * right - 1 - price_per_token * tokens
    difference = utility - utility[:, [labels.index(default)]]
    columns = {"utility": utility, "accuracy": right, "tokens": tokens, "difference": difference}
    sums = np.split(drawn.sums(np.hstack(list(columns.values()))) / len(right), len(columns), axis=1)
    draws = dict(zip(columns, sums, strict=True))
    others = [column for column, name in enumerate(labels) if name != default]
    adjusted = dict(zip(others, holm([bootstrap_p(draws["difference"][:, column]) for column in others]), strict=True))
    return [
        Row(
            label=name,
            **{figure: _estimate(columns[figure][:, column], draws[figure][:, column]) for figure in columns},
            p=float(adjusted.get(column, np.nan)),
            generated=float(np.mean([run.outcomes[name].generated for run in seeds])),
        )
        for column, name in enumerate(labels)
    ]


def _estimate(column: np.ndarray, draws: np.ndarray) -> Estimate:
    low, high = interval95(draws[:, None])[:, 0]
    return Estimate(value=float(column.mean()), low=float(low), high=float(high))
