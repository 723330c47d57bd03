"""Turns settings into objects: the one place that names concrete tasks, models, engines and learners."""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import httpx
import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.config import Config, SpeakersConfig
from tracer_agents.generation.base import Engine, GenerationBackend
from tracer_agents.generation.gate import Check, Probes
from tracer_agents.generation.probe import PolicyProbe
from tracer_agents.generation.sglang.backend import Patience, ServedPolicy, SGLangBackend
from tracer_agents.generation.sglang.weights import AdapterWeights, DiskWeights, TensorWeights, WeightTransport
from tracer_agents.generation.sglang.wire import Deadlines, Worker, discover
from tracer_agents.generation.soundness import context_of, settle_attention
from tracer_agents.generation.transformers import TransformersBackend, stop_ids
from tracer_agents.generation.weights import LoraAdapters, Shelf, Weights, WholeModel
from tracer_agents.learners.policies import PolicyLearners
from tracer_agents.learners.policy import GSPOLearner
from tracer_agents.speakers.chat import Chat
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
_PROBE_TOKENS = 48  # the longest row that a model is examined with
TINY = Path(__file__).parent / "assets" / "tracer-tiny"


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A causal LM with its tokenizer; ``pad_id`` fills padding, ``style`` names its prompt texts.

    ``stops`` are the ids that end a completion, ``chat`` is how messages become ids, and
    ``weights`` says which of the model's speak for whom: there may be several policies.
    """

    weights: Weights
    tokenizer: PreTrainedTokenizerBase
    chat: Chat
    pad_id: int
    stops: tuple[int, ...]
    style: str

    @property
    def model(self) -> PreTrainedModel:
        """The model that all policies share."""
        return self.weights.model


def build_task(config: Config) -> Task:
    """The task that the settings name."""
    task = config.task
    return make_task(task.name, data=task.data, eval_data=task.eval_data, **task.options)


def model_folder(model: str) -> Path | None:
    """Where the weights of ``speakers.model`` lie on this machine; None: they were never loaded here."""
    if model == "tiny":
        return TINY
    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):
        return None


def load_policy(config: Config, weights: Path | None = None) -> Policy:
    """Loads the model and tokenizer of the settings; ``weights`` is a checkpoint's folder with what was trained.

    Raises:
        ConfigError: the model cannot be loaded, does not compute what plain transformers does under the attention
            kernel of the settings, its tokenizer has no chat template, or KL finds no room on the disk.
        RunError: the checkpoint's adapters do not fit the settings.
    """
    speakers = config.speakers
    source = TINY if speakers.model == "tiny" else Path(speakers.model)
    whole = speakers.lora_rank is None
    latest = weights if whole and weights else source
    tokenizer = _tokenizer(str(latest))
    style = speakers.style or ("tiny" if speakers.model == "tiny" else "chat")
    chat = Chat(tokenizer=tokenizer, arguments=speakers.template_arguments)
    chat.check(turns=style == "tiny")
    initial = _initial(source, speakers) if whole and config.gspo.kl and config.credit.train else None
    model = _model(latest, speakers)  # only now: one model at a time
    pad_id = _pad_id(model, tokenizer)
    settle_attention(model, speakers.attention, _probe_rows(model, tokenizer), pad_id)
    return Policy(
        weights=WholeModel(model, initial) if whole else _adapters(config, model, weights),
        tokenizer=tokenizer,
        chat=chat,
        pad_id=pad_id,
        stops=tuple(sorted({*stop_ids(model, tokenizer), *chat.ends()})),
        style=style,
    )


def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ConfigError(f"speakers.model: cannot load {source!r}: {error}") from error
    if tokenizer.chat_template is None:
        raise ConfigError(f"speakers.model: the tokenizer of {source!r} has no chat template; use a chat model")
    return tokenizer


def _model(source: Path, config: SpeakersConfig) -> PreTrainedModel:
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            str(source),
            dtype=getattr(torch, config.dtype),
            device_map={"": str(_device(config.device))},
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"speakers.model: cannot load {str(source)!r}: {error}") from error
    for parameter in model.parameters():  # out of the file's mapping into aligned memory, so that equal weights
        parameter.data = parameter.data.clone()  # give equal bits whichever file they were loaded from
    return model.eval()


def _pad_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Any token will do, since padding is masked everywhere; but it must have an embedding."""
    rows = _embedding_rows(model)
    candidates = [tokenizer.pad_token_id, tokenizer.eos_token_id, 0]
    return next(token for token in candidates if isinstance(token, int) and 0 <= token < rows)


def _embedding_rows(model: PreTrainedModel) -> int:
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[0]


