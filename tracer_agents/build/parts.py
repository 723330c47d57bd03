"""Everything that a run is made of."""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tracer_agents.build.policy import PROBES, Policy, load_policy
from tracer_agents.build.servers import build_sglang
from tracer_agents.config import Config
from tracer_agents.generation.base import Engine, GenerationBackend
from tracer_agents.generation.gate import Check, Probes
from tracer_agents.generation.probe import PolicyProbe
from tracer_agents.generation.soundness import context_of
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.speakers.model import ModelSpeakers, View
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError
from tracer_env.tasks import make_task
from tracer_env.tasks.base import Task


def build_task(config: Config) -> Task:
    """The task that the settings name."""
    task = config.task
    return make_task(task.name, data=task.data, eval_data=task.eval_data, **task.options)


def build_backend(config: Config, policy: Policy) -> Engine:
    """The engine that generates with the policies, a context manager."""
    if config.backend.name == "sglang":
        return build_sglang(config, policy)
    return TransformersBackend(
        policy.weights,
        policy.tokenizer,
        pad_id=policy.pad_id,
        stops=policy.stops,
        batch_size=config.backend.batch_size,
    )


def build_speakers(
    config: Config,
    policy: Policy,
    backend: GenerationBackend,
    task: Task,
    *,
    temperature: float,
    context: int | None = None,
) -> ModelSpeakers:
    """Everybody's proposers and reviewers.

    Raises:
        ConfigError: completions may be longer than the context.
    """
    context = min((limit for limit in (context_of(policy.model), context) if limit is not None), default=None)
    if context is not None and config.limits.longest >= context:
        raise ConfigError(
            f"speakers.proposer_max_new_tokens, speakers.reviewer_max_new_tokens: completions of up to "
            f"{config.limits.longest} tokens leave no room for a prompt in a context of {context}; lower them"
        )
    return ModelSpeakers(
        backend=backend,
        chat=policy.chat,
        task=task,
        prompts=policy.prompts,
        proposer_max_new_tokens=config.limits.proposer,
        reviewer_max_new_tokens=config.limits.reviewer,
        context=context,
        policy=config.speakers.policy,
        temperature=temperature,
    )


def build_learner(config: Config, policy: Policy) -> PolicyLearners:
    """The optimisers of the policies."""
    weights = policy.weights
    learners = {name: GSPOLearner(weights, name, pad_id=policy.pad_id, config=config.gspo) for name in weights.names}
    return PolicyLearners(learners, weights)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything a run is made of; the backend and the learner share the policies' model.

    A context manager: the engine's connections and temporary folders are gone when it ends.
    """

    task: Task
    policy: Policy
    backend: Engine
    learner: PolicyLearners
    training_speakers: ModelSpeakers  # sample at temperature 1
    speakers: ModelSpeakers  # sample at the evaluation's temperature
    greedy_speakers: ModelSpeakers

    def __enter__(self) -> Self:
        self.backend.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.backend.__exit__(*exception)

    def gate(self, config: Config) -> list[Check]:
        """Examines whether the engine generates from the policies that the learner trains.

        Raises:
            GenerationFailed: a server does not answer.
        """
        views = [View(role=Role.PROPOSER, question=text, solution=None, review=None, seed=0) for text in PROBES]
        prompts = [self.speakers.prompt_ids(view) for view in views if self.speakers.fits(view)]
        weights, tokenizer = self.policy.weights, self.policy.tokenizer
        probes = Probes(
            prompts=prompts,
            texts=PROBES,
            max_new_tokens=min(config.limits.proposer, 64),
            temperatures=(1.0, 0.7),
            tolerance=config.backend.parity_tolerance,
        )
        return self.backend.gate({name: PolicyProbe(weights, name, tokenizer) for name in weights.names}, probes)


def build(config: Config, weights: Path | None = None) -> Parts:
    """Builds a run's objects, to be used in a ``with``; ``weights`` is a checkpoint's folder with what was trained."""
    task = build_task(config)
    policy = load_policy(config, weights)
    with ExitStack() as opened:  # nothing stays open if the rest fails
        backend = opened.enter_context(build_backend(config, policy))
        context = backend.context
        training, evaluation, greedy = (
            build_speakers(config, policy, backend, task, temperature=temperature, context=context)
            for temperature in (1.0, config.speakers.temperature, 0.0)
        )
        opened.pop_all()
    return Parts(
        task=task,
        policy=policy,
        backend=backend,
        learner=build_learner(config, policy),
        training_speakers=training,
        speakers=evaluation,
        greedy_speakers=greedy,
    )
