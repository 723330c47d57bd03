"""A chat server that misbehaves on request, and a client of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tracer_agents.generation.openai.client import ChatClient
from tracer_agents.generation.openai.orders import Access, Limits, Prices, Wording
from tracer_agents.generation.openai.purchases import Purchases


@pytest.fixture
def server(doubles) -> Iterator[Any]:
    """Says the last message back."""
    with doubles.ChatServer(lambda body: f"you said {body['messages'][-1]['content']}") as running:
        yield running


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """How long the maintained client meant to wait between attempts; nobody waits."""
    seconds: list[float] = []

    async def note(delay: float) -> None:
        seconds.append(delay)

    monkeypatch.setattr("openai._base_client.anyio.sleep", note)
    return seconds


@pytest.fixture
def connect(server, tmp_path, waits) -> Iterator[Callable[..., ChatClient]]:
    """Makes a client, with other settings by name; its folder is the test's."""
    with ExitStack() as clients:

        def make(
            *, limits: Limits | None = None, prices: Prices | None = None, folder: str = "cache", **settings: Any
        ) -> ChatClient:
            wording = Wording(url=server.url, model="m", **settings.pop("wording", {}))
            client = ChatClient(
                Access(wording=wording, **settings),
                Purchases(tmp_path / folder),
                prices=prices or Prices(prompt=1.0, generated=2.0),
                limits=limits or Limits(),
            )
            return clients.enter_context(client)

        yield make