def _probe_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Texts of different lengths as token ids, which a model is examined with."""
    context, rows = context_of(model), _embedding_rows(model)
    longest = min(_PROBE_TOKENS, context - 8) if context else _PROBE_TOKENS
    texts = [_PROBES[0][:20], _PROBES[1], " ".join(_PROBES)]
    encoded = [tokenizer.encode(text, add_special_tokens=False)[: max(2, longest)] for text in texts]
    if not all(encoded) or max(map(max, encoded)) >= rows:
        raise ConfigError(
            f"speakers.model: the tokenizer gives ids outside the model's {rows} embeddings, or none, for plain "
            "text; the tokenizer belongs to another model"
        )
    return encoded


def _initial(source: Path, config: SpeakersConfig) -> Shelf:
    """The weights before any training, on disk: in files without a name, whose room is free when the object goes."""
    parameters = list(_model(source, config).parameters())
    try:
        with tempfile.TemporaryDirectory(prefix="tracer-initial-") as folder:
            return Shelf(parameters, Path(folder))
    except OSError as error:
        raise ConfigError(
            f"gspo.kl: {tempfile.gettempdir()} has no room for the initial weights ({error}); "
            "point TMPDIR at a larger disk, set speakers.lora_rank, or set gspo.kl to 0"
        ) from error


def _adapters(config: Config, model: PreTrainedModel, checkpoint: Path | None) -> LoraAdapters:
    speakers = config.speakers
    assert speakers.lora_rank is not None
    try:
        adapters = LoraAdapters(
            model,
            config.policies,
            rank=speakers.lora_rank,
            alpha=speakers.lora_alpha or 2 * speakers.lora_rank,
            targets=speakers.lora_targets,
            seed=config.seed,
        )
    except ValueError as error:
        raise ConfigError(f"speakers.lora_targets: {error}") from error
    if checkpoint is not None:
        adapters.load(checkpoint)
    return adapters


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
    limits = httpx.Limits(max_connections=settings.in_flight + 8)
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
        in_flight=settings.in_flight,
    )


def _served(
    config: Config, weights: Weights, folder: Path, client: httpx.Client, deadlines: Deadlines
) -> dict[str, ServedPolicy]:
    """The servers of each policy: adapters share servers, whole models do not."""
    settings = config.backend
    servers = settings.servers(weights.names)
    if set(servers) != set(weights.names):
        raise ConfigError(f"backend.urls: the speakers' policies are {[*weights.names]}; got servers for {[*servers]}")
    addresses = {
        name: tuple(url for given in urls for url in discover(given, client, deadlines))
        for name, urls in servers.items()
    }
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, urls in addresses.items():
        groups.setdefault(urls, []).append(name)
    served: dict[str, ServedPolicy] = {}
    for urls, names in groups.items():
        workers = tuple(Worker(url, client, deadlines, vocabulary=_embedding_rows(weights.model)) for url in urls)
        group = ServedPolicy(workers=workers, weights=_transport(config, weights, names, folder))
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
    if context is not None and config.speakers.max_new_tokens >= context:
        raise ConfigError(
            f"speakers.proposer_max_new_tokens, speakers.reviewer_max_new_tokens: completions of up to "
            f"{config.speakers.max_new_tokens} tokens leave no room for a prompt in a context of {context}; lower them"
        )
    return ModelSpeakers(
        backend=backend,
        chat=policy.chat,
        task=task,
        style=policy.style,
        proposer_max_new_tokens=config.speakers.proposer_max_new_tokens,
        reviewer_max_new_tokens=config.speakers.reviewer_max_new_tokens,
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
        prompts = [
            self.speakers.prompt_ids(View(role=Role.PROPOSER, question=text, solution=None, review=None, seed=0))
            for text in _PROBES
        ]
        weights, tokenizer = self.policy.weights, self.policy.tokenizer
        probes = Probes(
            prompts=prompts,
            texts=_PROBES,
            max_new_tokens=min(config.speakers.proposer_max_new_tokens, 64),
            temperatures=(1.0, 0.7),
            tolerance=config.backend.parity_tolerance,
        )
        return self.backend.gate({name: PolicyProbe(weights, name, tokenizer) for name in weights.names}, probes)


def build(config: Config, weights: Path | None = None) -> Parts:
    """Builds a run's objects, to be used in a ``with``; ``weights`` is a checkpoint's folder with what was trained."""
    task = build_task(config)
    policy = load_policy(config, weights)
    backend = build_backend(config, policy)
    context = backend.context
    training, evaluation, greedy = (
        build_speakers(config, policy, backend, task, temperature=temperature, context=context)
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
