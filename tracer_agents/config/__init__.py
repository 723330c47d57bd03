"""The settings of a run: typed sections, and where they are read from."""

from tracer_agents.config.sections import (
    BackendConfig,
    Config,
    ControllersConfig,
    CreditConfig,
    DialogueConfig,
    EvaluationConfig,
    GSPOConfig,
    MinimiserName,
    ObjectiveName,
    PolicyScheme,
    SpeakersConfig,
    TaskConfig,
    TrainerConfig,
    policy_of,
)
from tracer_agents.config.sources import PRESETS, dump_config, load_config

__all__ = [
    "PRESETS",
    "BackendConfig",
    "Config",
    "ControllersConfig",
    "CreditConfig",
    "DialogueConfig",
    "EvaluationConfig",
    "GSPOConfig",
    "MinimiserName",
    "ObjectiveName",
    "PolicyScheme",
    "SpeakersConfig",
    "TaskConfig",
    "TrainerConfig",
    "dump_config",
    "load_config",
    "policy_of",
]
