"""Best of n by review: independent answers, one review each, and the first of those with the best verdict.

The samples are self-consistency's, so the two differ in how they choose alone. An answer that cannot be read is not
reviewed: it is chosen only where no other is there. Sampling until a review says RIGHT would choose the same for fewer
tokens; that is what controllers may learn, and not this baseline.
"""

from collections.abc import Sequence
from dataclasses import replace

from benchmarks.methods.base import PHASE, Cost, Method, Prepared
from benchmarks.methods.generated import of_samples
from benchmarks.suite.bench import Bench
from benchmarks.suite.point import Point
from tracer_agents.evaluation.play import first_proposals, record_samples
from tracer_agents.rollout.records import DialogueRecord, Outcome, TurnRecord
from tracer_agents.types import Episode, Speakers, SpeakRequest
from tracer_env.dialogue import Dialogue, Mode, Role, Verdict, transition

NAME = "best_of_n"
_RANKS = {Verdict.RIGHT: 1, None: 0, Verdict.WRONG: -1}
_UNREADABLE = -2
Sample = tuple[TurnRecord, ...]  # a proposal, and its review if it was read


def _prepare(bench: Bench) -> Prepared:
    parts, rules = bench.parts(), bench.config.rules
    rules = replace(rules, rounds=max(3, rules.rounds))  # there must be a round to review in
    point = of_samples(NAME, bench.plan.votes)

    def answer(episodes: Sequence[Episode]) -> dict[Point, list[DialogueRecord]]:
        samples = first_proposals(episodes, rules, parts.speakers, samples=bench.plan.votes)
        reviewed = _reviewed(episodes, samples, parts.speakers)
        records = record_samples(episodes, reviewed, parts.task, phase=PHASE, seed=bench.seed)
        return {point: [best(record, bench.plan.votes) for record in records]}

    return Prepared(points=(point,), answer=answer, resources=parts)


def _reviewed(
    episodes: Sequence[Episode], samples: Sequence[Sequence[Dialogue]], speakers: Speakers
) -> list[list[Dialogue]]:
    """The samples after a review of each that can be read, all in one call."""
    requests = {
        (index, candidate): SpeakRequest(
            episode=episodes[index], state=transition(sample, Mode.SPEAK), candidate=candidate
        )
        for index, of_question in enumerate(samples)
        for candidate, sample in enumerate(of_question)
        if sample.answer is not None
    }
    utterances = speakers.speak(list(requests.values())) if requests else []
    reviews = {
        place: transition(request.state, review)
        for (place, request), review in zip(requests.items(), utterances, strict=True)
    }
    return [
        [reviews.get((index, candidate), sample) for candidate, sample in enumerate(of_question)]
        for index, of_question in enumerate(samples)
    ]


def best(record: DialogueRecord, n: int) -> DialogueRecord:
    """The choice among the first ``n`` samples of a record, which then holds only these."""
    kept = _samples(record)[:n]
    chosen = max(kept, key=_rank)[0]  # max keeps the first of the best
    right = chosen.right is True
    return replace(
        record,
        method=of_samples(NAME, n).label,
        turns=tuple(replace(turn, forced=True) for sample in kept for turn in sample),  # nobody had a choice
        answer=chosen.answer,
        correct=right,
        grade=Outcome.RIGHT if right else Outcome.WRONG,
    )


def _samples(record: DialogueRecord) -> list[Sample]:
    starts = [index for index, turn in enumerate(record.turns) if turn.role is Role.PROPOSER]
    return [record.turns[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]


def _rank(sample: Sample) -> int:
    proposal, *reviews = sample
    if proposal.answer is None or not reviews:
        return _UNREADABLE
    verdict = reviews[0].verdict
    return _RANKS[verdict]


def _points(records: Sequence[DialogueRecord]) -> dict[Point, list[DialogueRecord]]:
    most = max(len(_samples(record)) for record in records)
    return {of_samples(NAME, n): [best(record, n) for record in records] for n in range(1, most + 1)}


METHODS = (
    Method(
        name=NAME,
        title="Best of n by review",
        reference="the first of n samples with the best verdict",
        prepare=_prepare,
        cost=lambda plan: Cost(proposals=plan.votes, reviews=plan.votes),
        setting=lambda plan: of_samples(NAME, plan.votes).setting,
        points=_points,
    ),
)
