"""The gate before training: does a server generate from exactly the policy that the learner trains?

Every check compares what one server did with what the learner computes for the same tokens, and reports both numbers.
A server that fails one would train a policy on samples of another without anybody noticing.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tracer_agents.errors import EngineFault
from tracer_agents.generation.gate import Check, Learner, Probes, Scores, Status
from tracer_agents.generation.sglang.wire import Completion, Order, Worker

_COPIES = 8  # completions of each prompt
_SURPRISE = 1e-6  # what is less probable than this under the policy is a fault
_DEVIATIONS = 6.0  # standard errors by which the samples' mean log-probability may differ from the policy's
_END_BIAS = 100.0  # added to the end tokens' logits, ends a completion at once
_MOVED = 10.0  # tolerances by which other weights must move the log-probabilities to be told from the old ones
_OUTLIER = 10.0  # tolerances by which a single, improbable token's log-probability may differ


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A server under examination.

    Args:
        worker: the server.
        learner: the policy that it should hold.
        reload: gives the server the learner's present weights and returns their label.
        adapter: the adapter that requests name, for a label.
        probes: what it is asked, and what rounding explains.
        stops: the ids that end a completion.
    """

    worker: Worker
    learner: Learner
    reload: Callable[[], str]
    adapter: Callable[[str], str | None]
    probes: Probes
    stops: tuple[int, ...]


def examine(subject: Subject) -> list[Check]:
    """All checks of one server, which afterwards holds the learner's true weights."""
    return [
        Check(name=name, server=subject.worker.url, status=status, detail=detail)
        for name, status, detail in _checks(subject)
    ]


_Finding = tuple[str, Status, str]


def _checks(subject: Subject) -> Iterator[_Finding]:
    yield _tokenizer(subject)
    label = subject.reload()
    present = subject.worker.version()
    yield "weight label", _passed(present == label), f"asked for {label}, the server says {present}"
    for temperature in subject.probes.temperatures:
        samples = _sample(subject, label, temperature)
        scores = _score(subject, samples, temperature)
        yield _log_probs(subject, samples, scores, temperature)
        yield _sampling(samples, scores, temperature)
        if temperature == 1.0:
            yield _diversity(samples)
    yield _ends(subject, label)
    yield from _swap(subject, label)


def _tokenizer(subject: Subject) -> _Finding:
    for text in subject.probes.texts:
        ours, theirs = subject.learner.tokenize(text), subject.worker.tokenize(text)
        if ours != theirs:
            return "tokenizer", "failed", f"{text!r} is {list(ours)} here and {list(theirs)} on the server"
    return "tokenizer", "passed", f"{len(subject.probes.texts)} texts give the same ids on both sides"


def _log_probs(subject: Subject, samples: list["_Sample"], scores: list[Scores], temperature: float) -> _Finding:
    difference = _difference(samples, scores)
    return (
        f"log-probs at temperature {temperature:g}",
        _passed(difference.within(subject.probes.tolerance)),
        difference.against(subject.probes.tolerance),
    )


def _sampling(samples: list["_Sample"], scores: list[Scores], temperature: float) -> _Finding:
    """The samples' own log-probabilities must average to the policy's expectation: a martingale, hence a z-score."""
    name = f"sampling at temperature {temperature:g}"
    excess = sum(a - b for score in scores for a, b in zip(score.logp, score.mean, strict=True))
    variance = sum(sum(score.variance) for score in scores)
    if variance == 0:
        return name, "not applicable", "the policy leaves nothing to chance"
    deviations = excess / math.sqrt(variance)
    tokens = sum(len(score.logp) for score in scores)
    detail = (
        f"{tokens} tokens' mean log-probability deviates by {deviations:+.1f} standard errors, allowed ±{_DEVIATIONS:g}"
    )
    return name, _passed(abs(deviations) <= _DEVIATIONS), detail


def _diversity(samples: list["_Sample"]) -> _Finding:
    """Copies of a prompt must differ, unless the policy itself makes them nearly certain to agree."""
    distinct: dict[tuple[int, ...], set[tuple[int, ...]]] = {}
    for sample in samples:
        distinct.setdefault(sample.prompt_ids, set()).add(sample.completion.output_ids)
    most = max(len(different) for different in distinct.values())
    if most > 1:
        return "samples are diverse", "passed", f"up to {most} different completions among {_COPIES} of a prompt"
    coincidence = math.prod(
        math.exp(sum(sample.completion.logps) * (_COPIES - 1))
        for sample in {sample.prompt_ids: sample for sample in samples}.values()
    )
    detail = f"1 different completion among {_COPIES} of every prompt, which has probability {coincidence:.1g}"
    return "samples are diverse", "failed" if coincidence < _SURPRISE else "not applicable", detail


def _ends(subject: Subject, label: str) -> _Finding:
    """A completion whose end tokens are made certain must be one end token long."""
    name = "end tokens"
    order = _order(subject, subject.probes.prompts[0], label, copies=1, temperature=1.0, end_bias=_END_BIAS)
    try:
        [completion] = _complete(subject, order)
    except EngineFault as fault:
        return name, "failed", str(fault)
    expected = len(completion.output_ids) == 1 and completion.stopped
    detail = f"forced to end, it said {list(completion.output_ids)}; the end tokens are {list(subject.stops)}"
    return name, _passed(expected), detail


