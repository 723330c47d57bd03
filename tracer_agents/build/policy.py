"""Loads the model and the tokenizer of the settings, and examines both before any work."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from tracer_agents.build.folders import in_a_line, require_model
from tracer_agents.config import Config, SpeakersConfig
from tracer_agents.config.fitting import EMBEDDED
from tracer_agents.errors import RunError
from tracer_agents.generation.adapters import LoraAdapters
from tracer_agents.generation.soundness import context_of, settle_attention
from tracer_agents.generation.transformers import stop_ids
from tracer_agents.generation.weights import Shelf, Weights, WholeModel
from tracer_agents.speakers.chat import Chat
from tracer_agents.speakers.prompts import Prompts, prompts_for
from tracer_env.errors import ConfigError

PROBES = (
    "Ana has 13 pens. She buys 8 more and gives 5 away. How many pens does she have?",
    "A box holds 6 cups. How many cups are in 7 boxes?",
    "Compute 3 × (4 + 5) − 17, and say whether it is – or isn't – prime.",
)
_PROBE_TOKENS = 48  # the longest row that a model is examined with
_ASSETS = Path(__file__).parents[1] / "assets"
SHIPPED = {name: _ASSETS / f"tracer-{name}" for name in EMBEDDED}
TINY = SHIPPED["tiny"]
SHIPPED_ADAPTERS = {"verdicts": TINY / "verdicts"}


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A causal LM with its tokenizer; ``pad_id`` fills padding, ``prompts`` are what it is shown.

    ``stops`` are the ids that end a completion, ``chat`` is how messages become ids, and
    ``weights`` says which of the model's speak for whom: there may be several policies.
    """

    weights: Weights
    tokenizer: PreTrainedTokenizerBase
    chat: Chat
    pad_id: int
    stops: tuple[int, ...]
    prompts: Prompts

    @property
    def model(self) -> PreTrainedModel:
        """The model that all policies share."""
        return self.weights.model


def model_folder(model: str) -> Path | None:
    """Where the weights of ``speakers.model`` lie on this machine; None: they were never loaded here."""
    if model in SHIPPED:
        return SHIPPED[model]
    if Path(model).is_dir():
        return Path(model)
    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):
        return None


def load_policy(config: Config, weights: Path | None = None, names: Sequence[str] | None = None) -> Policy:
    """Loads the model and tokenizer of the settings.

    Args:
        config: the settings of a team of this model alone.
        weights: a checkpoint's folder with what was trained.
        names: of the policies, where they are adapters; by default those of the settings.

    Raises:
        ConfigError: the model cannot be loaded, does not compute what plain transformers does under the attention
            kernel of the settings, its tokenizer has no chat template, or KL finds no room on the disk.
        RunError: the checkpoint's adapters do not fit the settings.
    """
    speakers = config.speakers
    source = SHIPPED.get(speakers.model, Path(speakers.model))
    whole = speakers.lora_rank is None
    latest = weights if whole and weights else source
    require_model(speakers.model if latest == Path(speakers.model) else str(latest))
    tokenizer = _tokenizer(str(latest))
    prompts = prompts_for(config.style, speakers.prompts, speakers.review)
    chat = Chat(tokenizer=tokenizer, arguments=speakers.template_arguments)
    chat.check(turns=prompts.turns, system=prompts.system)
    initial = _initial(source, speakers) if whole and config.gspo.kl and config.credit.train else None
    model = _model(latest, speakers)  # only now: one model at a time
    pad_id = _pad_id(model, tokenizer)
    settle_attention(model, speakers.attention, _probe_rows(model, tokenizer), pad_id)
    return Policy(
        weights=WholeModel(model, initial) if whole else _adapters(config, model, weights, names or config.policies),
        tokenizer=tokenizer,
        chat=chat,
        pad_id=pad_id,
        stops=tuple(sorted({*stop_ids(model, tokenizer), *chat.ends()})),
        prompts=prompts,
    )


def _tokenizer(source: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError) as error:
        raise ConfigError(f"speakers.model: cannot load {source!r}: {in_a_line(error)}") from error
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
        raise ConfigError(f"speakers.model: cannot load {str(source)!r}: {in_a_line(error)}") from error
    for parameter in model.parameters():  # out of the file's mapping into aligned memory, so that equal weights
        parameter.data = parameter.data.clone()  # give equal bits whichever file they were loaded from
    return model.eval()


def _pad_id(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> int:
    """Any token will do, since padding is masked everywhere; but it must have an embedding."""
    rows = embedding_rows(model)
    candidates = [tokenizer.pad_token_id, tokenizer.eos_token_id, 0]
    return next(token for token in candidates if isinstance(token, int) and 0 <= token < rows)


def embedding_rows(model: PreTrainedModel) -> int:
    """How many token ids the model knows."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return weight.shape[0]


def _probe_rows(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """Texts of different lengths as token ids, which a model is examined with."""
    context, rows = context_of(model), embedding_rows(model)
    longest = min(_PROBE_TOKENS, context - 8) if context else _PROBE_TOKENS
    texts = [PROBES[0][:20], PROBES[1], " ".join(PROBES)]
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


def _adapters(config: Config, model: PreTrainedModel, checkpoint: Path | None, names: Sequence[str]) -> LoraAdapters:
    speakers = config.speakers
    assert speakers.lora_rank is not None
    try:
        adapters = LoraAdapters(
            model,
            tuple(names),
            rank=speakers.lora_rank,
            alpha=speakers.lora_alpha or 2 * speakers.lora_rank,
            targets=speakers.lora_targets,
            seed=config.seed,
        )
    except ValueError as error:
        raise ConfigError(f"speakers.lora_targets: {error}") from error
    if checkpoint is not None:
        adapters.load(checkpoint)
    elif speakers.adapters is not None:
        try:
            adapters.begin_with(SHIPPED_ADAPTERS.get(speakers.adapters, Path(speakers.adapters)))
        except (OSError, ValueError, RunError) as error:
            raise ConfigError(f"speakers.adapters: {in_a_line(error)}") from error
    return adapters


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"speakers.device: {name!r} cannot be used here: {error}") from error
    return torch.device(name)
