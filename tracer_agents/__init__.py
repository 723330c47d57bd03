"""TRACER's trainer: this door leads to a trained team and to the settings of a run; torch is loaded behind it only."""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tracer_agents.config import Config, load_config
    from tracer_agents.team import Team

__all__ = ["Config", "Team", "__version__", "load_config"]

try:
    __version__ = version("tracer-debate")
except PackageNotFoundError:  # the source tree, not installed
    __version__ = "unknown"

_HOMES = {"Config": "tracer_agents.config", "load_config": "tracer_agents.config", "Team": "tracer_agents.team"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {__all__}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
