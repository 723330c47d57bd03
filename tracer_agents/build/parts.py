"""Everything that a run is made of."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np

from tracer_agents.build.policy import PROBES, Policy, load_policy
from tracer_agents.build.remote import RemoteModel, build_client, build_remote_speakers
from tracer_agents.build.servers import build_sglang
from tracer_agents.config import Config, ModelUse, SpeakersConfig, policy_of
from tracer_agents.credit.verdicts import GradedSolution
from tracer_agents.generation.alone import GatheringEngine
from tracer_agents.generation.base import Engine, GenerationBackend
from tracer_agents.generation.gate import Check, Probes
from tracer_agents.generation.probe import PolicyProbe
from tracer_agents.generation.soundness import context_of
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.learners.ranks import ALONE, Ranks
from tracer_agents.learners.together import SharedLearners, shard_alike
from tracer_agents.learners.verdicts import VerdictLearner, VerdictSample, VerdictStats
from tracer_agents.speakers.chat import Chat
from tracer_agents.speakers.members import MemberSpeakers
from tracer_agents.speakers.model import ModelSpeakers, View, ViewSpeakers
from tracer_agents.speakers.prompts import prompts_for
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError
from tracer_env.tasks import make_task
from tracer_env.tasks.base import Task

_TRIED = 16  # questions whose prompts are made before any work, to see whether they fit


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
    use: ModelUse | None = None,
) -> ModelSpeakers:
    """The proposers and reviewers of agents that speak alike.

    Args:
        config: the settings of a team in which everybody speaks like them.
        policy: their model.
        backend: their engine.
        task: reads answers out of proposals.
        temperature: of sampling.
        context: the engine's, tokens; None: no limit is known.
        use: who speaks as what; by default everybody as the settings say.

    Raises:
        ConfigError: completions may be longer than the context.
    """
    context = min((limit for limit in (context_of(policy.model), context) if limit is not None), default=None)
    if context is not None and config.limits.longest >= context:
        raise ConfigError(
            f"speakers.proposer_max_new_tokens, speakers.reviewer_max_new_tokens: completions of up to "
            f"{config.limits.longest} tokens leave no room for a prompt in a context of {context}; lower them"
        )
    chat, prompts = _chat(policy, config), prompts_for(config.style, config.speakers.prompts, config.speakers.review)
    return ModelSpeakers(
        backend=backend,
        chat=chat,
        task=task,
        prompts=prompts,
        verdict_ids=chat.choices(prompts.texts.verdict_words) if config.speakers.review == "verdict" else (),
        proposer_max_new_tokens=config.limits.proposer,
        reviewer_max_new_tokens=config.limits.reviewer,
        context=context,
        policy=(use or config.models[0]).policy,
        temperature=temperature,
    )


def _chat(policy: Policy, config: Config) -> Chat:
    """The model's chat format with the template arguments of these speakers, examined on their prompts."""
    arguments, prompts = (
        config.speakers.template_arguments,
        prompts_for(config.style, config.speakers.prompts, config.speakers.review),
    )
    if policy.chat.arguments == arguments and policy.prompts == prompts:
        return policy.chat
    chat = replace(policy.chat, arguments=arguments)
    chat.check(turns=prompts.turns, system=prompts.system)
    return chat


def load_trained(config: Config, use: ModelUse, checkpoint: Path | None, ranks: Ranks) -> Policy:
    """The model of speakers that learn, sharded where several processes train it; all of them call it.

    Args:
        config: the settings of a team of this model alone.
        use: its name and its agents.
        checkpoint: the folder of all that was trained; None: nothing was.
        ranks: the processes.

    Raises:
        ConfigError, RunError: see ``load_policy`` and ``shard_alike``; or the settings give all processes one GPU.
    """
    kept = checkpoint / use.label if checkpoint is not None else None
    if not ranks.several:
        return load_policy(config, kept, use.policies)
    if ":" in config.speakers.device:
        raise ConfigError(
            f"speakers.device: {config.speakers.device} is one device for {ranks.size} processes; set cuda, and each "
            "takes its own"
        )
    policy = ranks.alike(lambda: load_policy(config, kept, use.policies))
    shard_alike(policy.model, ranks)
    return policy


