"""Finds a task or a grader of the user's by its import path, ``package.module:name``."""

import importlib
import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from tracer_env.errors import ConfigError, TracerError

_PATH = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*:[^\W\d]\w*")


def is_import_path(name: str) -> bool:
    """Whether a name has the form ``package.module:name``."""
    return _PATH.fullmatch(name) is not None


def imported(field: str, path: str) -> Callable[..., Any]:
    """What an import path names: something that can be called, such as a class or a function.

    Modules are looked for where Python looks, and after that in the working directory. Importing a module runs it.

    Args:
        field: the setting, for messages.
        path: ``package.module:name``.

    Raises:
        ConfigError: there is no such module or name, the module cannot be imported, or it cannot be called.
    """
    module_name, _, name = path.partition(":")
    module = _module(field, path, module_name)
    if not hasattr(module, name):
        public = sorted(key for key, value in vars(module).items() if callable(value) and not key.startswith("_"))
        where = f"{module_name} ({getattr(module, '__file__', None) or 'built in'})"
        raise ConfigError(f"{field}: {path!r}: {where} has no {name!r}; it has {public[:20]}")
    target = getattr(module, name)
    if not callable(target):
        raise ConfigError(
            f"{field}: {path!r} is {type(target).__name__}, which cannot be called; name a class or a function that "
            "returns what is wanted"
        )
    return target


def made(field: str, path: str, make: Callable[..., Any], options: dict[str, Any], *, needs: Iterable[str]) -> Any:
    """What the callable at an import path makes, with everything that it needs to have.

    Args:
        field: the setting, for messages.
        path: the import path, for messages.
        make: the callable.
        options: its keyword arguments.
        needs: names of the attributes and methods that the result must have.

    Raises:
        ConfigError: an argument is missing, the callable fails, or its result lacks something.
        TracerError: what the callable raised, if it is of ours.
    """
    try:
        _ = inspect.signature(make).bind(**options)
    except TypeError as error:
        raise ConfigError(f"{field}: {path!r}: {error}; give it as an option, or give it a default") from error
    try:
        result = make(**options)
    except TracerError:
        raise
    except Exception as error:  # the code is not ours and may fail as Python can
        raise ConfigError(f"{field}: {path!r} fails{_where(error)}: {_described(error)}") from error
    missing = [name for name in needs if not hasattr(result, name)]
    if missing:
        raise ConfigError(f"{field}: {path!r} makes {type(result).__name__}, which has no {', '.join(missing)}")
    return result


def _module(field: str, path: str, name: str) -> ModuleType:
    """The module, imported."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that no file there takes the place of an installed package
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"{field}: {path!r}: there is no module {error.name!r}; it is looked for where Python looks and in "
                f"{here}: go to its folder, install it, or add its folder to PYTHONPATH"
            ) from error
        raise ConfigError(f"{field}: {path!r} cannot be imported{_where(error)}: {_described(error)}") from error
    except Exception as error:  # the code is not ours and may fail as Python can
        raise ConfigError(f"{field}: {path!r} cannot be imported{_where(error)}: {_described(error)}") from error


def _where(error: BaseException) -> str:
    """`` at file:line``, of the last line of code that failed."""
    if isinstance(error, SyntaxError):
        return f" at {error.filename}:{error.lineno}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<frozen")]
    outside = [frame for frame in frames if frame.filename != __file__ and importlib.__file__ != frame.filename]
    return f" at {outside[-1].filename}:{outside[-1].lineno}" if outside else ""


def _described(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