def _adapter(subject: Subject, label: str) -> _Finding:
    """Asked under perturbed weights: an untrained adapter changes nothing."""
    name = "adapter is applied"
    if subject.worker.info().device == "cpu":
        return name, "not applicable", "cpu: SGLang has no LoRA there, servers hold merged weights"
    if subject.adapter(label) is None:
        return name, "not applicable", "weights are sent whole"
    prompt = subject.probes.prompts[0]
    bare = Order(
        prompt_ids=prompt, copies=1, max_new_tokens=subject.probes.max_new_tokens, temperature=0.0, stops=subject.stops
    )
    [without] = _complete(subject, bare)
    [with_it] = _complete(subject, _order(subject, prompt, label, copies=1, temperature=0.0))
    worst = max(abs(a - b) for a, b in zip(with_it.logps, without.logps, strict=False))
    moved = worst > subject.probes.tolerance or with_it.output_ids != without.output_ids
    return (
        name,
        _passed(moved),
        f"log-probabilities move by {worst:.2g}, needed more than {subject.probes.tolerance:.2g}",
    )


def _swap(subject: Subject, label: str) -> Iterator[_Finding]:
    """Other weights, then the true ones again: did they arrive, and did the prefixes computed with the old ones go?"""
    prompt = subject.probes.prompts[0]
    once = _order(subject, prompt, label, copies=1, temperature=1.0)
    _complete(subject, once)
    [warm] = _complete(subject, once)
    before = _sample(subject, label, 1.0)
    with subject.learner.perturbed():
        other = subject.reload()
        [cold] = _complete(subject, _order(subject, prompt, other, copies=1, temperature=1.0))
        swapped = _sample(subject, other, 1.0)
        new = _difference(swapped, _score(subject, swapped, 1.0))
        moved = _difference(before, _score(subject, before, 1.0))
        applied = _adapter(subject, other)
    label = subject.reload()
    restored = _sample(subject, label, 1.0)
    back = _difference(restored, _score(subject, restored, 1.0))
    cache = (
        f"{warm.cached_tokens} of {len(prompt)} prompt tokens came from the cache before, {cold.cached_tokens} after"
    )
    if warm.cached_tokens == 0:
        yield "prefix cache is flushed", "not applicable", f"the server keeps none: {cache}"
    else:
        yield "prefix cache is flushed", _passed(cold.cached_tokens == 0), cache
    yield applied
    worse = max(new, back, key=lambda difference: difference.mean)
    arrived = new.within(subject.probes.tolerance) and back.within(subject.probes.tolerance)
    detail = (
        f"after a swap and back, {worse.against(subject.probes.tolerance)} "
        f"(the weights swapped in move log-probabilities by {moved.mean:.2g} in the mean)"
    )
    yield "weights are swapped", _passed(arrived and moved.mean > _MOVED * subject.probes.tolerance), detail


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    prompt_ids: tuple[int, ...]
    completion: Completion


def _sample(subject: Subject, label: str, temperature: float) -> list[_Sample]:
    return [
        _Sample(prompt_ids=prompt, completion=completion)
        for prompt in subject.probes.prompts
        for completion in _complete(subject, _order(subject, prompt, label, copies=_COPIES, temperature=temperature))
    ]


def _order(
    subject: Subject, prompt: tuple[int, ...], label: str, *, copies: int, temperature: float, end_bias: float = 0.0
) -> Order:
    return Order(
        prompt_ids=prompt,
        copies=copies,
        max_new_tokens=subject.probes.max_new_tokens,
        temperature=temperature,
        stops=subject.stops,
        adapter=subject.adapter(label),
        end_bias=end_bias,
    )


def _complete(subject: Subject, order: Order) -> list[Completion]:
    answers = subject.worker.complete(order)
    for answer in answers:
        if isinstance(answer, EngineFault):
            raise answer
    return [answer for answer in answers if isinstance(answer, Completion)]


def _score(subject: Subject, samples: list[_Sample], temperature: float) -> list[Scores]:
    return subject.learner.score([(s.prompt_ids, s.completion.output_ids) for s in samples], temperature)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Difference:
    """Of the server's log-probabilities from the learner's, over all tokens of some samples."""

    mean: float
    largest: float

    def within(self, tolerance: float) -> bool:
        return self.mean <= tolerance and self.largest <= _OUTLIER * tolerance

    def against(self, tolerance: float) -> str:
        return (
            f"mean difference {self.mean:.2g}, allowed {tolerance:.2g}; "
            f"largest {self.largest:.2g}, allowed {_OUTLIER * tolerance:.2g}"
        )


def _difference(samples: list[_Sample], scores: list[Scores]) -> _Difference:
    differences = [
        abs(theirs - ours)
        for sample, score in zip(samples, scores, strict=True)
        for theirs, ours in zip(sample.completion.logps, score.logp, strict=True)
    ]
    return _Difference(mean=sum(differences) / len(differences), largest=max(differences))


def _passed(holds: bool) -> Status:
    return "passed" if holds else "failed"