def build_learner(
    config: Config, policy: Policy, names: Sequence[str] | None = None, *, ranks: Ranks = ALONE, label: str = ""
) -> PolicyLearners:
    """The optimisers of the policies in ``names``, by default of all.

    Args:
        config: the settings of a team of this model alone.
        policy: the model; sharded where there are several processes.
        names: of those that learn.
        ranks: the processes.
        label: tells the model from others of the team.
    """
    weights = policy.weights
    if config.gspo.gradient_checkpointing and not weights.model.supports_gradient_checkpointing:
        kind = weights.model.config.model_type
        raise ConfigError(f"gspo.gradient_checkpointing: {kind} models cannot compute layers again; set it to false")
    learners = {
        name: GSPOLearner(weights, name, pad_id=policy.pad_id, config=config.gspo, ranks=ranks)
        for name in names or weights.names
    }
    verdicts = _verdict_learners(config, policy, learners, ranks)
    if ranks.several:
        return SharedLearners(learners, weights, verdicts, ranks=ranks, label=label)
    return PolicyLearners(learners, weights, verdicts)


def _verdict_learners(
    config: Config, policy: Policy, learners: Mapping[str, GSPOLearner], ranks: Ranks
) -> dict[str, VerdictLearner]:
    """Of the policies that review, where a review is one token."""
    if config.speakers.review == "worked":
        return {}
    credit, use = config.credit, config.models[0]
    rate = credit.verdict_learning_rate or config.gspo.learning_rate
    reviewing = {policy_of(use.speakers.policy, Role.REVIEWER, agent) for agent in use.agents}
    return {
        name: VerdictLearner(
            policy.weights,
            name,
            pad_id=policy.pad_id,
            config=config.gspo.model_copy(update={"learning_rate": rate}),
            loss=credit.verdict_loss,
            batch_size=credit.verdict_batch,
            beside=learner.optimiser,
            ranks=ranks,
        )
        for name, learner in learners.items()
        if name in reviewing
    }


