"""The settings of a run: typed sections, and where they are read from."""

from tracer_agents.config.engine import BackendConfig
from tracer_agents.config.sections import (
    Config,
    ControllersConfig,
    CreditConfig,
    DialogueConfig,
    EvaluationConfig,
    GSPOConfig,
    MinimiserName,
    ObjectiveName,
    TaskConfig,
    TrainerConfig,
    VerdictLoss,
)
from tracer_agents.config.sources import PRESETS, dump_config, load_config
from tracer_agents.config.speakers import MemberConfig, PolicyScheme, SpeakersConfig, policy_of
from tracer_agents.config.team import ModelUse, Voice

__all__ = [
    "PRESETS",
    "BackendConfig",
    "Config",
    "ControllersConfig",
    "CreditConfig",
    "DialogueConfig",
    "EvaluationConfig",
    "GSPOConfig",
    "MemberConfig",
    "MinimiserName",
    "ModelUse",
    "ObjectiveName",
    "PolicyScheme",
    "SpeakersConfig",
    "TaskConfig",
    "TrainerConfig",
    "VerdictLoss",
    "Voice",
    "dump_config",
    "load_config",
    "policy_of",
]
