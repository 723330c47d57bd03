"""Models that a team speaks with through a chat server: built without weights, frozen for good."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tracer_agents.build.policy import PROBES
from tracer_agents.config import BackendConfig, Config, ModelUse
from tracer_agents.generation.gate import Check
from tracer_agents.generation.openai.orders import Access, Limits, Prices, Wording
from tracer_agents.generation.openai.purchases import Purchases
from tracer_agents.speakers.model import View
from tracer_agents.speakers.prompts import prompts_for
from tracer_agents.speakers.remote import ChatRequests, Completer, OpenAISpeakers
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Task

if TYPE_CHECKING:
    from tracer_agents.generation.openai.client import ChatClient

_PROBE_TOKENS = 16  # of the request that a server is examined with


@dataclass(frozen=True, kw_only=True)
class RemoteModel:
    """One of a team's models, which a chat server speaks for; a context manager.

    Args:
        use: its name and the agents that speak with it.
        config: the settings of a team of this model alone.
        client: buys its completions.
        speakers: those of its first agent.
    """

    use: ModelUse
    config: Config
    client: "ChatClient"
    speakers: OpenAISpeakers
    learner: None = None

    def __enter__(self) -> Self:
        self.client.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.client.__exit__(*exception)

    def gate(self) -> list[Check]:
        """Examines with one short request whether the server answers as it must, and what it says beyond that.

        Raises:
            ConfigError: a setting is wrong, so that no request can succeed.
            GenerationFailed: the server does not answer.
        """
        view = View(
            role=Role.PROPOSER, agent=self.use.agents[0], question=PROBES[1], solution=None, review=None, seed=0
        )
        request = self.speakers.request(view, most_tokens=_PROBE_TOKENS)
        examined = self.client.examine(request)
        completion, listed = examined.completion, examined.models
        name, url = self.client.access.wording.model, self.client.access.wording.url
        facts = {
            "answers": (True, f"{completion.generated_tokens} tokens for a prompt of {completion.prompt_tokens}"),
            "tokens are counted": (
                completion.counted,
                "by the server" if completion.counted else "not by the server: all token numbers are estimates",
            ),
            "log-probabilities": (
                completion.logps is not None,
                f"{len(completion.logps)} of them" if completion.logps else "none that belong to the text",
            ),
            "model is listed": (
                listed is not None and name in listed,
                f"{name!r}"
                if listed and name in listed
                else f"{name!r} is not; the server lists {listed or 'nothing'}",
            ),
        }
        return [
            Check(
                name=self.use.qualified(fact), server=url, status="passed" if holds else "not applicable", detail=detail
            )
            for fact, (holds, detail) in facts.items()
        ]

    def save(self, checkpoint: Path) -> None:
        """Nothing: the weights are the provider's."""

    def load(self, checkpoint: Path) -> None:
        """Nothing."""

    def sync(self, version: int) -> None:
        """Nothing."""


def build_client(config: Config) -> "ChatClient":
    """The client of the model and server that the settings name, to be entered.

    Raises:
        ConfigError: the key's environment variable is not set.
    """
    from tracer_agents.generation.openai.client import ChatClient  # a second, for those who need it

    backend = config.backend
    access = Access(
        wording=_wording(config),
        api_key=read_key(backend.api_key_env),
        api_key_env=backend.api_key_env,
        served_name=backend.served_name,
        attempts=backend.attempts,
        connect_seconds=backend.connect_seconds,
        generate_seconds=backend.generate_seconds,
        connections=backend.under_way,
    )
    return ChatClient(
        access,
        Purchases(Path(backend.cache).expanduser()),
        prices=prices_of(backend),
        limits=Limits(money=backend.max_spend, tokens=backend.max_spend_tokens),
    )


def read_key(name: str | None) -> str | None:
    """The key in the environment variable of this name; None: no variable is named.

    Raises:
        ConfigError: it is not set, or holds what cannot be sent.
    """
    if name is None:
        return None
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigError(
            f"backend.api_key_env: the environment variable {name} is not set; put the key there, or set "
            "backend.api_key_env to null for a server that needs none"
        )
    if not (key.isascii() and key.isprintable() and " " not in key):
        raise ConfigError(f"backend.api_key_env: {name} holds characters that no key has; copy the key alone")
    return key


def check_keys(config: Config) -> None:
    """Reads the keys of all engines, before any work.

    Raises:
        ConfigError: an environment variable that the settings name is not set.
    """
    for use in config.models:
        if not use.backend.trainable:
            read_key(use.backend.api_key_env)


def prices_of(backend: BackendConfig) -> Prices:
    """What the provider charges."""
    return Prices(prompt=backend.money_per_million_prompt_tokens, generated=backend.money_per_million_generated_tokens)


def build_remote_speakers(config: Config, client: Completer, task: Task, *, temperature: float) -> OpenAISpeakers:
    """The proposers and reviewers of agents that speak alike.

    Args:
        config: the settings of a team in which everybody speaks like them.
        client: completes conversations.
        task: reads answers out of proposals.
        temperature: of sampling.
    """
    return OpenAISpeakers(client=client, **vars(_requests(config, task, temperature)))


def chat_requests(config: Config, task: Task) -> list[ChatRequests | None]:
    """For each agent what words its requests; None: it speaks with local weights."""
    engines = {agent: use.backend for use in config.models for agent in use.agents}
    return [
        None if engines[agent].trainable else _requests(config.of_agent(agent), task, 1.0)
        for agent in range(config.dialogue.n_agents)
    ]


def _requests(config: Config, task: Task, temperature: float) -> ChatRequests:
    return ChatRequests(
        task=task,
        prompts=prompts_for(config.style, config.speakers.prompts, config.speakers.review),
        proposer_max_new_tokens=config.limits.proposer,
        reviewer_max_new_tokens=config.limits.reviewer,
        temperature=temperature,
    )


def spending_notes(models: Sequence[RemoteModel]) -> list[str]:
    """What the completions of this process took, a sentence for each model behind a chat server."""
    return [note for model in models for note in _spent(model)]


def _spent(model: RemoteModel) -> Iterator[str]:
    spending, access = model.client.spending, model.client.access
    money = f", for {spending.money:.4f}" if prices_of(model.config.backend) != Prices() else ""
    yield (
        f"{access.wording.model} at {access.wording.url}: {spending.bought:,} completions came, with "
        f"{spending.prompt_tokens:,} prompt and {spending.generated_tokens:,} generated tokens{money}; "
        f"{spending.remembered:,} were on disk"
    )
    if spending.lost:
        yield f"{access.wording.model}: {spending.lost:,} requests failed; --resume or the same command asks again"
    if spending.uncounted:
        yield (
            f"{access.wording.model}: the server did not count the tokens of {spending.uncounted:,} completions, which "
            "are estimated"
        )


def _wording(config: Config) -> Wording:
    backend, arguments = config.backend, config.speakers.template_arguments
    return Wording(
        url=(backend.url or "").rstrip("/"),
        model=config.speakers.model,
        limit_field=backend.limit_field,
        logprobs=backend.logprobs,
        body={**({"chat_template_kwargs": arguments} if arguments else {}), **backend.body},
    )
