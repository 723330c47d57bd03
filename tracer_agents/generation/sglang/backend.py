"""Generation by SGLang servers: many prompts in flight, every completion labelled with the weights that made it.

A server may die, hang, restart with other weights or answer nonsense. Rows that did not arrive are asked for again,
a bounded number of times; a server that went away is waited for and given its weights anew before it is asked again;
what still is missing then is returned as failed. An answer counts once and only under the present label, so nothing
that other weights generated, and nothing twice, ever reaches training. SGLang does not promise that a request's seed
fixes its tokens, so seeds are not sent.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle
from typing import Self

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents import progress
from tracer_agents.errors import EngineFault, EngineGone, GenerationFailed
from tracer_agents.generation.base import Generation, GenerationRequest, not_generated
from tracer_agents.generation.decoding.choices import choose_among
from tracer_agents.generation.gate import Check, Learner, Probes
from tracer_agents.generation.sglang.parity import Subject, examine
from tracer_agents.generation.sglang.roster import Roster
from tracer_agents.generation.sglang.weights import WeightTransport
from tracer_agents.generation.sglang.wire import Completion, Order, Worker
from tracer_env.dialogue import FinishReason


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedPolicy:
    """The servers that hold a policy, and the way its weights reach them; policies may share both."""

    roster: Roster
    weights: WeightTransport

    @property
    def workers(self) -> tuple[Worker, ...]:
        """The servers as they were at the last sync."""
        return self.roster.workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How failures are met: ``attempts`` rounds of asking, ``backoff_seconds`` after the first, then doubled."""

    attempts: int = 4
    backoff_seconds: float = 0.5


