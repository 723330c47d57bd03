"""Buys completions of one model: many requests under way, none paid for twice, none beyond the spending limit.

Everything that came is on disk before it is used. A request that failed has no completion and is not kept, so the next
run asks for it again; a server that fails again and again ends the batch, since going on later costs nothing.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from tracer_agents import progress
from tracer_agents.errors import EngineFault, GenerationFailed, SpendingLimitReached
from tracer_agents.generation.openai.orders import (
    Access,
    ChatCompletion,
    ChatRequest,
    Limits,
    Prices,
    Spending,
    missing,
)
from tracer_agents.generation.openai.purchases import Purchases
from tracer_agents.generation.openai.wire import ChatServer, PromptTooLong, RequestRefused
from tracer_env.dialogue import FinishReason
from tracer_env.errors import TracerError

_IN_A_ROW = 16  # failed requests, each after all its attempts, that end a batch
T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own, so that it serves callers that have a loop, such as notebooks, too."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="completions", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns; an interrupt of the caller cancels it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Ends the thread, and what still runs in it."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_all() -> None:
    tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What one short request showed about a server: its answer, and the models that it lists, if it does."""

    completion: ChatCompletion
    models: list[str] | None


class ChatClient:
    """One model of one server, a context manager.

    Args:
        access: how the server is reached.
        purchases: where completions are kept; opened and closed with the client.
        prices: of the model.
        limits: of what may be spent into the folder of ``purchases``.
    """

    def __init__(self, access: Access, purchases: Purchases, *, prices: Prices, limits: Limits) -> None:
        self.access = access
        self.spending = Spending()
        self._purchases = purchases
        self._prices = prices
        self._limits = limits
        self._loop: _Loop | None = None
        self._reserved_tokens, self._reserved_money = 0, 0.0
        self._failed_in_a_row = 0
        self._unkept: list[tuple[ChatRequest, ChatCompletion, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._purchases.__enter__()
        self._loop = _Loop()
        self._server, self._freed = self._loop.run(self._connect())
        return self

    def __exit__(self, *exception: object) -> None:
        if self._loop is not None:
            self._loop.run(self._server.close())
            self._loop.close()
            self._loop = None
        self._purchases.__exit__()

    def complete(self, requests: Sequence[ChatRequest]) -> list[ChatCompletion]:
        """One completion per request, in order; equal requests share one.

        Those that never came have ``FinishReason.FAILED``; those that the server cannot take, ``TOO_LONG``.

        Raises:
            SpendingLimitReached: the next completion could cost more than is left.
            ConfigError: a setting is wrong, so that no request can succeed.
            GenerationFailed: nothing came at all, or nothing comes any more; what came is on disk.
        """
        return self._run(self._complete(requests)) if requests else []

    def examine(self, request: ChatRequest) -> Examined:
        """Sends one request, or recalls its completion, and asks for the list of models.

        Raises:
            as ``complete`` does.
        """
        [completion] = self.complete([request])
        return Examined(completion=completion, models=self._run(self._server.models()))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise GenerationFailed("completions are bought inside a 'with' over the engine")
        return self._loop.run(work)

    async def _connect(self) -> tuple[ChatServer, asyncio.Condition]:
        return ChatServer(self.access, self._charge_unanswered), asyncio.Condition()

    def _charge_unanswered(self, request: ChatRequest) -> None:
        self._purchases.charge(self.access.wording, request, self._prices)

    async def _complete(self, requests: Sequence[ChatRequest]) -> list[ChatCompletion]:
        keys = [self.access.wording.key(request) for request in requests]
        wanted = dict(zip(keys, requests, strict=True))
        known = {key: completion for key in wanted if (completion := self._purchases.recall(key)) is not None}
        self.spending.remembered += len(known)
        self._failed_in_a_row = 0
        came, fault = await self._buy_all({key: request for key, request in wanted.items() if key not in known})
        known |= came
        self.spending.lost += len(wanted) - len(known)
        if not known:
            raise GenerationFailed(f"no completion came; the last fault: {fault}")
        return [known.get(key, missing(FinishReason.FAILED)) for key in keys]

    async def _buy_all(
        self, wanted: dict[str, ChatRequest]
    ) -> tuple[dict[str, ChatCompletion], GenerationFailed | None]:
        """The completions that came, and the last fault; what ends the batch is raised once the others have ended."""
        came: dict[str, ChatCompletion] = {}
        waiting = iter(wanted.items())
        last: GenerationFailed | None = None
        end: TracerError | None = None

        async def work() -> None:
            nonlocal last, end
            for key, request in waiting:  # shared: each is taken once
                if end is not None:
                    return
                try:
                    came[key] = await self._buy(request)
                    progress.come()
                    self._failed_in_a_row = 0
                except (EngineFault, RequestRefused) as fault:
                    last = fault
                    self._failed_in_a_row += isinstance(fault, EngineFault)
                    if self._failed_in_a_row >= _IN_A_ROW:
                        end = GenerationFailed(
                            f"{fault}; {_IN_A_ROW} requests in a row failed, the last after {self.access.attempts} "
                            "attempts. What came is on disk: see to the server, then go on with --resume"
                        )
                except TracerError as error:
                    end = error

        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.access.connections, len(wanted))):
                group.create_task(work())
        if end is not None:
            raise end
        return came, last

    async def _buy(self, request: ChatRequest) -> ChatCompletion:
        async with self._reserved(request):
            try:
                completion = await self._server.complete(request)
            except PromptTooLong:
                return missing(FinishReason.TOO_LONG)
            await self._keep(request, completion)
        tokens = (completion.prompt_tokens, completion.generated_tokens)
        self.spending.add(
            Spending(
                bought=1,
                uncounted=not completion.counted,
                prompt_tokens=tokens[0],
                generated_tokens=tokens[1],
                money=self._prices.of(*tokens),
            )
        )
        return completion

    async def _keep(self, request: ChatRequest, completion: ChatCompletion) -> None:
        """Returns once the completion is on disk; what comes while the disk is busy is written together."""
        kept = asyncio.get_running_loop().create_future()
        self._unkept.append((request, completion, kept))
        if len(self._unkept) == 1 and not self._writing:
            self._writing = asyncio.create_task(self._write())
        await kept

    async def _write(self) -> None:
        try:
            while self._unkept:
                batch, self._unkept = self._unkept, []
                bought = [(request, completion) for request, completion, _ in batch]
                try:
                    await asyncio.to_thread(self._purchases.keep, self.access.wording, bought, self._prices)
                    error = None
                except TracerError as problem:
                    error = problem
                for _, _, kept in batch:
                    if not kept.done():  # it is if its request was cancelled
                        kept.set_exception(error) if error else kept.set_result(None)
        finally:
            self._writing = None

    @asynccontextmanager
    async def _reserved(self, request: ChatRequest) -> AsyncIterator[None]:
        """Holds back the most that a request can cost while it is under way.

        Raises:
            SpendingLimitReached: it could exceed the limit, though nothing else is under way.
        """
        tokens = request.most_prompt_tokens + request.max_new_tokens
        money = self._prices.of(request.most_prompt_tokens, request.max_new_tokens)
        async with self._freed:
            while self._limits.any and (excess := self._excess(tokens, money)) is not None:
                if not self._reserved_tokens:
                    raise SpendingLimitReached(
                        f"{excess}, in {self._purchases.path.parent}, by every run that keeps its completions there; "
                        "all of them are on disk: raise the limit, or name another backend.cache, and go on with "
                        "--resume"
                    )
                await self._freed.wait()
            self._reserved_tokens += tokens
            self._reserved_money += money
        try:
            yield
        finally:
            async with self._freed:
                self._reserved_tokens -= tokens
                self._reserved_money -= money
                self._freed.notify_all()

    def _excess(self, tokens: int, money: float) -> str | None:
        """Which limit a further request could exceed, and what was spent; None: neither."""
        limits = self._limits
        spent_tokens, spent_money = self._purchases.totals()
        if limits.money is not None and spent_money + self._reserved_money + money > limits.money:
            return (
                f"backend.max_spend: {limits.money:g} is reached: {spent_money:.4f} was spent, and the next completion "
                f"can cost {money:.4f}"
            )
        if limits.tokens is not None and spent_tokens + self._reserved_tokens + tokens > limits.tokens:
            return (
                f"backend.max_spend_tokens: {limits.tokens} is reached: {spent_tokens} were bought, and the next "
                f"completion can take {tokens}"
            )
        return None
