"""The decode loop: rows that have ended leave the batch, waiting rows take their place, prompts are computed once."""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np
import torch

from tracer_agents import progress
from tracer_agents.generation.attention import grouped_queries
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding.flight import Flight
from tracer_agents.generation.decoding.prompts import ENTERING, Prefill, Prompts, asking_by_prompt
from tracer_agents.generation.decoding.sampling import Temperatures, choose
from tracer_agents.generation.weights import Weights
from tracer_env.seeding import token_uniforms

_LEAVING = 12  # rows that have ended leave once they are 1 in so many


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """What was sampled for one request: token ids, end token included, and their log-probabilities.

    ``choice_logps`` are those of the request's choices, if it has some.
    """

    tokens: list[int]
    logps: list[float]
    choice_logps: tuple[float, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Ready:
    """Prompts that are computed, and the requests that wait to enter with them."""

    prompts: Prompts
    waiting: deque[tuple[int, int]]  # (request, its prompt's place)


class DecodeLoop:
    """Completes requests.

    Args:
        weights: the policies'.
        prefill: computes prompts with them.
        stops: the ids that end a completion.
        slots: the most rows that decode together.
    """

    def __init__(self, weights: Weights, prefill: Prefill, *, stops: Sequence[int], slots: int) -> None:
        self._weights = weights
        self._prefill = prefill
        self._stops = torch.tensor(sorted(stops), dtype=torch.long, device=weights.model.device)
        self._slots = slots

    @torch.inference_mode()
    def run(self, requests: Sequence[GenerationRequest]) -> list[Sampled]:
        """One result per request, in order; all must fit into the model's context."""
        batch = _Batch(self._weights, requests, self._stops, min(self._slots, len(requests)))
        done: dict[int, Sampled] = {}
        waiting = self._ready(requests)
        ready = next(waiting, None)
        with batch, grouped_queries(self._weights.model.device):
            while ready is not None or batch.rows:
                while ready is not None and batch.free * ENTERING >= batch.slots:
                    batch.enter(ready)
                    batch.rest()
                    ready = ready if ready.waiting else next(waiting, None)
                left = batch.leave()
                done |= left
                progress.come(len(left))
                if batch.rows:
                    batch.step()
        return [done[row] for row in range(len(requests))]

    def _ready(self, requests: Sequence[GenerationRequest]) -> Iterator[_Ready]:
        asking = asking_by_prompt(requests)
        for computed in self._prefill(asking):
            waiting = deque((row, place) for prompt, place in computed.places.items() for row in asking[prompt])
            yield _Ready(prompts=computed.prompts, waiting=waiting)


class _Batch:
    """The rows that decode together, with what each has said so far."""

    def __init__(
        self, weights: Weights, requests: Sequence[GenerationRequest], stops: torch.Tensor, slots: int
    ) -> None:
        device = weights.model.device
        longest = max((request.max_new_tokens for request in requests), default=0)
        self.slots = slots
        self._weights = weights
        self._requests = requests
        self._stops = stops
        self._flight = Flight(weights.model, slots=slots, room=min(longest, 256))
        self._row = np.zeros(slots, dtype=np.int64)  # which request a slot belongs to
        self._uniforms = torch.zeros(slots, longest + 1, dtype=torch.float64, device=device)
        self._tokens = torch.zeros(slots, longest + 1, dtype=torch.long, device=device)
        self._logps = torch.zeros(slots, longest + 1, device=device)
        self._count = torch.zeros(slots, dtype=torch.long, device=device)  # tokens said
        self._limit = torch.zeros(slots, dtype=torch.long, device=device)
        self._temperature = torch.ones(slots, device=device)
        self._ended = torch.zeros(slots, dtype=torch.bool, device=device)
        self._how_many_ended = 0
        self._temperatures = Temperatures(scale=None, greedy=None)  # of the rows
        self._policies = ExitStack()  # the model computes each slot with its row's policy, while it is open
        self._computing = False

    def __enter__(self) -> "_Batch":
        return self

    def __exit__(self, *exception: object) -> None:
        self.rest()

    def rest(self) -> None:
        """Lets go of the model's policies, until the next step."""
        self._policies.close()
        self._computing = False

    @property
    def rows(self) -> int:
        """How many decode."""
        return self._flight.rows

    @property
    def free(self) -> int:
        """Slots that no row is in."""
        return self.slots - self.rows

    def enter(self, ready: _Ready) -> None:
        """Lets as many waiting rows in as there are free slots, and samples their first tokens."""
        entering = [ready.waiting.popleft() for _ in range(min(self.free, len(ready.waiting)))]
        first, last = self.rows, self.rows + len(entering)
        requests = [self._requests[row] for row, _ in entering]
        device = self._tokens.device
        places = torch.tensor([place for _, place in entering], device=device)
        self._flight.enter(ready.prompts, places)
        self._row[first:last] = [row for row, _ in entering]
        for slot, request in enumerate(requests, first):
            noise = token_uniforms(request.seed, request.max_new_tokens)
            self._uniforms[slot, : len(noise)] = torch.from_numpy(noise)
        self._limit[first:last] = torch.tensor([request.max_new_tokens for request in requests])
        self._temperature[first:last] = torch.tensor([request.temperature for request in requests])
        self._count[first:last] = 0
        self._ended[first:last] = False
        self._temperatures = Temperatures.of(self._temperature[:last])
        self._say(ready.prompts.logits[places], slice(first, last))

    def step(self) -> None:
        """One more token for every row; what ended rows say is not kept."""
        rows = slice(0, self.rows)
        if not self._computing:
            policies = [self._requests[row].policy for row in self._row[rows]]
            self._policies.enter_context(self._weights.by_row(policies))
            self._computing = True
        last = self._tokens[rows].gather(-1, self._count[rows].unsqueeze(-1) - 1).squeeze(-1)
        self._say(self._flight.step(last, ~self._ended[rows]), rows)

    def _say(self, logits: torch.Tensor, rows: slice) -> None:
        """Samples from (B, V) logits."""
        count = self._count[rows].unsqueeze(-1)
        uniform = self._uniforms[rows].gather(-1, count).squeeze(-1)
        token, logp = choose(logits, uniform, self._temperatures.of_rows(rows))
        self._tokens[rows].scatter_(-1, count, token.unsqueeze(-1))
        self._logps[rows].scatter_(-1, count, logp.unsqueeze(-1))
        self._count[rows] += ~self._ended[rows]
        self._ended[rows] |= torch.isin(token, self._stops) | (self._count[rows] >= self._limit[rows])
        self._how_many_ended = int(self._ended[: self.rows].sum())

    def leave(self) -> dict[int, Sampled]:
        """Lets ended rows out, once they are many enough; others take their slots, and the batch is smaller."""
        if not self._how_many_ended or self._how_many_ended * _LEAVING < self.rows:
            return {}
        ended = self._ended[: self.rows].cpu().numpy()
        leaving = np.flatnonzero(ended)
        done = dict(zip(self._row[leaving].tolist(), self._sampled(leaving), strict=True))
        of, to = self._flight.leave(ended)
        states = (self._uniforms, self._tokens, self._logps, self._count, self._limit, self._temperature, self._ended)
        for state in states:
            state[to] = state[of]
        self._row[to.cpu().numpy()] = self._row[of.cpu().numpy()]
        self._how_many_ended = 0
        self._temperatures = Temperatures.of(self._temperature[: self.rows])
        self.rest()
        return done

    def _sampled(self, slots: np.ndarray) -> list[Sampled]:
        places = torch.from_numpy(slots).to(self._tokens.device)
        counts = self._count[places].tolist()
        tokens, logps = self._tokens[places].tolist(), self._logps[places].tolist()
        return [
            Sampled(tokens=row[:count], logps=row_logps[:count])
            for row, row_logps, count in zip(tokens, logps, counts, strict=True)
        ]
