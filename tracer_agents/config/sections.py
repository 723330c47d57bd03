"""The settings of a run: typed, documented field by field, validated on construction."""

from dataclasses import replace
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from tracer_agents.config.engine import BackendConfig, Section
from tracer_agents.config.fitting import Style, TokenLimits, default_limits, default_style
from tracer_agents.config.speakers import SpeakersConfig
from tracer_agents.config.team import ModelUse, Voice, models_of, voices_of
from tracer_env.cost import MOST_UTTERANCES, branch_count, check_expandable, external_count
from tracer_env.dialogue import Rules
from tracer_env.errors import ConfigError
from tracer_env.rewards import Prices, Utility

MinimiserName = Literal[
    "RegretMatching",
    "RegretMatchingPlus",
    "PredictiveRegretMatchingPlus",
    "SmoothPredictiveRegretMatchingPlus",
    "DiscountedRegretMatching",
    "Hedge",
]
ObjectiveName = Literal["gspo", "grpo"]
VerdictLoss = Literal["cross_entropy", "brier"]


class TaskConfig(Section):
    """Where questions come from."""

    name: str = Field(
        default="arithmetic",
        description="arithmetic, gsm8k, math500, gpqa_diamond, jsonl, hub:OWNER/NAME, or a task of your own as "
        "package.module:name",
    )
    data: str | None = Field(default=None, description="local JSONL file of questions that may be trained on")
    eval_data: str | None = Field(
        default=None, description="local JSONL file of questions that are only ever tested on"
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="further options of the task, e.g. task.options.level"
    )


class DialogueConfig(Section):
    """The shape of a dialogue and what its controllers see."""

    n_agents: int = Field(default=2, ge=1, description="agents, each with a controller, a proposer and a reviewer")
    rounds: int = Field(
        default=5, ge=1, description="rounds of a dialogue, an odd number: a last review could not change the answer"
    )
    schedule: Literal["rotate", "parity"] = Field(default="rotate", description="which agent is active in which round")
    force_on_unparsed: bool = Field(
        default=False, description="force a proposal where the pending one has no readable answer"
    )
    revisions: bool | None = Field(
        default=None,
        description="proposers see the pending solution and its review; false: every proposal is made from the "
        "question alone; by default true where reviews are worked out (speakers.review)",
    )
    infoset: Literal["paper", "consensus", "recall", "belief"] = Field(
        default="consensus", description="what controllers know of the dialogue"
    )
    belief_bins: int = Field(default=16, ge=1, description="bins of the belief that controllers with it tell apart")
    answer_rule: Literal["pending", "plurality", "belief"] = Field(
        default="pending",
        description="what the team answers: the pending solution's answer, that of most proposals, or the likeliest",
    )
    sharing: Literal["prefix", "view"] = Field(
        default="prefix",
        description="whether a tree has an utterance for every place in it, or paths share what was said to one view",
    )
    price_of_speech: float = Field(
        default=0.1, ge=0, description="λ, utility that a dialogue of the longest length costs"
    )

    @model_validator(mode="after")
    def _playable(self) -> Self:
        try:
            _ = self.rules(revisions=True)
        except ConfigError as error:
            raise ValueError(f"dialogue.{error}") from error
        return self

    def rules(self, *, revisions: bool) -> Rules:
        """The rules of the game; ``revisions`` holds where the setting leaves it open."""
        return Rules(
            n_agents=self.n_agents,
            rounds=self.rounds,
            schedule=self.schedule,
            force_on_unparsed=self.force_on_unparsed,
            revisions=revisions if self.revisions is None else self.revisions,
            answer_rule=self.answer_rule,
            sharing=self.sharing,
        )

    @property
    def believes(self) -> bool:
        """Whether a belief is fitted."""
        return "belief" in (self.infoset, self.answer_rule)


class ControllersConfig(Section):
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


class CreditConfig(Section):
    """How utterances are paid."""

    train: bool = Field(default=True, description="whether speakers learn")
    group_size: int = Field(default=8, ge=2, description="G, completions of one prompt")
    answer_group_size: int | None = Field(
        default=None, ge=2, description="completions of one prompt where proposers answer alone; by default group_size"
    )
    reviewer: Literal["verdict", "uplift"] = Field(default="verdict", description="what a review is paid for")
    verdict_loss: VerdictLoss = Field(
        default="cross_entropy", description="loss of reviews of one token (speakers.review: verdict)"
    )
    verdict_learning_rate: float | None = Field(
        default=None, gt=0, description="AdamW's learning rate on verdicts; by default gspo.learning_rate"
    )
    verdict_batch: int = Field(default=64, ge=1, description="graded proposals per optimiser step on verdicts")
    verdict_epochs: int = Field(
        default=1, ge=0, description="how often verdicts are trained on a step's graded proposals; 0: never"
    )
    format_penalty: float = Field(
        default=0.5, ge=0, description="taken from the pay of a review without a readable verdict"
    )
    truncation_penalty: float = Field(
        default=0.5, ge=0, lt=1, description="taken from the pay of an utterance cut by the token limit"
    )
    normalise_std: bool = Field(default=True, description="divide advantages by their group's standard deviation")


