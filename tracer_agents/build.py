"""Turns settings into objects: the one place that names concrete tasks, models, engines and learners."""

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.config import Config, SpeakersConfig
from tracer_agents.generation.transformers_backend import TransformersBackend
from tracer_agents.learners.gspo import GSPOLearner
from tracer_agents.speakers.model import ModelSpeakers
from tracer_env.errors import ConfigError
from tracer_env.tasks import make_task
from tracer_env.tasks.base import Task

TINY = Path(__file__).parent / "assets" / "tracer-tiny"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A causal LM with its tokenizer; ``pad_id`` fills padding, ``style`` names its prompt texts."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    pad_id: int
    style: str


def build_task(config: Config) -> Task:
    """The task that the settings name."""
    task = config.task
    return make_task(task.name, data=task.data, eval_data=task.eval_data, **task.options)


def load_policy(config: SpeakersConfig, weights: Path | None = None) -> Policy:
    """Loads the model and tokenizer of the settings; ``weights`` is a checkpoint's folder to take them from.

    Raises:
        ConfigError: the model cannot be loaded, or its tokenizer has no chat template.
    """
    source = str(weights or (TINY if config.model == "tiny" else config.model))
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=getattr(torch, config.dtype),
            attn_implementation="sdpa",
            device_map={"": str(_device(config.device))},
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"speakers.model: cannot load {source!r}: {error}") from error
    if tokenizer.chat_template is None:
        raise ConfigError(f"speakers.model: the tokenizer of {source!r} has no chat template; use a chat model")
    pad_id = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    if not isinstance(pad_id, int):
        raise ConfigError(f"speakers.model: the tokenizer of {source!r} has neither a pad nor an end token")
    style = config.style or ("tiny" if config.model == "tiny" else "chat")
    for parameter in model.parameters():  # out of the file's mapping into aligned memory, so that equal weights
        parameter.data = parameter.data.clone()  # give equal bits whichever file they were loaded from
    return Policy(model=model.eval(), tokenizer=tokenizer, pad_id=pad_id, style=style)


def build_backend(config: Config, policy: Policy) -> TransformersBackend:
    """The engine that generates with the policy."""
    return TransformersBackend(
        policy.model, policy.tokenizer, pad_id=policy.pad_id, batch_size=config.backend.batch_size
    )


def build_speakers(
    config: Config, policy: Policy, backend: TransformersBackend, task: Task, *, temperature: float
) -> ModelSpeakers:
    """Everybody's proposers and reviewers."""
    return ModelSpeakers(
        backend=backend,
        tokenizer=policy.tokenizer,
        task=task,
        style=policy.style,
        proposer_max_new_tokens=config.speakers.proposer_max_new_tokens,
        reviewer_max_new_tokens=config.speakers.reviewer_max_new_tokens,
        context=policy.model.config.max_position_embeddings,
        temperature=temperature,
    )


def build_learner(config: Config, policy: Policy) -> GSPOLearner:
    """The optimiser of the policy."""
    return GSPOLearner(policy.model, pad_id=policy.pad_id, config=config.gspo)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything a run is made of; the backend and the learner share the policy's model."""

    task: Task
    policy: Policy
    backend: TransformersBackend
    learner: GSPOLearner
    training_speakers: ModelSpeakers  # sample at temperature 1
    speakers: ModelSpeakers  # sample at the evaluation's temperature
    greedy_speakers: ModelSpeakers


def build(config: Config, weights: Path | None = None) -> Parts:
    """Builds a run's objects; ``weights`` is a checkpoint's folder to take the policy from."""
    task = build_task(config)
    policy = load_policy(config.speakers, weights)
    backend = build_backend(config, policy)
    training, evaluation, greedy = (
        build_speakers(config, policy, backend, task, temperature=temperature)
        for temperature in (1.0, config.speakers.temperature, 0.0)
    )
    return Parts(
        task=task,
        policy=policy,
        backend=backend,
        learner=build_learner(config, policy),
        training_speakers=training,
        speakers=evaluation,
        greedy_speakers=greedy,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"speakers.device: {name!r} cannot be used here: {error}") from error
    return torch.device(name)