class SGLangBackend:
    """A fleet of SGLang servers.

    Args:
        policies: by the name that requests use.
        tokenizer: decodes completions; the server's own text is not used.
        stops: the ids that end a completion.
        resources: what goes when the engine ends: the workers' shared connections, a temporary folder.
        patience: with failures.
        in_flight: prompts under way at once; SGLang batches them itself.
        sleep: waits; tests pass their own.
    """

    def __init__(
        self,
        policies: Mapping[str, ServedPolicy],
        tokenizer: PreTrainedTokenizerBase,
        *,
        stops: Sequence[int],
        resources: ExitStack,
        patience: Patience,
        in_flight: int = 128,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.policies = dict(policies)
        self._tokenizer = tokenizer
        self._stops = tuple(sorted(stops))
        self._resources = resources
        self._patience = patience
        self._in_flight = in_flight
        self._sleep = sleep
        self._run = secrets.token_hex(4)  # another client's version 3 is not this one's
        self._published = 0
        self._versions: dict[str, int] = {}  # label -> version
        self._label: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._resources.close()

    @property
    def context(self) -> int | None:
        """The shortest context of the servers that say theirs; None: none does."""
        limits = [limit for served in self._served() for worker in served.workers if (limit := _context(worker))]
        return min(limits, default=None)

    # weights

    def sync(self, version: int) -> None:
        """Gives every server the learner's present weights and empties its cache; all must then say the same label.

        Servers that have joined a router since are among them, and those that have left it are not.

        Raises:
            GenerationFailed: a server did not take them within its deadlines, or says another label afterwards.
        """
        for served in self._served():
            served.roster.look()
        self.publish(version)
        pairs = [(served, worker) for served in self._served() for worker in served.workers]
        with ThreadPoolExecutor(len(pairs)) as pool:
            late = [fault for fault in pool.map(lambda pair: self._deliver(*pair), pairs) if fault is not None]
        if late:
            raise GenerationFailed(
                f"weights version {version} did not reach every server: {late[0]}; "
                "restart the server and continue with --resume"
            )

    def publish(self, version: int) -> str:
        """Fixes the learner's present weights under a new label, which every completion must carry from now on."""
        self._published += 1
        label = f"{self._run}-{self._published}-v{version}"
        for served in self._served():
            served.weights.publish(label)
        self._versions[label] = version
        self._label = label
        return label

    def _served(self) -> list[ServedPolicy]:
        """Each once, also where several policies share it."""
        return list({id(served): served for served in self.policies.values()}.values())

    def _deliver(self, served: ServedPolicy, worker: Worker) -> EngineFault | None:
        try:
            self._load(served, worker)
        except EngineFault as fault:
            return None if self._restore(served, worker, wait=True) else fault
        return None

    def _load(self, served: ServedPolicy, worker: Worker) -> None:
        assert self._label is not None  # publish comes first
        served.weights.load(worker, self._label)
        present = worker.version()
        if present != self._label:
            raise EngineFault(f"{worker.url}, stage 'sync': holds weights {present!r} instead of {self._label!r}")

    def _restore(self, served: ServedPolicy, worker: Worker, *, wait: bool) -> bool:
        """Whether a server is back and holds the present weights; it is given them if it holds others."""
        end = time.monotonic() + worker.deadlines.recover
        while True:
            if worker.ready():
                try:
                    if worker.version() != self._label:
                        self._load(served, worker)
                    return True
                except EngineFault:
                    pass  # it answers, but not yet as it should: time is left, or the caller reports the failure
            if not wait or time.monotonic() > end:
                return False
            self._sleep(1.0)

    def gate(self, learners: Mapping[str, Learner], probes: Probes) -> list[Check]:
        """Examines every server for every policy it holds (see ``parity``), then gives all of them the true weights.

        ``learners`` are by policy.

        Raises:
            GenerationFailed: a server does not answer.
        """
        version = 0 if self._label is None else self._versions[self._label]
        checks: list[Check] = []
        for policy, served in self.policies.items():
            for worker in served.workers:
                subject = Subject(
                    worker=worker,
                    learner=learners[policy],
                    reload=partial(self._reload, served, worker, version),
                    adapter=partial(served.weights.adapter, policy=policy),
                    probes=probes,
                    stops=self._stops,
                )
                checks += examine(subject)
        self.sync(version)
        return checks

    def _reload(self, served: ServedPolicy, worker: Worker, version: int) -> str:
        label = self.publish(version)
        served.weights.load(worker, label)
        return label

    # completions

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Generation]:
        """One completion per request, in order; those that never came have ``FinishReason.FAILED``.

        Raises:
            GenerationFailed: nothing came at all; or all that did not come was refused as malformed.
        """
        unknown = {request.policy for request in requests} - set(self.policies)
        if unknown:
            raise GenerationFailed(
                f"no server for policy {sorted(unknown)[0]!r}; backend.urls names {[*self.policies]}"
            )
        if not requests:
            return []
        if self._label is None:
            self.sync(0)
        done: dict[int, Completion] = {}
        refused: dict[int, GenerationFailed] = {}  # as malformed: asking again would not help
        suspects: set[str] = set()
        fault: EngineFault | None = None
        for attempt in range(self._patience.attempts):
            if attempt:
                self._sleep(self._patience.backoff_seconds * 2 ** (attempt - 1))
            missing = [row for row in range(len(requests)) if row not in done and row not in refused]
            answers, fault = self._ask(requests, missing, suspects, refused, fault)
            done |= answers
            if len(done) + len(refused) == len(requests):
                break
        if not done and refused:
            raise next(iter(refused.values()))
        if not done:
            raise GenerationFailed(f"no completion came in {self._patience.attempts} attempts; the last fault: {fault}")
        return self._generations(requests, done)

    def _ask(
        self,
        requests: Sequence[GenerationRequest],
        rows: Sequence[int],
        suspects: set[str],
        refused: dict[int, GenerationFailed],
        fault: EngineFault | None,
    ) -> tuple[dict[int, Completion], EngineFault | None]:
        """One round: the completions that came, by row, and the last fault met."""
        jobs: list[tuple[Worker, Order, list[int]]] = []
        for name, served in self.policies.items():
            wanted = self._orders(requests, [row for row in rows if requests[row].policy == name], name)
            workers = self._usable(served, suspects) if wanted else []
            jobs += [(worker, order, places) for (order, places), worker in zip(wanted, cycle(workers), strict=False)]
        came: dict[int, Completion] = {}
        lock = threading.Lock()

        def fulfil(job: tuple[Worker, Order, list[int]]) -> None:
            nonlocal fault
            worker, order, places = job
            if worker.url in suspects:
                return  # it went away during this round
            try:
                answers = [self._current(answer, worker) for answer in worker.complete(order)]
                answers *= len(places) if order.choices else 1
            except EngineFault as error:
                answers = [error]
            except GenerationFailed as refusal:
                with lock:
                    refused.update(dict.fromkeys(places, refusal))
                return
            with lock:
                for row, answer in zip(places, answers, strict=False):
                    if isinstance(answer, Completion):
                        came[row] = answer
                        continue
                    fault = answer
                    if isinstance(answer, EngineGone):
                        suspects.add(worker.url)

        if jobs:
            with ThreadPoolExecutor(min(self._in_flight, len(jobs))) as pool:
                for (_, _, places), _ in zip(jobs, pool.map(fulfil, jobs), strict=True):
                    progress.come(len(places))
        return came, fault

    def _orders(
        self, requests: Sequence[GenerationRequest], rows: Sequence[int], policy: str
    ) -> list[tuple[Order, list[int]]]:
        """Rows with the same prompt and settings make one order, so that they share a prefix."""
        assert self._label is not None  # generate syncs first
        adapter = self.policies[policy].weights.adapter(self._label, policy)
        alike: dict[tuple, list[int]] = {}
        for row in rows:
            request = requests[row]
            settings = (1, 1.0) if request.choices else (request.max_new_tokens, request.temperature)
            alike.setdefault((request.prompt_ids, *settings, request.choices), []).append(row)
        return [
            (
                Order(
                    prompt_ids=prompt,
                    copies=1 if choices else len(same),  # which choice is sampled is decided here, from the seeds
                    max_new_tokens=limit,
                    temperature=temperature,
                    stops=self._stops,
                    adapter=adapter,
                    choices=choices,
                ),
                same,
            )
            for (prompt, limit, temperature, choices), same in alike.items()
        ]

    def _usable(self, served: ServedPolicy, suspects: set[str]) -> list[Worker]:
        """The policy's servers that can be asked; only if there is none are those that went away waited for."""
        healthy = [worker for worker in served.workers if worker.url not in suspects]
        back = [
            worker
            for worker in served.workers
            if worker.url in suspects and self._restore(served, worker, wait=not healthy)
        ]
        suspects.difference_update(worker.url for worker in back)
        return healthy + back

    def _current(self, answer: Completion | EngineFault, worker: Worker) -> Completion | EngineFault:
        if isinstance(answer, Completion) and answer.version != self._label:
            return EngineGone(
                f"{worker.url}, stage 'generate': weights {answer.version!r} answered instead of {self._label!r}"
            )
        return answer

    def _generations(self, requests: Sequence[GenerationRequest], done: Mapping[int, Completion]) -> list[Generation]:
        done = {row: _chosen(requests[row], completion) for row, completion in done.items()}
        texts = self._tokenizer.batch_decode([list(c.output_ids) for c in done.values()], skip_special_tokens=True)
        decoded = dict(zip(done, texts, strict=True))
        label = self._label
        assert label is not None  # generate syncs first
        return [
            Generation(
                prompt_ids=request.prompt_ids,
                output_ids=done[row].output_ids,
                logps=done[row].logps,
                text=decoded[row],
                finish_reason=FinishReason.STOP if done[row].stopped else FinishReason.LENGTH,
                policy_version=self._versions[done[row].version],
                choice_logps=done[row].choice_logps,
            )
            if row in done
            else not_generated(request, FinishReason.FAILED, self._versions[label])
            for row, request in enumerate(requests)
        ]


def _chosen(request: GenerationRequest, completion: Completion) -> Completion:
    """What a request with choices gets: one of them, sampled as the engine in this process samples it."""
    if not request.choices:
        return completion
    place, logp = choose_among(completion.choice_logps, request.seed, request.temperature)
    return replace(completion, output_ids=(request.choices[place],), logps=(logp,), stopped=True)


def _context(worker: Worker) -> int | None:
    try:
        return worker.context()
    except GenerationFailed:
        return None  # whether it answers at all is the gate's question