class GSPOConfig(Section):
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
    sequence_mask: float | None = Field(
        default=None,
        ge=1,
        description="learn nothing from a sequence whose ratio of learner over engine (geometric mean over its tokens) "
        "is further from 1 than this factor, up or down; null: learn from all",
    )
    gradient_checkpointing: bool = Field(
        default=False,
        description="compute each layer again in the backward pass instead of keeping its activations; prompts that "
        "samples share are then computed for each",
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


class TrainerConfig(Section):
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


class EvaluationConfig(Section):
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


class Config(Section):
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
    def _verdicts_are_not_revised(self) -> Self:
        if self.speakers.review == "verdict" and self.dialogue.revisions:
            raise ValueError(
                "dialogue.revisions: a review of one token (speakers.review: verdict) holds nothing that a proposer "
                "could revise by; leave dialogue.revisions out, or set speakers.review: worked"
            )
        if self.speakers.review == "verdict" and self.credit.reviewer == "uplift":
            raise ValueError(
                "credit.reviewer: uplift pays a review for the proposal that it leads to, and no proposer sees one "
                "of one token (speakers.review: verdict); leave credit.reviewer out, or set speakers.review: worked"
            )
        return self

    @model_validator(mode="after")
    def _one_member_per_agent(self) -> Self:
        members = len(self.speakers.members)
        if members not in (0, self.dialogue.n_agents):
            raise ValueError(
                f"speakers.members: a team has one member per agent; there are {members} members and "
                f"{self.dialogue.n_agents} agents (dialogue.n_agents)"
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
        rules, remedies = self.rules, [remedy for remedy, needed in fully.items() if needed]
        if remedies and branch_count(rules) > MOST_UTTERANCES:
            raise ValueError(
                f"dialogue.rounds: a question of {rules.rounds} rounds has {branch_count(rules):,} utterances "
                f"on its paths when it is fully expanded, and {MOST_UTTERANCES:,} are the most; set "
                f"{', '.join(remedies)}"
            )
        for player in range(rules.n_agents):
            try:
                check_expandable(rules, external_count(rules, player).most)
            except ConfigError as error:
                raise ValueError(f"dialogue.{error}") from error
        return self

    @property
    def rules(self) -> Rules:
        """The rules of the game: proposers see reviews that are worked out, unless the settings say otherwise."""
        numbers = {agent: number for number, voice in enumerate(self.voices) for agent in voice.agents}
        voices = tuple(numbers[agent] for agent in sorted(numbers)) if len(self.voices) > 1 else ()
        return replace(self.dialogue.rules(revisions=self.speakers.review == "worked"), voices=voices)

    @property
    def policies(self) -> tuple[str, ...]:
        """The names of the policies of a team of one model."""
        return self.speakers.policies(range(self.dialogue.n_agents))

    @property
    def models(self) -> tuple[ModelUse, ...]:
        """The team's distinct models, each with the agents that speak with it."""
        return models_of(self.speakers, self.backend, self.dialogue.n_agents, learn=self.credit.train)

    @property
    def voices(self) -> tuple[Voice, ...]:
        """Who says the same of the same; what differs in price alone is one voice."""
        return voices_of(self.models, lambda agent: self.speakers.of_agent(agent).voice)

    def of_model(self, use: ModelUse) -> Self:
        """The settings of a team of this model alone; frozen models are whole and learn nothing."""
        frozen = {} if use.trained else {"credit": self.credit.model_copy(update={"train": False})}
        return self.model_copy(update={"speakers": use.speakers, "backend": use.backend, **frozen})

    def of_agent(self, agent: int) -> Self:
        """The settings of a team in which everybody speaks as this agent does."""
        return self.model_copy(update={"speakers": self.speakers.of_agent(agent)}) if self.speakers.members else self

    @property
    def speakers_learn(self) -> bool:
        """Whether any speaker is trained."""
        return any(use.trained for use in self.models)

    @property
    def binding(self) -> Self:
        """The settings that a run may not change while it goes on: all but those of reaching servers and spending."""
        members = [
            member.model_copy(update={"backend": member.backend and member.backend.binding})
            for member in self.speakers.members
        ]
        speakers = self.speakers.model_copy(update={"members": members})
        return self.model_copy(update={"backend": self.backend.binding, "speakers": speakers})

    def require_trainable(self) -> None:
        """Refuses to train speakers whose weights are not here, and controllers whose belief would never be fitted.

        Raises:
            ConfigError: names the setting.
        """
        if self.dialogue.believes and not self.trainer.controller_steps:
            raise ConfigError(
                "trainer.controller_steps: a belief (dialogue.infoset, dialogue.answer_rule) is fitted in the first "
                "step that freezes speakers, and there is none; set it to 1 or more, or use tracer fit"
            )
        if not self.credit.train:
            return
        remedy = (
            "openai servers keep their weights, so their speakers cannot be trained; set credit.train: false, or learn "
            "controllers alone, with tracer fit"
        )
        for index, member in enumerate(self.speakers.members):
            if member.train and not (member.backend or self.backend).trainable:
                raise ConfigError(
                    f"speakers.members.{index}.train: {remedy}; to train the other members, set train: false here"
                )
        if not self.speakers.members and not self.backend.trainable:
            raise ConfigError(f"backend.name: {remedy}")

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
            reviewer=1 if speakers.review == "verdict" else speakers.reviewer_max_new_tokens or fitting.reviewer,
        )

    @property
    def weighting(self) -> Literal["gradient", "counterfactual"]:
        """Of regrets: by default own reach is left out only where recall is perfect."""
        default = "counterfactual" if self.dialogue.infoset == "recall" else "gradient"
        return self.controllers.weighting or default

    @property
    def token_budget(self) -> float:
        """The most that a dialogue's tokens can cost: R · max_new_tokens where prices and limits are equal."""
        return self.utility.budget

    @property
    def utility(self) -> Utility:
        """The team's utility."""
        agents = [self.of_agent(agent) for agent in range(self.dialogue.n_agents)]
        return Utility.of_team(
            self.rules,
            price_of_speech=self.dialogue.price_of_speech,
            limits=[config.limits.longest for config in agents],
            prices=Prices(
                generated=tuple(config.speakers.price for config in agents),
                prompt=tuple(config.speakers.prompt_price for config in agents),
            ),
        )
