"""Figures of a set of dialogues: means with bootstrap intervals, and paired comparisons (DESIGN, section 8)."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tracer_agents.evaluation.statistics import mcnemar_p, mean_interval95, paired_t_p
from tracer_agents.rollout.records import DialogueRecord, Outcome
from tracer_env.dialogue import FinishReason, Role, Verdict
from tracer_env.rewards import Utility
from tracer_env.seeding import bootstrap_stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """``M`` of DESIGN, section 10; undefined figures are None.

    Rates are in [0, 1], tokens are means per question, and so is the cost, of tokens at
    their agents' prices in units of the cheapest agent's. ``correction_rate`` = P(final right | first proposal
    wrong), ``preservation_rate`` = P(final right | first proposal right). ``speak_rate`` is over decisions
    that were not forced.
    """

    accuracy: float
    accuracy_ci95: tuple[float, float]
    greedy_accuracy: float | None
    utility: float
    utility_ci95: tuple[float, float]
    correction_rate: float | None
    preservation_rate: float | None
    reviewer_sensitivity: float | None
    reviewer_specificity: float | None
    unparsed_rate: float
    truncation_rate: float
    ungradable_rate: float
    generated_tokens_per_question: float
    prompt_tokens_per_question: float
    cost_per_question: float
    speak_rate: float | None
    speak_rate_by_round: dict[str, float]
    temperature: float
    n: int

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Method ``a`` minus method ``b`` on the same questions.

    ``p`` is two-sided: exact McNemar for accuracy, a paired t-test for the other metrics.
    """

    a: str
    b: str
    metric: str
    difference: float
    ci95: tuple[float, float]
    n: int
    p: float

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRates:
    """How good reviews are; None where there was no such solution to judge.

    Args:
        sensitivity: P(called WRONG | wrong).
        specificity: P(called RIGHT | right).
    """

    sensitivity: float | None
    specificity: float | None


Review = tuple[bool, Verdict | None]  # (whether the reviewed solution is right, the verdict, None if unread)


def review_rates(reviews: Iterable[Review]) -> ReviewRates:
    """Both rates of some reviews; a review without a verdict is neither WRONG nor RIGHT."""
    verdicts: dict[bool, list[Verdict | None]] = {True: [], False: []}
    for right, verdict in reviews:
        verdicts[right].append(verdict)
    return ReviewRates(
        sensitivity=_mean(np.array([verdict == Verdict.WRONG for verdict in verdicts[False]])),
        specificity=_mean(np.array([verdict == Verdict.RIGHT for verdict in verdicts[True]])),
    )


def reviews_of(record: DialogueRecord) -> Iterator[Review]:
    """The reviews in a recorded dialogue."""
    right = False
    for turn in record.turns:
        if turn.mode and turn.role is Role.PROPOSER:
            right = turn.right is True
        elif turn.mode:
            yield right, turn.verdict


METRIC_NAMES = ("accuracy", "utility", "generated_tokens")  # and, where agents' prices differ, "cost"


def values(records: Sequence[DialogueRecord], metric: str, utility: Utility) -> np.ndarray:
    """The metric of every dialogue, float64 of shape (n,); ``metric`` is one of ``METRIC_NAMES`` or ``cost``."""
    of_record: dict[str, Callable[[DialogueRecord], float]] = {
        "accuracy": lambda record: record.correct,
        "utility": lambda record: float(utility(record.correct, utility.prices.cost(record.turns))),
        "generated_tokens": lambda record: record.generated_tokens,
        "cost": lambda record: utility.prices.cost(record.turns),
    }
    return np.array([of_record[metric](record) for record in records], dtype=np.float64)


def interval95(sample: np.ndarray, *, resamples: int, seed: int) -> tuple[float, float]:
    """The interval of the mean of ``sample``, (n,), by resampling questions; always the same draws for a seed."""
    return mean_interval95(sample, resamples=resamples, rng=bootstrap_stream(seed))


def summarise(
    records: Sequence[DialogueRecord],
    utility: Utility,
    *,
    temperature: float,
    resamples: int,
    seed: int,
    greedy: Sequence[DialogueRecord] | None = None,
) -> Metrics:
    """All figures of one method's dialogues; ``greedy`` are the same team's dialogues at temperature 0."""
    right = values(records, "accuracy", utility)
    utilities = values(records, "utility", utility)
    first = np.array([record.first_correct for record in records])
    turns = [turn for record in records for turn in record.turns]
    spoken = [turn for turn in turns if turn.mode]
    proposals = [turn for turn in spoken if turn.role is Role.PROPOSER]
    free = [turn for turn in turns if not turn.forced and turn.round > 1]
    reviews = review_rates(review for record in records for review in reviews_of(record))
    return Metrics(
        accuracy=float(right.mean()),
        accuracy_ci95=interval95(right, resamples=resamples, seed=seed),
        greedy_accuracy=float(values(greedy, "accuracy", utility).mean()) if greedy else None,
        utility=float(utilities.mean()),
        utility_ci95=interval95(utilities, resamples=resamples, seed=seed),
        correction_rate=_mean(right[~first]),
        preservation_rate=_mean(right[first]),
        reviewer_sensitivity=reviews.sensitivity,
        reviewer_specificity=reviews.specificity,
        unparsed_rate=float(np.mean([turn.answer is None for turn in proposals])),
        truncation_rate=float(np.mean([turn.finish_reason is FinishReason.LENGTH for turn in spoken])),
        ungradable_rate=float(np.mean([record.grade is Outcome.UNGRADABLE for record in records])),
        generated_tokens_per_question=float(np.mean([record.generated_tokens for record in records])),
        prompt_tokens_per_question=float(np.mean([record.prompt_tokens for record in records])),
        cost_per_question=float(values(records, "cost", utility).mean()),
        speak_rate=_mean(np.array([turn.mode for turn in free], dtype=np.float64)),
        speak_rate_by_round={
            str(r): float(np.mean([turn.mode for turn in free if turn.round == r]))
            for r in sorted({turn.round for turn in free})
        },
        temperature=temperature,
        n=len(records),
    )


def compare(
    a: Sequence[DialogueRecord],
    b: Sequence[DialogueRecord],
    metric: str,
    utility: Utility,
    *,
    names: tuple[str, str],
    resamples: int,
    seed: int,
) -> Comparison:
    """Pairs two methods question by question.

    Raises:
        ValueError: the two do not hold the same questions in the same order.
    """
    if [record.question_id for record in a] != [record.question_id for record in b]:
        raise ValueError(f"{names[0]} and {names[1]} were not run on the same questions")
    va, vb = values(a, metric, utility), values(b, metric, utility)
    difference = va - vb
    return Comparison(
        a=names[0],
        b=names[1],
        metric=metric,
        difference=float(difference.mean()),
        ci95=interval95(difference, resamples=resamples, seed=seed),
        n=len(difference),
        p=mcnemar_p(va == 1, vb == 1) if metric == "accuracy" else paired_t_p(difference),
    )


def _mean(sample: np.ndarray) -> float | None:
    return float(sample.mean()) if len(sample) else None
