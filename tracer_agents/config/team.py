"""Which models a team has, and which agents speak with each."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tracer_agents.config.engine import BackendConfig
from tracer_agents.config.speakers import SpeakersConfig, policy_of
from tracer_env.dialogue import Role

FROZEN = "frozen"  # the policy of frozen agents whose model others train: an adapter that stays as it began


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelUse:
    """One of a team's models.

    Args:
        label: names the model among the team's: a folder of its checkpoint; empty where the team has one model.
        speakers: the settings of a team of this model alone.
        backend: its engine.
        agents: who speaks with it.
        trained: those of them that learn.
    """

    label: str
    speakers: SpeakersConfig
    backend: BackendConfig
    agents: tuple[int, ...]
    trained: tuple[int, ...]

    @property
    def trained_policies(self) -> tuple[str, ...]:
        """The policies that learn."""
        return self.speakers.policies(self.trained)

    @property
    def policies(self) -> tuple[str, ...]:
        """Everything that the model speaks as."""
        if not self.trained:
            return self.speakers.policies(self.agents)
        return (*self.trained_policies, *([FROZEN] if self.agents != self.trained else []))

    def policy(self, role: Role, agent: int) -> str:
        """What an agent speaks as in a role."""
        if self.trained and agent in self.agents and agent not in self.trained:
            return FROZEN
        return policy_of(self.speakers.policy, role, agent)

    def qualified(self, policy: str) -> str:
        """The policy's name among those of all models."""
        return f"{self.label}.{policy}" if self.label else policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Voice:
    """Agents that say the same of the same: with one model, one policy for each role and equal settings.

    Args:
        label: names the voice among the team's.
        agents: who speaks with it.
    """

    label: str
    agents: tuple[int, ...]


def voices_of(models: Iterable[ModelUse], settings: Callable[[int], str]) -> tuple[Voice, ...]:
    """A team's distinct voices, model by model; ``settings`` tells what an agent says differently from others."""
    voices: list[Voice] = []
    for use in models:
        alike: dict[tuple[str, ...], list[int]] = {}
        for agent in use.agents:
            policies = (use.policy(role, agent) for role in Role)
            alike.setdefault((settings(agent), *policies), []).append(agent)
        name = use.label or Path(use.speakers.model).name or "model"
        voices += [
            Voice(label=name if len(alike) == 1 else f"{name}.{agents[0]}", agents=tuple(agents))
            for agents in alike.values()
        ]
    return tuple(voices)


def models_of(
    speakers: SpeakersConfig, backend: BackendConfig, n_agents: int, *, learn: bool = True
) -> tuple[ModelUse, ...]:
    """A team's distinct models, in the order of their first agents; ``learn`` says whether any speaker does."""
    if not speakers.members:
        agents = tuple(range(n_agents))
        trained = agents if learn and backend.trainable else ()
        return (ModelUse(label="", speakers=speakers, backend=backend, agents=agents, trained=trained),)
    by_model: dict[str, list[int]] = {}
    for agent, member in enumerate(speakers.members):
        by_model.setdefault(member.model, []).append(agent)
    labels = _labels(list(by_model)) if len(by_model) > 1 else iter([""])
    return tuple(
        _use(label, speakers, backend, tuple(agents), learn=learn)
        for label, agents in zip(labels, by_model.values(), strict=True)
    )


def _use(
    label: str, speakers: SpeakersConfig, backend: BackendConfig, agents: tuple[int, ...], *, learn: bool
) -> ModelUse:
    engine = speakers.members[agents[0]].backend or backend
    trained = tuple(agent for agent in agents if learn and speakers.members[agent].train and engine.trainable)
    first = speakers.of_agent(agents[0])
    return ModelUse(
        label=label,
        speakers=first if trained else first.model_copy(update={"policy": "shared", "lora_rank": None}),
        backend=engine,
        agents=agents,
        trained=trained,
    )


def _labels(models: list[str]) -> Iterator[str]:
    """A short name for each model, fit for a folder: the last part of its name, numbered."""
    for number, model in enumerate(models):
        last = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in Path(model).name)
        yield f"{number}-{last or 'model'}"
