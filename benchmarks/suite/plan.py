"""What a benchmark runs: typed, validated, written beside its records."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from benchmarks.suite.point import RENAMED
from tracer_agents.config import Config, TaskConfig, load_config
from tracer_env.errors import ConfigError
from tracer_env.names import nearest


class Plan(BaseModel):
    """Every (method, task, seed) is one cell; all cells of a (task, seed) have the same questions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    preset: str = Field(default="demo", description="the settings that all cells start from")
    settings: dict[str, Any] = Field(default_factory=dict, description="dotted overrides of them")
    methods: list[str] = Field(min_length=1, description="names, see python -m benchmarks methods")
    tasks: dict[str, TaskConfig] = Field(min_length=1, description="label -> where the evaluated questions come from")
    train: str | None = Field(
        default=None, description="label of the task that is trained on; by default each task's own training split"
    )
    train_tasks: dict[str, TaskConfig] = Field(
        default_factory=dict, description="label -> a task that is trained on and not evaluated"
    )
    seeds: list[int] = Field(default=[0], min_length=1)
    questions: int = Field(default=500, ge=1, description="held-out questions per cell")
    fit_questions: int = Field(default=384, ge=1, description="training questions expanded to fit controllers")
    validation_questions: int = Field(default=192, ge=1, description="questions to choose a controller's strategy on")
    prices: list[float] = Field(
        default=[0.0, 0.03, 0.1, 0.3, 1.0], description="prices of speech at which controllers are fitted"
    )
    votes: int = Field(default=8, ge=1, description="samples per question of self-consistency and best-of-n")
    draws: int = Field(default=8, ge=1, description="independent proposals per question and model in a pool")
    reviews: int = Field(default=4, ge=0, description="a model's reviews of each of its reviewed proposals in a pool")
    reviewed_draws: int = Field(default=1, ge=0, description="proposals of a model in a pool that it reviews")
    chunk: int = Field(default=256, ge=1, description="questions answered, and put on disk, together")

    @field_validator("methods")
    @classmethod
    def _by_their_present_names(cls, names: list[str]) -> list[str]:
        return [RENAMED.get(name, name) for name in names]

    @field_validator("methods", "seeds")
    @classmethod
    def _distinct(cls, given: list) -> list:
        if len(set(given)) != len(given):
            raise ValueError(f"named twice: {sorted({str(name) for name in given if given.count(name) > 1})}")
        return given

    @property
    def price(self) -> float:
        """The price of speech of the main table; it is always among the prices that are fitted."""
        return self.base.dialogue.price_of_speech

    @property
    def all_prices(self) -> list[float]:
        """``prices`` and the main table's, ascending."""
        return sorted({*self.prices, self.price})

    @property
    def base(self) -> Config:
        """The settings of all cells, before task and seed."""
        return load_config(preset=self.preset, overrides=self.settings)

    def task(self, label: str) -> TaskConfig:
        """The task of a label."""
        return {**self.train_tasks, **self.tasks}[label]

    def train_label(self, label: str) -> str:
        """The label of the task on which methods are trained that are evaluated on ``label``."""
        return self.train or label

    def config(self, label: str, seed: int, settings: dict[str, Any] | None = None) -> Config:
        """The settings of the cells of a task and seed, with further dotted overrides."""
        of_cell = {"task": self.task(label).model_dump(), "seed": seed}
        return load_config(preset=self.preset, overrides={**self.settings, **of_cell, **(settings or {})})


def make_plan(fields: dict[str, Any], source: str) -> Plan:
    """A validated plan; ``source`` is named in errors.

    Raises:
        ConfigError: a field that is unknown, missing or out of range.
    """
    try:
        plan = Plan.model_validate(fields)
    except ValidationError as error:
        problems = "; ".join(_problem(each) for each in error.errors())
        raise ConfigError(f"{source}: {problems}") from error
    labels = {**plan.tasks, **plan.train_tasks}
    if plan.train is not None and plan.train not in labels:
        there = f"{sorted(labels)}{nearest(plan.train, labels)}"
        raise ConfigError(f"{source}: train: no task is labelled {plan.train!r}; there are {there}")
    for label in labels:
        if not label or set(label) & set("/\\") or label.startswith("."):
            raise ConfigError(f"{source}: tasks: the label {label!r} must be usable as a folder's name")
    _ = plan.base
    return plan


def _problem(error: ErrorDetails) -> str:
    """One thing that is wrong with a plan."""
    name = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        return f"{name}: there is no such field{nearest(name, Plan.model_fields)}"
    return f"{name}: {error['msg']} (got {error['input']!r})"


def read_plan(path: Path) -> dict[str, Any]:
    """The fields of a plan's YAML file.

    Raises:
        ConfigError: the file cannot be read.
    """
    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{path}: the top level must be a mapping of fields such as methods and tasks")
    return fields


def dump_plan(plan: Plan) -> str:
    """The complete plan as YAML."""
    return yaml.safe_dump(plan.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def task_of_label(label: str) -> TaskConfig:
    """The task that a command line names: ``gsm8k``, or ``arithmetic-4`` for a level of ``arithmetic``."""
    name, _, level = label.rpartition("-")
    if name == "arithmetic":
        return TaskConfig(name=name, options={"level": level})
    return TaskConfig(name=label)
