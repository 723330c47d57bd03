"""How sure the team is: the probability that an answer is right, given all that was said (DESIGN, section 12).

A belief is a logistic model of a few numbers about an answer: how many proposals gave it and how many another, how sure
the model was when it proposed it (log-probabilities), and what reviews said of it (verdicts, and how probable they
were). ``tracer_agents.controllers.calibration`` fits one on training questions. What an engine does not tell counts as
unknown, with a coefficient of its own, never as zero.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import exp, isfinite, log, log1p
from typing import Any, Self

from tracer_env.dialogue import Dialogue, Role, Utterance, Verdict
from tracer_env.errors import ConfigError

SIGNALS: dict[str, tuple[str, ...]] = {  # signal -> the features that it enters
    "agreement": ("given once", "log times given", "log times others", "log largest rival", "share"),
    "logp": ("mean logp", "logp known"),
    "verdict": ("mean logit", "chance known", "votes"),
    "tokens": ("log tokens",),
}
FEATURES: tuple[str, ...] = tuple(name for names in SIGNALS.values() for name in names)
_SUREST = 6.0  # the largest logit of a verdict's chance that counts


@dataclass(frozen=True, slots=True, kw_only=True)
class Belief:
    """A calibrated posterior of answers; it fits ``dialogue.Posterior``.

    Args:
        intercept: of the logit.
        coefficients: one for each of ``FEATURES``.
        edges: of the bins, ascending probabilities: a belief p is in the bin of how many edges are ≤ p.

    Raises:
        ConfigError: another number of coefficients, a number that is not finite, or edges out of order.
    """

    intercept: float
    coefficients: tuple[float, ...]
    edges: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.coefficients) != len(FEATURES):
            raise ConfigError(f"a belief has {len(FEATURES)} coefficients, got {len(self.coefficients)}")
        if not all(map(isfinite, (self.intercept, *self.coefficients, *self.edges))):
            raise ConfigError("the coefficients and edges of a belief must be finite numbers")
        if list(self.edges) != sorted(self.edges):
            raise ConfigError(f"the edges of a belief's bins must ascend, got {[*self.edges]}")

    @property
    def bins(self) -> int:
        """Into how many bins beliefs are put."""
        return len(self.edges) + 1

    def posteriors(self, state: Dialogue) -> dict[str, float]:
        """The probability that it is right, by answer, in the order in which they were first given."""
        return {answer: self.probability(row) for answer, row in evidence(state).items()}

    def probability(self, features: Sequence[float]) -> float:
        """The probability that an answer is right, given its evidence."""
        logit = self.intercept + sum(weight * value for weight, value in zip(self.coefficients, features, strict=True))
        return 1 / (1 + exp(-logit)) if logit >= 0 else exp(logit) / (1 + exp(logit))

    def standing(self, state: Dialogue) -> tuple[str | None, float]:
        """What the team would answer now, by its rule, and the probability that it is right; 0 where it is nothing."""
        if state.rules.answer_rule == "belief":
            return max(self.posteriors(state).items(), key=lambda item: item[1], default=(None, 0.0))
        answer = state.team_answer
        return answer, 0.0 if answer is None else self.probability(_features(answer, _heard(state)))

    def bin(self, chance: float) -> int:
        """The bin of a probability."""
        return bisect_right(self.edges, chance)

    def as_json(self) -> dict[str, Any]:
        """Plain data, with the names of the features."""
        return {**asdict(self), "features": list(FEATURES)}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Self:
        """Reads back what ``as_json`` gave.

        Raises:
            KeyError, TypeError, ValueError: it is no belief, or one of other features.
        """
        if tuple(row["features"]) != FEATURES:
            raise ValueError(f"its features are {row['features']}, this program knows {list(FEATURES)}")
        return cls(
            intercept=float(row["intercept"]),
            coefficients=tuple(map(float, row["coefficients"])),
            edges=tuple(map(float, row["edges"])),
        )


@dataclass(slots=True)
class _Heard:
    """What was said: the proposals, each with the reviews of it."""

    proposals: list[tuple[Utterance, list[Utterance]]]
    counts: Counter[str | None]


def evidence(state: Dialogue) -> dict[str, tuple[float, ...]]:
    """What is known of every readable answer: its ``FEATURES``, by answer, the first given first."""
    heard = _heard(state)
    return {answer: _features(answer, heard) for answer in heard.counts if answer is not None}


def standing_evidence(state: Dialogue) -> tuple[float, ...]:
    """The ``FEATURES`` of what the team would answer now; all zero where that is nothing."""
    answer = state.team_answer
    return (0.0,) * len(FEATURES) if answer is None else _features(answer, _heard(state))


def _heard(state: Dialogue) -> _Heard:
    proposals: list[tuple[Utterance, list[Utterance]]] = []
    for turn in state.turns:
        if turn.utterance is None:
            continue
        if turn.role is Role.PROPOSER:
            proposals.append((turn.utterance, []))
        else:
            proposals[-1][1].append(turn.utterance)
    return _Heard(proposals=proposals, counts=Counter(proposal.answer for proposal, _ in proposals))


def _features(answer: str, heard: _Heard) -> tuple[float, ...]:
    given = [(proposal, reviews) for proposal, reviews in heard.proposals if proposal.answer == answer]
    times, proposals = len(given), len(heard.proposals)
    rival = max((count for other, count in heard.counts.items() if other not in (answer, None)), default=0)
    logps = [proposal.mean_logp for proposal, _ in given if proposal.mean_logp is not None]
    reviews = [review for _, reviews in given for review in reviews]
    logits = [_logit(review.p_right) for review in reviews if review.p_right is not None]
    votes = sum(1 if review.verdict is Verdict.RIGHT else -1 for review in reviews if review.verdict is not None)
    return (
        float(times == 1),
        log(times),
        log1p(proposals - times),
        log1p(rival),
        times / proposals,
        _mean(logps),
        float(bool(logps)),
        _mean(logits),
        float(bool(logits)),
        float(max(-2, min(2, votes))),
        _mean([log1p(proposal.generated_tokens) for proposal, _ in given]),
    )


def _logit(chance: float) -> float:
    least = exp(-_SUREST)
    chance = max(least, min(1 - least, chance))
    return log(chance) - log(1 - chance)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
