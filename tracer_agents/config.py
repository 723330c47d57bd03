"""The settings of a run: typed, documented field by field, validated on construction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from tracer_env.dialogue import Role, Rules
from tracer_env.errors import ConfigError
from tracer_env.rewards import Utility

MinimiserName = Literal[
    "RegretMatching",
    "RegretMatchingPlus",
    "PredictiveRegretMatchingPlus",
    "SmoothPredictiveRegretMatchingPlus",
    "DiscountedRegretMatching",
    "Hedge",
]
ObjectiveName = Literal["gspo", "grpo"]
PolicyScheme = Literal["shared", "per_role", "per_agent_role"]
PRESETS = Path(__file__).parent / "presets"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskConfig(_Section):
    """Where questions come from."""

    name: str = Field(
        default="arithmetic", description="arithmetic, gsm8k, math500, gpqa_diamond, jsonl or hub:OWNER/NAME"
    )
    data: str | None = Field(default=None, description="local JSONL file that may be trained on")
    eval_data: str | None = Field(default=None, description="local JSONL file that is only ever tested on")
    options: dict[str, Any] = Field(default_factory=dict, description="further options of the task, e.g. level")


class DialogueConfig(_Section):
    """The shape of a dialogue and what its controllers see."""

    n_agents: int = Field(default=2, ge=1, description="agents, each with a controller, a proposer and a reviewer")
    rounds: int = Field(default=5, ge=1, description="odd number of rounds")
    schedule: Literal["rotate", "parity"] = Field(default="rotate", description="who is active when")
    force_on_unparsed: bool = Field(default=False, description="force a proposal over an unparseable one")
    infoset: Literal["paper", "consensus", "recall"] = Field(default="consensus", description="what controllers know")
    price_of_speech: float = Field(default=0.1, ge=0, description="λ, the price of a dialogue of the longest length")

    @property
    def rules(self) -> Rules:
        """The rules of the game."""
        return Rules(
            n_agents=self.n_agents,
            rounds=self.rounds,
            schedule=self.schedule,
            force_on_unparsed=self.force_on_unparsed,
        )


class SpeakersConfig(_Section):
    """The language model behind proposers and reviewers."""

    model: str = Field(default="tiny", description="'tiny' (shipped), a folder, or a hub name")
    policy: PolicyScheme = Field(
        default="shared", description="who shares a policy: everybody, all agents in a role, or nobody"
    )
    lora_rank: int | None = Field(
        default=None, ge=1, description="rank of LoRA adapters on the frozen model; null: it is trained whole"
    )
    lora_alpha: int | None = Field(
        default=None, gt=0, description="adapters are scaled by alpha / rank; by default 2 · rank"
    )
    lora_targets: Literal["all-linear"] | list[str] = Field(
        default="all-linear", description="modules with adapters: endings of names, or every linear layer"
    )
    style: Literal["tiny", "chat"] | None = Field(default=None, description="prompt texts; by default the model's")
    proposer_max_new_tokens: int = Field(default=96, ge=1, description="longest proposal, tokens")
    reviewer_max_new_tokens: int = Field(default=96, ge=1, description="longest review, tokens")
    temperature: float = Field(default=1.0, ge=0, description="of sampling in evaluation; training samples at 1")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="of the weights")
    device: str = Field(default="auto", description="auto, cpu, cuda, cuda:1, …")

    @property
    def max_new_tokens(self) -> int:
        """The longest utterance of either role, tokens."""
        return max(self.proposer_max_new_tokens, self.reviewer_max_new_tokens)

    @model_validator(mode="after")
    def _trainable(self) -> "SpeakersConfig":
        if self.policy != "shared" and self.lora_rank is None:
            raise ValueError(f"policy {self.policy!r} takes adapters on one frozen model: set speakers.lora_rank")
        return self

    def policies(self, n_agents: int) -> tuple[str, ...]:
        """The names of all policies."""
        return tuple(dict.fromkeys(policy_of(self.policy, role, agent) for agent in range(n_agents) for role in Role))


def policy_of(scheme: PolicyScheme, role: Role, agent: int) -> str:
    """The name of the policy that an agent speaks with in a role."""
    return {"shared": "shared", "per_role": str(role), "per_agent_role": f"{role}_{agent}"}[scheme]


class BackendConfig(_Section):
    """The engine that generates."""

    name: Literal["transformers", "sglang"] = Field(
        default="transformers", description="transformers: in this process; sglang: a server over HTTP"
    )
    batch_size: int = Field(default=256, ge=1, description="transformers: rows generated together")
    url: str | None = Field(default=None, description="sglang: address of a server or a router, for every policy")
    urls: dict[str, str | list[str]] = Field(
        default_factory=dict, description="sglang: policy -> address or addresses, instead of url"
    )
    weights: Literal["disk", "tensor", "adapter"] = Field(
        default="disk",
        description="sglang: how new weights reach servers: whole by disk or by shared memory, or adapters alone",
    )
    weights_folder: str | None = Field(
        default=None, description="sglang: where weights are written for servers to read; by default a temporary one"
    )
    in_flight: int = Field(default=128, ge=1, description="sglang: prompts under way at once")
    attempts: int = Field(default=4, ge=1, description="sglang: how often a completion is asked for")
    backoff_seconds: float = Field(default=0.5, ge=0, description="sglang: wait before the second attempt, doubling")
    connect_seconds: float = Field(default=5.0, gt=0, description="sglang: deadline of a connection")
    generate_seconds: float = Field(default=300.0, gt=0, description="sglang: deadline of a prompt's completions")
    sync_seconds: float = Field(default=120.0, gt=0, description="sglang: deadline of loading weights into a server")
    recover_seconds: float = Field(default=180.0, ge=0, description="sglang: how long a lost server is waited for")
    parity_tolerance: float = Field(
        default=1e-4,
        gt=0,
        description="mean difference of the learner's and the engine's log-probabilities that rounding explains; a "
        "token's may be 10 times it at the start, a step's mean in training",
    )

    @model_validator(mode="after")
    def _reachable(self) -> "BackendConfig":
        if self.name == "sglang" and (self.url is None) == (not self.urls):
            raise ValueError("sglang needs backend.url, or backend.urls with one entry a policy; not both")
        return self

    def servers(self, policies: Sequence[str]) -> dict[str, list[str]]:
        """Addresses by policy."""
        if self.url is not None:
            return {policy: [self.url] for policy in policies}
        return {policy: [urls] if isinstance(urls, str) else list(urls) for policy, urls in self.urls.items()}


class ControllersConfig(_Section):
    """Regret matching over SKIP and SPEAK."""

    train: bool = Field(default=True, description="whether controllers learn")
    minimiser: MinimiserName = Field(
        default="RegretMatchingPlus", description="the regret minimiser, see controllers.regret"
    )
    weighting: Literal["gradient", "counterfactual"] | None = Field(
        default=None, description="of regrets; by default gradient for paper and consensus, counterfactual for recall"
    )
    play: Literal["current", "average", "greedy", "validated"] = Field(
        default="current",
        description="which strategy is deployed; validated: the best of the three on validation trees",
    )
    validation_questions: int = Field(default=128, ge=1, description="questions expanded to choose among strategies")
    expansion: Literal["full", "external"] = Field(
        default="full",
        description="choices expanded in training: everybody's, or for long dialogues one controller's a step, in turn",
    )
    inner_iterations: int = Field(default=10, ge=1, description="regret iterations a batch of trees")
    discount: float = Field(default=1.0, gt=0, le=1, description="kept of the regrets at each new batch of trees")
    exploration: float = Field(default=0.2, ge=0, le=1, description="uniform play mixed in on training dialogues")


class CreditConfig(_Section):
    """How utterances are paid."""

    train: bool = Field(default=True, description="whether speakers learn")
    group_size: int = Field(default=8, ge=2, description="G, completions of one prompt")
    answer_group_size: int | None = Field(
        default=None, ge=2, description="the same where proposers answer alone; by default group_size"
    )
    reviewer: Literal["verdict", "uplift"] = Field(default="verdict", description="what a review is paid for")
    format_penalty: float = Field(default=0.5, ge=0, description="for a review without a readable verdict")
    truncation_penalty: float = Field(default=0.5, ge=0, lt=1, description="for an utterance cut by the token limit")
    normalise_std: bool = Field(default=True, description="divide advantages by their group's standard deviation")


class GSPOConfig(_Section):
    """The optimiser of the speakers."""

    loss: ObjectiveName = Field(
        default="gspo", description="the objective: gspo has one ratio per sequence, grpo one per token"
    )
    learning_rate: float = Field(default=1e-6, gt=0, description="of AdamW")
    beta2: float = Field(default=0.999, gt=0, lt=1, description="of AdamW")
    weight_decay: float = Field(default=0.0, ge=0, description="of AdamW")
    clip_low: float | None = Field(
        default=None, ge=0, description="ε_low of the ratio; null: the objective's own, 3e-4 for gspo, 0.2 for grpo"
    )
    clip_high: float | None = Field(
        default=None, ge=0, description="ε_high of the ratio; null: the objective's own, 4e-4 for gspo, 0.2 for grpo"
    )
    optimiser_steps: int = Field(default=4, ge=1, description="steps a rollout batch")
    max_gradient_norm: float = Field(default=1.0, gt=0, description="gradients are scaled down to this norm")
    micro_batch_tokens: int = Field(default=8192, ge=1, description="padded tokens in one forward pass")
    importance_cap: float | None = Field(
        default=None, gt=0, description="truncated importance weight of learner over engine; null: off"
    )
    kl: float = Field(default=0.0, ge=0, description="coefficient of KL to the model as it was before training")

    @field_validator("loss", mode="before")
    @classmethod
    def _not_token_form(cls, value: Any) -> Any:
        if value == "gspo_token":
            raise ValueError(
                "gspo_token is gone: with one advantage per sequence its gradient is gspo's; set gspo.loss: gspo"
            )
        return value


class TrainerConfig(_Section):
    """Length and rhythm of training, in steps."""

    steps: int = Field(default=40, ge=0, description="training steps")
    controller_steps: int = Field(
        default=0, ge=0, description="of these, the last ones: speakers are frozen, controllers start afresh"
    )
    answer_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the steps that train speakers, from the first on, in which proposers answer alone",
    )
    questions_per_step: int = Field(default=16, ge=1, description="questions expanded a step")
    controller_questions_per_step: int = Field(default=64, ge=1, description="the same, once speakers are frozen")
    checkpoint_every: int = Field(default=10, ge=1, description="steps between checkpoints; the last is always kept")
    keep_checkpoints: int = Field(default=2, ge=1, description="how many of the newest checkpoints stay on disk")

    @property
    def answer_steps(self) -> int:
        """How many of the first steps train nothing but answers to the bare question."""
        return round(self.answer_share * (self.steps - self.controller_steps))

    def checkpoint_at(self, step: int) -> bool:
        """Whether a checkpoint is written after this step."""
        return step % self.checkpoint_every == 0 or step == self.steps


class EvaluationConfig(_Section):
    """What is measured on held-out questions."""

    questions: int = Field(default=500, ge=1, description="held-out questions")
    baselines: bool = Field(default=True, description="also measure the baselines of a training run")
    greedy: bool = Field(default=True, description="also measure accuracy at temperature 0")
    certificate_questions: int = Field(
        default=128, ge=0, description="held-out questions expanded for the certificate; 0: no certificate"
    )
    checkpoint_questions: int = Field(
        default=32, ge=0, description="validation questions expanded at every checkpoint to follow the gaps; 0: none"
    )
    bootstrap: int = Field(default=10_000, ge=100, description="bootstrap resamples of each interval")


class Config(_Section):
    """Everything a run depends on."""

    seed: int = Field(default=0, ge=0, description="of every random choice")
    task: TaskConfig = TaskConfig()
    dialogue: DialogueConfig = DialogueConfig()
    speakers: SpeakersConfig = SpeakersConfig()
    backend: BackendConfig = BackendConfig()
    controllers: ControllersConfig = ControllersConfig()
    credit: CreditConfig = CreditConfig()
    gspo: GSPOConfig = GSPOConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the speakers' policies."""
        return self.speakers.policies(self.dialogue.n_agents)

    @property
    def weighting(self) -> Literal["gradient", "counterfactual"]:
        """Of regrets: by default own reach is left out only where recall is perfect."""
        default = "counterfactual" if self.dialogue.infoset == "recall" else "gradient"
        return self.controllers.weighting or default

    @property
    def token_budget(self) -> int:
        """The most tokens of a dialogue, R · max_new_tokens."""
        return self.dialogue.rounds * self.speakers.max_new_tokens

    @property
    def utility(self) -> Utility:
        """The team's utility."""
        return Utility(
            price_of_speech=self.dialogue.price_of_speech,
            rounds=self.dialogue.rounds,
            max_new_tokens=self.speakers.max_new_tokens,
        )


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
        path = PRESETS / f"{preset}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in PRESETS.glob("*.yaml")))
            raise ConfigError(f"no preset {preset!r}; there are: {known}")
        _merge(merged, _read_yaml(path))
    if file is not None:
        _merge(merged, _read_yaml(file))
    for dotted, value in (overrides or {}).items():
        _assign(merged, dotted, value)
    try:
        config = Config.model_validate(merged)
        _ = config.dialogue.rules
    except ValidationError as error:
        source = str(file) if file else f"preset {preset}" if preset else "settings"
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})" for e in error.errors())
        raise ConfigError(f"{source}: {problems}") from error
    if config.backend.weights == "adapter" and config.speakers.lora_rank is None:
        raise ConfigError("backend.weights: adapter needs adapters: set speakers.lora_rank")
    if config.trainer.controller_steps > config.trainer.steps:
        raise ConfigError("trainer.controller_steps must not exceed trainer.steps")
    if config.controllers.expansion == "external" and config.credit.reviewer == "uplift":
        raise ConfigError(
            "credit.reviewer: uplift compares branches that controllers.expansion: external does not expand; "
            "set one of them to its default"
        )
    for name in ("certificate_questions", "checkpoint_questions"):
        if getattr(config.evaluation, name) == 1:
            raise ConfigError(f"evaluation.{name} must be 0 (no certificate) or at least 2, got 1")
    return config


def dump_config(config: Config) -> str:
    """The complete configuration as YAML, which ``load_config`` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from error
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
