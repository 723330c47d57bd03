"""The settings of a run: typed, documented field by field, validated on construction."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tracer_agents.config.fitting import Style, TokenLimits, default_limits, default_style
from tracer_env.cost import MOST_UTTERANCES, check_expandable, external_count, utterance_count
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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TaskConfig(_Section):
    """Where questions come from."""

    name: str = Field(
        default="arithmetic", description="arithmetic, gsm8k, math500, gpqa_diamond, jsonl or hub:OWNER/NAME"
    )
    data: str | None = Field(default=None, description="local JSONL file of questions that may be trained on")
    eval_data: str | None = Field(
        default=None, description="local JSONL file of questions that are only ever tested on"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further options of the task, e.g. task.options.level"
    )


class DialogueConfig(_Section):
    """The shape of a dialogue and what its controllers see."""

    n_agents: int = Field(default=2, ge=1, description="agents, each with a controller, a proposer and a reviewer")
    rounds: int = Field(
        default=5, ge=1, description="rounds of a dialogue, an odd number: a last review could not change the answer"
    )
    schedule: Literal["rotate", "parity"] = Field(default="rotate", description="which agent is active in which round")
    force_on_unparsed: bool = Field(
        default=False, description="force a proposal where the pending one has no readable answer"
    )
    infoset: Literal["paper", "consensus", "recall"] = Field(
        default="consensus", description="what controllers know of the dialogue"
    )
    price_of_speech: float = Field(
        default=0.1, ge=0, description="λ, utility that a dialogue of the longest length costs"
    )

    @model_validator(mode="after")
    def _playable(self) -> Self:
        try:
            _ = self.rules
        except ConfigError as error:
            raise ValueError(f"dialogue.{error}") from error
        return self

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

    model: str = Field(default="tiny", description="'tiny' (shipped), a folder, or a name on the Hugging Face hub")
    policy: PolicyScheme = Field(
        default="shared", description="who shares a policy: everybody, all agents in a role, or nobody"
    )
    lora_rank: int | None = Field(
        default=None, ge=1, description="rank of LoRA adapters on the frozen model; null: the model is trained whole"
    )
    lora_alpha: int | None = Field(
        default=None, gt=0, description="adapters are scaled by alpha / rank; by default 2 · rank"
    )
    lora_targets: Literal["all-linear"] | list[str] = Field(
        default="all-linear", description="modules with adapters: endings of names, or every linear layer"
    )
    style: Style | None = Field(default=None, description="prompt texts; by default those that suit the model")
    prompts: str | None = Field(
        default=None, description="a file of prompt texts, in Jinja, that replaces those of the style"
    )
    template_arguments: dict[str, Any] = Field(
        default_factory=dict, description="passed on to the chat template, e.g. {enable_thinking: false}"
    )
    proposer_max_new_tokens: int | None = Field(
        default=None, ge=1, description="tokens of the longest proposal; by default what suits the task and the style"
    )
    reviewer_max_new_tokens: int | None = Field(
        default=None, ge=1, description="tokens of the longest review; by default what suits the task and the style"
    )
    temperature: float = Field(
        default=1.0, ge=0, description="sampling temperature in evaluation; training samples at 1"
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="number format of the weights"
    )
    attention: Literal["auto", "sdpa", "eager"] = Field(
        default="auto",
        description="attention kernel; auto: the first of sdpa and eager that computes what plain transformers does",
    )
    device: str = Field(default="auto", description="where the model lives: auto, cpu, cuda, cuda:1, …")

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.policy != "shared" and self.lora_rank is None:
            raise ValueError(
                f"speakers.policy: {self.policy!r} takes adapters on one frozen model: set speakers.lora_rank"
            )
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
        default="transformers", description="engine: transformers, in this process, or sglang, a server over HTTP"
    )
    batch_size: int = Field(default=256, ge=1, description="transformers: rows generated together")
    url: str | None = Field(default=None, description="sglang: address of a server or a router, for every policy")
    urls: dict[str, str | list[str]] = Field(
        default_factory=dict, description="sglang: the address or addresses of each policy, instead of url"
    )
    weights: Literal["disk", "tensor", "adapter"] = Field(
        default="disk",
        description="sglang: how new weights reach servers: whole by disk or by shared memory, or adapters alone",
    )
    weights_folder: str | None = Field(
        default=None,
        description="sglang: where a folder is made for weights that servers read; by default a temporary one",
    )
    in_flight: int = Field(default=128, ge=1, description="sglang: prompts under way at once")
    attempts: int = Field(default=4, ge=1, description="sglang: how often a completion is asked for")
    backoff_seconds: float = Field(
        default=0.5, ge=0, description="sglang: wait before the second attempt; it doubles with each"
    )
    connect_seconds: float = Field(default=5.0, gt=0, description="sglang: deadline for a connection")
    generate_seconds: float = Field(default=300.0, gt=0, description="sglang: deadline for a prompt's completions")
    sync_seconds: float = Field(default=120.0, gt=0, description="sglang: deadline for loading weights into a server")
    recover_seconds: float = Field(default=180.0, ge=0, description="sglang: how long a lost server is waited for")
    parity_tolerance: float = Field(
        default=1e-4,
        gt=0,
        description="mean difference of the learner's and the engine's log-probabilities that rounding explains; a "
        "token's may be 10 times it at the start, a step's mean in training",
    )

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.name == "sglang" and (self.url is None) == (not self.urls):
            raise ValueError(
                "backend.name: sglang needs backend.url, or backend.urls with an entry per policy; not both"
            )
        return self

    @property
    def served(self) -> bool:
        """Whether servers outside this process generate."""
        return self.name != "transformers"

    def servers(self, policies: Sequence[str]) -> dict[str, list[str]]:
        """Addresses by policy."""
        if self.url is not None:
            return {policy: [self.url] for policy in policies}
        return {policy: [urls] if isinstance(urls, str) else list(urls) for policy, urls in self.urls.items()}


class ControllersConfig(_Section):
    """Regret matching over SKIP and SPEAK."""

    train: bool = Field(default=True, description="whether controllers learn")
    minimiser: MinimiserName = Field(default="RegretMatchingPlus", description="the regret minimiser")
    weighting: Literal["gradient", "counterfactual"] | None = Field(
        default=None,
        description="how regrets are weighted; by default gradient for paper and consensus, counterfactual for recall",
    )
    play: Literal["current", "average", "greedy", "validated"] = Field(
        default="current",
        description="which strategy is deployed; validated: the best of the three on validation trees",
    )
    validation_questions: int = Field(default=128, ge=1, description="questions expanded to choose among strategies")
    expansion: Literal["full", "external"] = Field(
        default="full",
        description="whose choices are expanded: everybody's, or, for long dialogues, one controller's in each step",
    )
    inner_iterations: int = Field(default=10, ge=1, description="regret iterations per batch of trees")
    discount: float = Field(default=1.0, gt=0, le=1, description="factor on past regrets at each new batch of trees")
    exploration: float = Field(
        default=0.2, ge=0, le=1, description="share of uniform play mixed in on training dialogues"
    )


class CreditConfig(_Section):
    """How utterances are paid."""

    train: bool = Field(default=True, description="whether speakers learn")
    group_size: int = Field(default=8, ge=2, description="G, completions of one prompt")
    answer_group_size: int | None = Field(
        default=None, ge=2, description="completions of one prompt where proposers answer alone; by default group_size"
    )
    reviewer: Literal["verdict", "uplift"] = Field(default="verdict", description="what a review is paid for")
    format_penalty: float = Field(
        default=0.5, ge=0, description="taken from the pay of a review without a readable verdict"
    )
    truncation_penalty: float = Field(
        default=0.5, ge=0, lt=1, description="taken from the pay of an utterance cut by the token limit"
    )
    normalise_std: bool = Field(default=True, description="divide advantages by their group's standard deviation")


class GSPOConfig(_Section):
    """The optimiser of the speakers."""

    loss: ObjectiveName = Field(
        default="gspo", description="objective: gspo has one ratio per sequence, grpo one per token"
    )
    learning_rate: float = Field(default=1e-6, gt=0, description="AdamW's learning rate")
    beta2: float = Field(default=0.999, gt=0, lt=1, description="AdamW's second-moment decay")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's weight decay")
    clip_low: float | None = Field(
        default=None, ge=0, description="ε_low of the ratio; null: the objective's own, 3e-4 for gspo, 0.2 for grpo"
    )
    clip_high: float | None = Field(
        default=None, ge=0, description="ε_high of the ratio; null: the objective's own, 4e-4 for gspo, 0.2 for grpo"
    )
    optimiser_steps: int = Field(default=4, ge=1, description="optimiser steps per batch of rollouts")
    max_gradient_norm: float = Field(
        default=1.0, gt=0, description="gradients with a larger norm are scaled down to it"
    )
    micro_batch_tokens: int = Field(default=8192, ge=1, description="padded tokens in one forward pass")
    importance_cap: float | None = Field(
        default=None, gt=0, description="bound on the importance weight of learner over engine; null: no weight"
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
        default=0, ge=0, description="how many of the last steps freeze the speakers and start controllers afresh"
    )
    answer_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the steps that train speakers, from the first on, in which proposers answer alone",
    )
    questions_per_step: int = Field(default=16, ge=1, description="questions expanded per step")
    controller_questions_per_step: int = Field(
        default=64, ge=1, description="questions expanded per step once the speakers are frozen"
    )
    checkpoint_every: int = Field(default=10, ge=1, description="steps between checkpoints; the last is always kept")
    keep_checkpoints: int = Field(default=2, ge=1, description="how many of the newest checkpoints stay on disk")

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.controller_steps > self.steps:
            raise ValueError(
                f"trainer.controller_steps must not exceed trainer.steps, got {self.controller_steps} of {self.steps}; "
                "lower it or train for more steps"
            )
        return self


class EvaluationConfig(_Section):
    """What is measured on held-out questions."""

    questions: int = Field(default=500, ge=1, description="held-out questions")
    baselines: bool = Field(default=True, description="also measure baselines on the same questions")
    greedy: bool = Field(default=True, description="also measure accuracy at temperature 0")
    certificate_questions: int = Field(
        default=128, ge=0, description="held-out questions expanded for the certificate; 0: no certificate"
    )
    checkpoint_questions: int = Field(
        default=32, ge=0, description="validation questions expanded at every checkpoint to follow the gaps; 0: none"
    )
    bootstrap: int = Field(default=10_000, ge=100, description="bootstrap resamples of each interval")

    @model_validator(mode="after")
    def _certifiable(self) -> Self:
        for name in ("certificate_questions", "checkpoint_questions"):
            if getattr(self, name) == 1:
                raise ValueError(f"evaluation.{name} must be 0 (no certificate) or at least 2, got 1")
        return self


class Config(_Section):
    """Everything a run depends on."""

    seed: int = Field(default=0, ge=0, description="seed of every random choice")
    task: TaskConfig = TaskConfig()
    dialogue: DialogueConfig = DialogueConfig()
    speakers: SpeakersConfig = SpeakersConfig()
    backend: BackendConfig = BackendConfig()
    controllers: ControllersConfig = ControllersConfig()
    credit: CreditConfig = CreditConfig()
    gspo: GSPOConfig = GSPOConfig()
    trainer: TrainerConfig = TrainerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        if self.backend.weights == "adapter" and self.speakers.lora_rank is None:
            raise ValueError("backend.weights: adapter needs adapters: set speakers.lora_rank")
        if self.controllers.expansion == "external" and self.credit.reviewer == "uplift":
            raise ValueError(
                "credit.reviewer: uplift compares branches that controllers.expansion: external does not expand; "
                "set one of them to its default"
            )
        return self

    @model_validator(mode="after")
    def _expandable(self) -> Self:
        """No setting may expand dialogues that take years: what is expanded fully, and what one agent at a time."""
        fully = {
            "controllers.expansion: external": self.controllers.expansion == "full",
            "controllers.play: current": self.controllers.play == "validated",
            "evaluation.certificate_questions: 0": self.evaluation.certificate_questions > 0,
            "evaluation.checkpoint_questions: 0": self.evaluation.checkpoint_questions > 0,
        }
        rules, remedies = self.dialogue.rules, [remedy for remedy, needed in fully.items() if needed]
        if remedies and utterance_count(rules) > MOST_UTTERANCES:
            raise ValueError(
                f"dialogue.rounds: a question of {rules.rounds} rounds generates {utterance_count(rules):,} utterances "
                f"when it is fully expanded, and {MOST_UTTERANCES:,} are the most; set {', '.join(remedies)}"
            )
        for player in range(rules.n_agents):
            try:
                check_expandable(rules, external_count(rules, player).most)
            except ConfigError as error:
                raise ValueError(f"dialogue.{error}") from error
        return self

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the speakers' policies."""
        return self.speakers.policies(self.dialogue.n_agents)

    @property
    def style(self) -> Style:
        """Of the speakers' prompts: as set, else what suits the model."""
        return self.speakers.style or default_style(self.speakers.model)

    @property
    def limits(self) -> TokenLimits:
        """Of the speakers' utterances: as set, else what suits the task and the style."""
        speakers, fitting = self.speakers, default_limits(self.task.name, self.style)
        return TokenLimits(
            proposer=speakers.proposer_max_new_tokens or fitting.proposer,
            reviewer=speakers.reviewer_max_new_tokens or fitting.reviewer,
        )

    @property
    def weighting(self) -> Literal["gradient", "counterfactual"]:
        """Of regrets: by default own reach is left out only where recall is perfect."""
        default = "counterfactual" if self.dialogue.infoset == "recall" else "gradient"
        return self.controllers.weighting or default

    @property
    def token_budget(self) -> int:
        """The most tokens of a dialogue, R · max_new_tokens."""
        return self.dialogue.rounds * self.limits.longest

    @property
    def utility(self) -> Utility:
        """The team's utility."""
        return Utility(
            price_of_speech=self.dialogue.price_of_speech,
            rounds=self.dialogue.rounds,
            max_new_tokens=self.limits.longest,
        )
