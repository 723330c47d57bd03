"""Connects to the SGLang servers that the settings name."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx

from tracer_agents.build.policy import Policy, embedding_rows
from tracer_agents.config import Config
from tracer_agents.generation.adapters import LoraAdapters
from tracer_agents.generation.sglang.backend import Patience, ServedPolicy, SGLangBackend
from tracer_agents.generation.sglang.roster import Roster, listed_servers
from tracer_agents.generation.sglang.weights import AdapterWeights, DiskWeights, TensorWeights, WeightTransport
from tracer_agents.generation.sglang.wire import Deadlines, Worker
from tracer_agents.generation.weights import Weights
from tracer_env.errors import ConfigError


@contextmanager
def _folder_for_weights(parent: str | None) -> Iterator[Path]:
    """A folder of this run alone, which goes with it; servers of other users may read it.

    Raises:
        ConfigError: it cannot be made.
    """
    try:
        if parent is not None:
            Path(parent).mkdir(parents=True, exist_ok=True)
        made = tempfile.TemporaryDirectory(prefix="tracer-weights-", dir=parent)
    except OSError as error:
        raise ConfigError(f"backend.weights_folder: {parent} cannot be written: {error.strerror}") from error
    with made as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def build_sglang(config: Config, policy: Policy) -> SGLangBackend:
    """The client of the servers that the settings name; the policies' weights are what it sends them.

    Raises:
        ConfigError: servers and policies do not match.
    """
    with ExitStack() as resources:  # nothing stays open if the rest fails
        return _sglang(config, policy, resources)


def _sglang(config: Config, policy: Policy, resources: ExitStack) -> SGLangBackend:
    settings = config.backend
    limits = httpx.Limits(max_connections=settings.under_way + 8)
    client = resources.enter_context(httpx.Client(trust_env=False, limits=limits))
    folder = resources.enter_context(_folder_for_weights(settings.weights_folder))
    deadlines = Deadlines(
        connect=settings.connect_seconds,
        generate=settings.generate_seconds,
        sync=settings.sync_seconds,
        recover=settings.recover_seconds,
    )
    return SGLangBackend(
        _served(config, policy.weights, folder, client, deadlines),
        policy.tokenizer,
        stops=policy.stops,
        resources=resources.pop_all(),
        patience=Patience(attempts=settings.attempts, backoff_seconds=settings.backoff_seconds),
        in_flight=settings.under_way,
    )


def _served(
    config: Config, weights: Weights, folder: Path, client: httpx.Client, deadlines: Deadlines
) -> dict[str, ServedPolicy]:
    """The servers of each policy: adapters share servers, whole models do not."""
    settings = config.backend
    servers = settings.servers(weights.names)
    if set(servers) != set(weights.names):
        raise ConfigError(f"backend.urls: the speakers' policies are {[*weights.names]}; got servers for {[*servers]}")
    listed = partial(listed_servers, client=client, deadlines=deadlines)
    worker = partial(Worker, client=client, deadlines=deadlines, vocabulary=embedding_rows(weights.model))
    rosters = {name: Roster(urls, listed, worker) for name, urls in servers.items()}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, roster in rosters.items():
        groups.setdefault(tuple(each.url for each in roster.workers), []).append(name)
    served: dict[str, ServedPolicy] = {}
    for names in groups.values():
        group = ServedPolicy(roster=rosters[names[0]], weights=_transport(config, weights, names, folder))
        served |= dict.fromkeys(names, group)
    urls = [url for group in groups for url in group]
    if len(set(urls)) < len(urls):
        raise ConfigError("backend.urls: policies that share a server must share all their servers")
    return served


def _transport(config: Config, weights: Weights, names: list[str], folder: Path) -> WeightTransport:
    """How the policies in ``names`` reach the servers that hold them."""
    if isinstance(weights, LoraAdapters) and config.backend.weights == "adapter":
        return AdapterWeights(
            save={name: partial(weights.save_adapter, name) for name in names}, folder=folder / "-".join(names)
        )
    [name, *others] = names
    if others:
        raise ConfigError(
            f"a server holds one policy, got {', '.join(names)}: give each its own in backend.urls, or, "
            "where servers have a GPU, set backend.weights: adapter"
        )
    if config.backend.weights == "tensor":
        return TensorWeights(named=partial(weights.merged, name))
    return DiskWeights(save=partial(weights.export, name), folder=folder / name)
