"""Every setting as an option of a command, ``--section.field VALUE``, by Click."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import click
import yaml
from click.shell_completion import CompletionItem
from pydantic.fields import FieldInfo

from tracer_agents.config.sections import Config
from tracer_agents.config.sources import setting_names
from tracer_env.names import nearest

_GIVEN = "tracer.settings"  # where a command's context keeps the settings that were given
_OPTIONS = "tracer.options"  # where it keeps its options: Click sorts them as they were given, by identity
_SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
_NAMES = {int: "INTEGER", float: "NUMBER", bool: "true|false", str: "TEXT"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a help page says of a setting.

    ``keyed`` settings are mappings, whose keys may be given one by one.
    """

    name: str
    section: str
    type: str
    choices: tuple[str, ...]
    default: str
    meaning: str
    keyed: bool


@cache
def settings() -> tuple[Setting, ...]:
    """Every setting, in the order of the code; ``section`` is empty for those outside any section."""
    return tuple(
        _setting(name, field, section) for section in ("", *sections()) for name, field in _fields(section).items()
    )


@cache
def sections() -> dict[str, str]:
    """What each section is about, by its name."""
    return {
        name: str(field.annotation.__doc__)
        for name, field in Config.model_fields.items()
        if hasattr(field.annotation, "model_fields")
    }


def _fields(section: str) -> dict[str, FieldInfo]:
    if section:
        return getattr(Config.model_fields[section].annotation, "model_fields")  # noqa: B009  # unknown to the type
    return {name: field for name, field in Config.model_fields.items() if name not in sections()}


def _setting(name: str, field: FieldInfo, section: str) -> Setting:
    default = field.get_default(call_default_factory=True)
    return Setting(
        name=f"{section}.{name}" if section else name,
        section=section,
        type=_type(field.annotation) + _bounds(field),
        choices=tuple(_choices(field.annotation)),
        default=default if isinstance(default, str) else json.dumps(default),
        meaning=field.description or "",
        keyed=get_origin(field.annotation) is dict,
    )


def _type(annotation: Any) -> str:
    """A type in words: ``INTEGER``, ``a|b``, ``TEXT|null``, ``LIST``, ``MAPPING``."""
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return "|".join("null" if part is NoneType else _type(part) for part in get_args(annotation))
    return {list: "LIST", dict: "MAPPING"}.get(get_origin(annotation)) or _NAMES[annotation]


def _bounds(field: FieldInfo) -> str:
    """The bounds of a number: `` ≥ 0, < 1``."""
    found_bounds = [
        f"{sign} {getattr(bound, name):g}"
        for bound in field.metadata
        for name, sign in _SIGNS.items()
        if hasattr(bound, name)
    ]
    return f" {', '.join(found_bounds)}" if found_bounds else ""


def _choices(annotation: Any) -> Iterator[str]:
    if annotation is bool:
        yield from ("true", "false")
    elif get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
    elif get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from ("null",) if part is NoneType else _choices(part)


class _Value(click.ParamType):
    """A value in YAML: numbers, true, null, lists and mappings are what they look like."""

    name = "value"

    def __init__(self, choices: Sequence[str] = ()) -> None:
        self._choices = choices

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value in a tuple of one: null is a value too."""
        option = param.opts[0] if param else "a setting"
        if value.startswith("--"):
            raise click.UsageError(f"{option} needs a value", ctx)
        try:
            return (yaml.safe_load(value),)
        except yaml.YAMLError as error:
            problem = getattr(error, "problem", None) or "malformed"
            raise click.UsageError(f"{option}: {value!r} cannot be read as YAML: {problem}", ctx) from error

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The values of a choice."""
        return [CompletionItem(choice) for choice in self._choices if choice.startswith(incomplete)]


def _keep(ctx: click.Context, param: click.Parameter, value: tuple[Any] | None) -> None:
    """Notes a setting that was given, in the order of the words."""
    if value is not None:
        ctx.meta.setdefault(_GIVEN, {})[param.opts[0].removeprefix("--")] = value[0]


def _option(name: str, setting: Setting | None = None) -> click.Option:
    return click.Option(
        [f"--{name}", name.replace(".", "__").replace("-", "_")],
        type=_Value(setting.choices if setting else ()),
        metavar=setting.type if setting else None,
        help=f"{setting.meaning}  [default: {setting.default}]" if setting else None,
        callback=_keep,
        expose_value=False,
    )


def given_settings(ctx: click.Context) -> dict[str, Any]:
    """The settings that a command line gave, by their dotted names."""
    return ctx.meta.get(_GIVEN, {})


class SettingsCommand(click.Command):
    """A command that takes every setting; its help lists them by section."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Adds options for the keys of mappings that are given, and names what is nearest to an unknown option."""
        taken = {name for param in self.params for name in param.opts}  # --seed has a place of its own
        options = [_option(setting.name, setting) for setting in settings() if f"--{setting.name}" not in taken]
        ctx.meta[_OPTIONS] = [*options, *(_option(name) for name in _keys_given(args))]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            message = f"there is no option {error.option_name!r}{nearest_option(error.option_name, self.options(ctx))}"
            raise click.UsageError(message, ctx) from error

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters and all settings."""
        return [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, [])]

    def options(self, ctx: click.Context) -> list[str]:
        """The names of all options."""
        return [option for param in self.get_params(ctx) for option in param.opts if option.startswith("--")]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The command's own options, then the settings section by section."""
        params = {param.opts[0]: param for param in self.get_params(ctx) if isinstance(param, click.Option)}
        by_section: dict[str, list[str]] = {name: [] for name in sections()}
        for setting in settings():
            if setting.section:
                by_section[setting.section].append(f"--{setting.name}")
        listed = {name for names in by_section.values() for name in names}
        groups = {"Options": [name for name in params if name not in listed]}
        groups |= {f"Settings of {name}: {sections()[name].rstrip('.')}": names for name, names in by_section.items()}
        for title, names in groups.items():
            records = [record for name in names if (record := params[name].get_help_record(ctx))]
            with formatter.section(title):
                formatter.write_dl(records)


def nearest_option(given: str, options: Sequence[str]) -> str:
    """What a message adds about an option that does not exist: the nearest there is, and how settings are given."""
    close = nearest(given, options)
    return close or "; settings are given as --section.field VALUE"


def _keys_given(words: Sequence[str]) -> Iterator[str]:
    """The dotted names that reach below a keyed setting: ``task.options.level``."""
    roots = [setting.name for setting in settings() if setting.keyed]
    names = (word.removeprefix("--").partition("=")[0] for word in words if word.startswith("--"))
    return iter(dict.fromkeys(name for name in names for root in roots if re.match(rf"{re.escape(root)}\..", name)))


def take_settings(argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """The settings among the words of a command line, and all other words, for a parser of another kind.

    Raises:
        click.UsageError: a dotted option that is no setting, or a value that is not YAML.
    """
    command = SettingsCommand(
        None, add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
    )
    ctx = command.make_context("", list(argv))
    for word in ctx.args:
        name = word.partition("=")[0]
        if re.match(r"--\w+\.", name):
            raise click.UsageError(f"there is no setting {name!r}{nearest(name[2:], [*setting_names()])}")
    return given_settings(ctx), ctx.args