@dataclass(frozen=True, kw_only=True)
class TeamModel:
    """One of a team's models, with its engine and, where agents that speak with it learn, its learner.

    Args:
        use: its name and the agents that speak with it.
        config: the settings of a team of this model alone.
        policy: the model.
        backend: its engine.
        learner: of its trained policies; None: all its agents are frozen.
        speakers: those of its first agent.
    """

    use: ModelUse
    config: Config
    policy: Policy
    backend: Engine
    learner: PolicyLearners | None
    speakers: ModelSpeakers

    def __enter__(self) -> Self:
        self.backend.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.backend.__exit__(*exception)

    def gate(self) -> list[Check]:
        """Examines whether the engine generates from the policies that the learner trains.

        Raises:
            GenerationFailed: a server does not answer.
        """
        views = [
            View(role=Role.PROPOSER, agent=self.use.agents[0], question=text, solution=None, review=None, seed=0)
            for text in PROBES
        ]
        prompts = [self.speakers.prompt_ids(view) for view in views if self.speakers.fits(view)]
        weights, tokenizer = self.policy.weights, self.policy.tokenizer
        probes = Probes(
            prompts=prompts,
            texts=PROBES,
            max_new_tokens=min(self.config.limits.proposer, 64),
            temperatures=(1.0, 0.7),
            tolerance=self.config.backend.parity_tolerance,
        )
        learners = {name: PolicyProbe(weights, name, tokenizer) for name in weights.names}
        checks = self.backend.gate(learners, probes)
        return [replace(check, name=self.use.qualified(check.name)) for check in checks]

    def save(self, checkpoint: Path) -> None:
        """Writes the model's part of a checkpoint, if it has one: what training has made, and the tokenizer."""
        if self.learner is not None:
            folder = checkpoint / self.use.label
            folder.mkdir(exist_ok=True)
            self.learner.gather()
            self.policy.weights.save(folder)
            self.policy.tokenizer.save_pretrained(folder)
            self.learner.save(folder)

    def load(self, checkpoint: Path) -> None:
        """Takes up a checkpoint's optimisers (its weights are loaded when the model is built)."""
        if self.learner is not None:
            self.learner.load(checkpoint / self.use.label)

    def sync(self, version: int) -> None:
        """Makes the engine generate with the present weights, if they change at all."""
        if self.learner is not None:
            self.backend.sync(version)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything a run is made of; engines and learners share the models.

    A context manager: the engines' connections and temporary folders are gone when it ends.
    """

    task: Task
    models: tuple[TeamModel | RemoteModel, ...]
    training_speakers: ViewSpeakers  # sample at temperature 1 whoever learns
    speakers: ViewSpeakers  # sample at the evaluation's temperature
    greedy_speakers: ViewSpeakers
    most_votes: int | None = None  # independent answers to a question that its speakers can give; None: any number

    def __enter__(self) -> Self:
        with ExitStack() as opened:
            for model in self.models:
                opened.enter_context(model)
            opened.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        with ExitStack() as closing:
            for model in self.models:
                closing.push(model.__exit__)

    def model_of(self, agent: int) -> TeamModel | RemoteModel:
        """The model that an agent speaks with."""
        return next(model for model in self.models if agent in model.use.agents)

    @property
    def policy(self) -> Policy:
        """The model of a team that has one."""
        return self._only.policy

    @property
    def backend(self) -> Engine:
        """The engine of a team of one model."""
        return self._only.backend

    @property
    def learner(self) -> PolicyLearners:
        """The learner of a team of one model."""
        assert self._only.learner is not None  # a model alone may always be trained
        return self._only.learner

    @property
    def remote(self) -> tuple[RemoteModel, ...]:
        """The models that chat servers speak for."""
        return tuple(model for model in self.models if isinstance(model, RemoteModel))

    @property
    def _only(self) -> TeamModel:
        [model] = self.models
        assert isinstance(model, TeamModel)  # who asks for weights has some
        return model

    def verdict_samples(self, solutions: Sequence[GradedSolution], agent: int) -> list[VerdictSample]:
        """Graded proposals as an agent's reviewer is asked about them; those that do not fit its context are left out.

        Raises:
            ConfigError: the agent's reviews are worked out, or come from a chat server.
        """
        speakers = self.training_speakers
        if isinstance(speakers, MemberSpeakers):
            speakers = speakers.by_agent[agent]
        if not isinstance(speakers, ModelSpeakers) or not speakers.verdict_ids:
            raise ConfigError(
                f"agent {agent} has no verdicts to be trained: set speakers.review: verdict, and an engine with weights"
            )
        policy, ids = self.model_of(agent).use.policy(Role.REVIEWER, agent), speakers.verdict_ids
        views = [
            View(role=Role.REVIEWER, agent=agent, question=each.question, solution=each.solution, review=None, seed=0)
            for each in solutions
        ]
        prompts = [speakers.prompt(view) for view in views]
        return [
            VerdictSample(prompt_ids=prompt.ids, choices=(ids[0], ids[1]), right=each.right, policy=policy)
            for each, prompt in zip(solutions, prompts, strict=True)
            if prompt is not None
        ]

    def train_verdicts(
        self, solutions: Sequence[GradedSolution], rng: Callable[[], np.random.Generator], *, epochs: int = 1
    ) -> dict[str, VerdictStats]:
        """Trains the reviewers of all trained agents on graded proposals; those that share a policy once.

        Engines outside this process generate with the new weights once ``sync`` gave them theirs.

        Args:
            solutions: what is learned from.
            rng: makes equal generators, one for each policy, which shuffle the samples.
            epochs: how often each is gone through.

        Returns:
            Statistics by policy; before any sample is learned from for the first time, where they are probabilities.
        """
        stats: dict[str, VerdictStats] = {}
        for model in self.models:
            if model.learner is None:
                continue
            reviewers = {model.use.policy(Role.REVIEWER, agent): agent for agent in reversed(model.use.trained)}
            samples = [each for agent in sorted(reviewers.values()) for each in self.verdict_samples(solutions, agent)]
            learned = model.learner.update_verdicts(samples, rng, epochs=epochs)
            stats |= {model.use.qualified(policy): each for policy, each in learned.items()}
        return stats

    def gate(self) -> list[Check]:
        """Examines whether every engine generates from the policies that its learner trains.

        Raises:
            GenerationFailed: a server does not answer.
        """
        return [check for model in self.models for check in model.gate()]


def build(config: Config, weights: Path | None = None, ranks: Ranks = ALONE) -> Parts:
    """Builds a run's objects, to be used in a ``with``.

    Args:
        config: the settings.
        weights: a checkpoint's folder with what was trained.
        ranks: the processes that train together, of which this one leads; the others ``follow_leader``.
    """
    task = build_task(config)
    weights = weights and weights.absolute()
    ranks.tell((config, weights))
    with ExitStack() as opened:  # nothing stays open if the rest fails
        models = tuple(_model(config, use, task, weights, opened, ranks) for use in config.models)
        parts = Parts(
            task=task,
            models=models,
            training_speakers=_speakers(config, models, task, lambda use, agent: 1.0 if agent in use.trained else None),
            speakers=_speakers(config, models, task, lambda use, agent: None),
            greedy_speakers=_speakers(config, models, task, lambda use, agent: 0.0),
        )
        opened.pop_all()
    return parts


def _model(
    config: Config, use: ModelUse, task: Task, checkpoint: Path | None, opened: ExitStack, ranks: Ranks
) -> TeamModel | RemoteModel:
    settings = config.of_model(use)
    if not use.backend.trainable:
        client = build_client(settings)
        speakers = build_remote_speakers(settings, client, task, temperature=1.0)
        return RemoteModel(use=use, config=settings, client=client, speakers=speakers)
    learner = None
    if use.trained:
        policy = load_trained(settings, use, checkpoint, ranks)
        backend = opened.enter_context(build_backend(settings, policy))
        learner = build_learner(settings, policy, use.trained_policies, ranks=ranks, label=use.label)
        backend = GatheringEngine(backend, learner.gather) if ranks.several else backend
    else:
        policy = load_policy(settings, None, use.policies)
        backend = opened.enter_context(build_backend(settings, policy))
    return TeamModel(
        use=use,
        config=settings,
        policy=policy,
        backend=backend,
        learner=learner,
        speakers=build_speakers(settings, policy, backend, task, temperature=1.0, context=backend.context, use=use),
    )


def _speakers(
    config: Config,
    models: Sequence[TeamModel | RemoteModel],
    task: Task,
    temperature: Callable[[ModelUse, int], float | None],
) -> ViewSpeakers:
    """Everybody's speakers; agents with equal settings share them.

    ``temperature`` tells that of an agent's model; None: as the agent's settings say. A price changes nothing in what
    is said.
    """
    made: dict[str, ViewSpeakers] = {}

    def of_agent(model: TeamModel | RemoteModel, agent: int) -> ViewSpeakers:
        settings, asked = config.speakers.of_agent(agent), temperature(model.use, agent)
        warmth = settings.temperature if asked is None else asked
        voice = settings.model_copy(update={"temperature": warmth})
        key = f"{model.use.label}: {voice.voice}"
        if key not in made:
            made[key] = _voice(model, voice, task, questions, temperature=warmth)
        return made[key]

    questions = [question.text for question in task.draw("test", 0, _TRIED, seed=config.seed)]
    by_agent = {agent: of_agent(model, agent) for model in models for agent in model.use.agents}
    if len(made) == 1:
        return by_agent[0]
    return MemberSpeakers(by_agent=tuple(by_agent[agent] for agent in sorted(by_agent)))


def _voice(
    model: TeamModel | RemoteModel, voice: SpeakersConfig, task: Task, questions: Sequence[str], *, temperature: float
) -> ViewSpeakers:
    config = model.config.model_copy(update={"speakers": voice})
    if isinstance(model, RemoteModel):  # only the server knows what fits
        return build_remote_speakers(config, model.client, task, temperature=temperature)
    speakers = build_speakers(
        config,
        model.policy,
        model.backend,
        task,
        temperature=temperature,
        context=model.backend.context,
        use=model.use,
    )
    speakers.require_room(questions, reviews=config.dialogue.rounds > 1)
    return speakers
