"""Whether what the settings name as a model can be one, said before anything is loaded."""

from pathlib import Path

from tracer_env.errors import ConfigError

_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "vocab.txt")
_WEIGHTS = ("*.safetensors", "*.bin")
_FORMAT = "give a folder in Hugging Face format: config.json, tokenizer and weights"


def require_model(model: str) -> None:
    """Refuses a path where no model lies; names of the hub are not looked up.

    Raises:
        ConfigError: there is nothing, a file, a run, an adapter alone, or a folder that lacks a part.
    """
    folder = Path(model)
    if not folder.exists():
        if folder.is_absolute() or model.startswith((".", "~")) or model.count("/") > 1:
            raise ConfigError(f"speakers.model: there is no folder {model!r}; {_FORMAT}, or a name on the hub")
        return
    if not folder.is_dir():
        raise ConfigError(f"speakers.model: {model!r} is a file; {_FORMAT}")
    if (folder / "config.json").is_file():
        _require_parts(folder)
    elif (folder / "checkpoints").is_dir() or (folder / "run.json").is_file():
        raise ConfigError(
            f"speakers.model: {model!r} holds a run, not a model; measure it with tracer eval {model} --out DIR, or "
            f"make a model of it with tracer export {model} --out DIR"
        )
    elif (folder / "adapter_config.json").is_file():
        raise ConfigError(
            f"speakers.model: {model!r} holds an adapter, not a model; merge it into its base model first, as "
            "tracer export does with a run's"
        )
    else:
        raise ConfigError(f"speakers.model: {model!r} holds no model: config.json is missing; {_FORMAT}")


def _require_parts(folder: Path) -> None:
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ConfigError(
            f"speakers.model: {str(folder)!r} has no tokenizer, none of {', '.join(_TOKENIZERS)}; save it there with "
            "tokenizer.save_pretrained"
        )
    if not any(next(folder.glob(pattern), None) for pattern in _WEIGHTS):
        raise ConfigError(f"speakers.model: {str(folder)!r} has no weights, none of {', '.join(_WEIGHTS)}; {_FORMAT}")


def in_a_line(error: BaseException) -> str:
    """What a library says of a failure, without its line breaks."""
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else f"{text[:300]} …"
