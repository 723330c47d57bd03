"""Turns settings into objects: the one place that names concrete tasks, models, engines and learners."""

import atexit
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import httpx
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.config import BackendConfig, Config, SpeakersConfig
from tracer_agents.generation.base import Engine, GenerationBackend
from tracer_agents.generation.parity import Check
from tracer_agents.generation.sglang_backend import Patience, ServedPolicy, SGLangBackend
from tracer_agents.generation.sglang_weights import DiskWeights, TensorWeights
from tracer_agents.generation.sglang_wire import Deadlines, Worker, discover
from tracer_agents.generation.transformers_backend import TransformersBackend, stop_ids
from tracer_agents.learners.gspo import GSPOLearner
from tracer_agents.learners.probe import PolicyProbe
from tracer_agents.speakers.model import ModelSpeakers, View
from tracer_env.dialogue import Role
from tracer_env.errors import ConfigError
from tracer_env.tasks import make_task
from tracer_env.tasks.base import Task

_PROBES = (
    "Ana has 13 pens. She buys 8 more and gives 5 away. How many pens does she have?",
    "A box holds 6 cups. How many cups are in 7 boxes?",
    "Compute 3 × (4 + 5) − 17, and say whether it is – or isn't – prime.",
)
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


def build_backend(config: Config, policy: Policy) -> Engine:
    """The engine that generates with the policy."""
    if config.backend.name == "sglang":
        return build_sglang(config.backend, policy)
    return TransformersBackend(
        policy.model, policy.tokenizer, pad_id=policy.pad_id, batch_size=config.backend.batch_size
    )


def build_sglang(config: BackendConfig, policy: Policy) -> SGLangBackend:
    """The client of the servers that the settings name; the policy's weights are what it sends them.

    Raises:
        ConfigError: a policy is named that the speakers do not have.
    """
    if set(config.servers) != {"shared"}:
        raise ConfigError(
            f"backend.urls: the speakers have one policy, 'shared'; got servers for {sorted(config.servers)}"
        )
    client = httpx.Client(trust_env=False, limits=httpx.Limits(max_connections=config.in_flight + 8))
    deadlines = Deadlines(
        connect=config.connect_seconds,
        generate=config.generate_seconds,
        sync=config.sync_seconds,
        recover=config.recover_seconds,
    )
    folder = Path(config.weights_folder or tempfile.mkdtemp(prefix="tracer-weights-"))
    policies = {
        name: ServedPolicy(
            workers=tuple(
                Worker(found, client, deadlines) for url in urls for found in discover(url, client, deadlines)
            ),
            weights=TensorWeights(named=policy.model.named_parameters)
            if config.weights == "tensor"
            else DiskWeights(save=policy.model.save_pretrained, folder=folder / name),
        )
        for name, urls in config.servers.items()
    }
    backend = SGLangBackend(
        policies,
        policy.tokenizer,
        stops=sorted(stop_ids(policy.model, policy.tokenizer)),
        client=client,
        patience=Patience(attempts=config.attempts, backoff_seconds=config.backoff_seconds),
        in_flight=config.in_flight,
    )
    atexit.register(backend.close)
    if config.weights_folder is None:
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return backend


def build_speakers(
    config: Config, policy: Policy, backend: GenerationBackend, task: Task, *, temperature: float
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
    backend: Engine
    learner: GSPOLearner
    training_speakers: ModelSpeakers  # sample at temperature 1
    speakers: ModelSpeakers  # sample at the evaluation's temperature
    greedy_speakers: ModelSpeakers

    def gate(self, config: Config) -> list[Check]:
        """Examines the servers that generate; an engine in this process shares the learner's model: nothing to do.

        Raises:
            GenerationFailed: a server does not answer.
        """
        if not isinstance(self.backend, SGLangBackend):
            return []
        prompts = [
            self.speakers.prompt_ids(View(role=Role.PROPOSER, question=text, solution=None, review=None, seed=0))
            for text in _PROBES
        ]
        return self.backend.gate(
            PolicyProbe(self.policy.model, self.policy.tokenizer),
            prompts,
            _PROBES,
            max_new_tokens=min(config.speakers.proposer_max_new_tokens, 64),
            temperatures=(1.0, 0.7),
            tolerance=config.backend.parity_tolerance,
        )


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
