"""Which servers there are: those that were named, and those that a router lists, which may come and go."""

from collections.abc import Callable, Sequence

import httpx

from tracer_agents.generation.replies import BadReply, parse, read
from tracer_agents.generation.sglang.replies import RouterUrls, RouterWorkers
from tracer_agents.generation.sglang.wire import Deadlines, Worker
from tracer_env.errors import ConfigError

Listing = Callable[[str], Sequence[str] | None]


def listed_servers(url: str, client: httpx.Client, deadlines: Deadlines) -> list[str] | None:
    """The healthy servers that the router at an address lists; None, if it is no router or does not say.

    Weights, flushes and version checks must reach every one of them, which a router does not do.
    """
    for path, listed in (("/workers", _workers), ("/list_workers", _urls)):
        try:
            response = client.get(url.rstrip("/") + path, timeout=deadlines.connect)
            if response.is_success:
                return listed(parse(response.content))
        except (httpx.HTTPError, httpx.InvalidURL, BadReply):
            continue
    return None


def _workers(answer: object) -> list[str]:
    return [worker.url for worker in read(RouterWorkers, answer).workers if worker.is_healthy]


def _urls(answer: object) -> list[str]:
    return read(RouterUrls, answer).urls


class Roster:
    """The servers behind some addresses.

    Args:
        addresses: of servers, and of routers before servers.
        listed: what a router at an address lists; None, where there is no router.
        worker: a server by its address.

    Raises:
        ConfigError: a router has no server yet.
    """

    def __init__(self, addresses: Sequence[str], listed: Listing, worker: Callable[[str], Worker]) -> None:
        self._listed = listed
        self._worker = worker
        self._behind: dict[str, tuple[Worker, ...]] = {}
        self._routed: list[str] = []
        for address in addresses:
            urls = listed(address)
            if urls is not None:
                self._routed.append(address)
                if not urls:
                    raise ConfigError(f"backend.url: the router at {address} has no server yet; wait for one to join")
            self._behind[address] = tuple(worker(url) for url in urls or [address])

    @property
    def workers(self) -> tuple[Worker, ...]:
        """As they were last seen, each once."""
        return tuple({worker.url: worker for workers in self._behind.values() for worker in workers}.values())

    def look(self) -> None:
        """Asks the routers anew. Who has joined and is ready is taken up; who is no longer listed is let go.

        A router that does not answer, or lists nobody, changes nothing.
        """
        for address in self._routed:
            known = {worker.url: worker for worker in self._behind[address]}
            urls = [url.rstrip("/") for url in self._listed(address) or ()]
            joined = (self._worker(url) for url in urls if url not in known)
            present = [known[url] for url in urls if url in known] + [each for each in joined if each.ready()]
            self._behind[address] = tuple(present) or self._behind[address]
