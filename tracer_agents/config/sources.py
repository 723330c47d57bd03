"""Where settings come from: presets, YAML files and dotted overrides, merged and checked."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from tracer_agents.config.sections import Config
from tracer_env.errors import ConfigError
from tracer_env.names import nearest

PRESETS = Path(__file__).parents[1] / "presets"


def load_config(
    *, preset: str | None = None, file: Path | None = None, overrides: dict[str, Any] | None = None
) -> Config:
    """Merges a preset, a YAML file and dotted overrides (``{"trainer.steps": 20}``), later ones winning.

    An override replaces what it names: ``{"task": {"name": "gsm8k"}}`` forgets the preset's other task settings.

    Raises:
        ConfigError: an unknown preset, an unreadable file, an unknown key or a value out of range.
    """
    merged: dict[str, Any] = {}
    if preset is not None:
        _merge(merged, _read_yaml(_preset(preset)))
    if file is not None:
        _merge(merged, _read_yaml(file))
    for dotted, value in (overrides or {}).items():
        _assign(merged, dotted, value)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        source = str(file) if file else f"preset {preset}" if preset else "settings"
        raise ConfigError(f"{source}: {'; '.join(_problem(each) for each in error.errors())}") from error


def require_same_team(trained: Config, asked: Config) -> None:
    """Refuses to measure a trained team under settings that it was not trained with.

    Questions, prompts, limits, temperature, engine and price may be others; the model, the policies, the rules and what
    controllers see may not, and settings of training would change nothing.

    Raises:
        ConfigError: settings contradict each other; the message names them.
    """
    free = {"seed", "task", "backend", "evaluation", "dialogue.price_of_speech"}
    team = (
        "speakers.model", "speakers.policy", "speakers.lora_rank", "speakers.lora_alpha", "speakers.lora_targets",
        "speakers.review",
    )  # fmt: skip
    _require_same_members(trained, asked)
    for name in setting_names():
        section, _, field = name.partition(".")
        if {name, section} & free or (section == "speakers" and name not in team):
            continue
        before, now = (getattr(getattr(config, section), field) for config in (trained, asked))
        if before != now:
            raise ConfigError(
                f"{name}: the run was trained with {before!r}, and what was trained is measured; drop {now!r}, or "
                "measure another model with tracer eval --model NAME"
            )


def _require_same_members(trained: Config, asked: Config) -> None:
    """Prices, prompts, limits and engines of members may be others; their models and who learned may not.

    Raises:
        ConfigError: the teams have different members.
    """
    before, now = ([(member.model, member.train) for member in config.speakers.members] for config in (trained, asked))
    if before != now:
        raise ConfigError(
            f"speakers.members: the run was trained with {before}, and what was trained is measured; drop {now}"
        )


def dump_config(config: Config) -> str:
    """The complete configuration as YAML, which ``load_config`` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def preset_names() -> list[str]:
    """The shipped configurations."""
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def setting_names() -> Iterator[str]:
    """Every setting by its dotted name."""
    for name, field in Config.model_fields.items():
        fields = getattr(field.annotation, "model_fields", None)
        yield from (f"{name}.{each}" for each in fields) if fields else (name,)


def _preset(name: str) -> Path:
    known = preset_names()
    if name not in known:
        remedy = "; a folder is no preset" if Path(name).is_dir() else nearest(name, known)
        raise ConfigError(f"no preset {name!r}; there are: {', '.join(known)}{remedy}")
    return PRESETS / f"{name}.yaml"


def _problem(error: ErrorDetails) -> str:
    """One thing that is wrong with the settings, by the dotted name of the setting."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        sections = [*Config.model_fields]
        return f"{name}: there is no such setting{nearest(name, [*setting_names(), *sections])}"
    if error["type"] == "value_error":  # raised by a validator of ours; one of several settings names them itself
        message = error["msg"].removeprefix("Value error, ")
        return f"{name}: {message}" if len(error["loc"]) > 1 else message
    choices = re.findall(r"'([^']*)'", str(error.get("ctx", {}).get("expected", "")))
    return f"{name}: {error['msg']} (got {error['input']!r}){nearest(error['input'], choices)}"


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {' '.join(str(error).split())}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of sections, got {type(loaded).__name__}")
    return loaded


def _merge(into: dict[str, Any], new: dict[str, Any]) -> None:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _assign(into: dict[str, Any], dotted: str, value: Any) -> None:
    *sections, leaf = dotted.split(".")
    for section in sections:
        into = into.setdefault(section, {})
        if not isinstance(into, dict):
            raise ConfigError(f"{dotted}: {section!r} is not a section")
    into[leaf] = value
