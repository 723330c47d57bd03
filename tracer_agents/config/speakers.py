"""The settings of the language models behind proposers and reviewers."""

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from tracer_agents.config.engine import BackendConfig, Section
from tracer_agents.config.fitting import Style
from tracer_env.dialogue import Role

PolicyScheme = Literal["shared", "per_role", "per_agent_role"]
Review = Literal["worked", "verdict"]


class MemberConfig(Section):
    """One agent's speaker in a team of different models; what is left out is as in ``speakers`` and ``backend``."""

    model: str = Field(description="'tiny', 'small' (shipped), a folder, or a name on the Hugging Face hub")
    train: bool = Field(default=True, description="whether the speaker learns, where speakers learn at all")
    backend: BackendConfig | None = Field(default=None, description="the engine that generates for this member")
    price: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    prompt_price: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    style: Style | None = None
    prompts: str | None = None
    template_arguments: dict[str, Any] | None = None
    adapters: str | None = None
    proposer_max_new_tokens: int | None = Field(default=None, ge=1)
    reviewer_max_new_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    attention: Literal["auto", "sdpa", "eager"] | None = None
    device: str | None = None

    def given(self) -> dict[str, Any]:
        """The fields of ``SpeakersConfig`` that this member sets."""
        fields = {name: getattr(self, name) for name in SpeakersConfig.model_fields if hasattr(self, name)}
        return {name: value for name, value in fields.items() if value is not None}


_LOADING = ("dtype", "attention", "device", "backend")  # what a model is loaded with


class SpeakersConfig(Section):
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
    adapters: str | None = Field(
        default=None,
        description="what adapters begin with: 'verdicts' (shipped: a reviewer of 'tiny' for review: verdict), or a "
        "checkpoint's folder; those that are not in it, and all of them by default, begin as the model itself",
    )
    review: Review = Field(
        default="worked",
        description="worked: a review reasons and ends with its verdict; verdict: it is one token, whose probability "
        "is known, and no proposer sees it",
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
        default=None,
        ge=1,
        description="tokens of the longest review that is worked out; by default what suits the task and the style",
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
    price: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="what a generated token costs")
    prompt_price: float = Field(
        default=0.0, ge=0, allow_inf_nan=False, description="what a prompt token costs, in the unit of price"
    )
    members: list[MemberConfig] = Field(
        default_factory=list,
        description="a team of different models: one entry per agent, in which model is required and everything else "
        "is as in speakers; empty: everybody is speakers.model",
    )

    @model_validator(mode="after")
    def _trainable(self) -> Self:
        if self.policy != "shared" and self.lora_rank is None:
            raise ValueError(
                f"speakers.policy: {self.policy!r} takes adapters on one frozen model: set speakers.lora_rank"
            )
        if self.adapters is not None and self.lora_rank is None:
            raise ValueError("speakers.adapters: without speakers.lora_rank there are none; set it to their rank")
        return self

    @model_validator(mode="after")
    def _one_copy_of_each_model(self) -> Self:
        """A process holds one copy of each model, so members that share one agree on how it is loaded."""
        first: dict[str, int] = {}
        for index, member in enumerate(self.members):
            earlier = self.members[first.setdefault(member.model, index)]
            for name in _LOADING:
                before, now = getattr(earlier, name), getattr(member, name)
                if before != now:
                    raise ValueError(
                        f"speakers.members.{index}.{name}: {member.model!r} is a member twice, and a process holds one "
                        f"copy of each model: {name} is {_short(before)} in member {first[member.model]} and "
                        f"{_short(now)} here; make them equal"
                    )
            if earlier.train != member.train and self.lora_rank is None:
                raise ValueError(
                    f"speakers.members.{index}.train: {member.model!r} is a member twice, once trained, once frozen; "
                    "that takes adapters on one copy of it: set speakers.lora_rank, or train both or none"
                )
        return self

    def policies(self, agents: Iterable[int]) -> tuple[str, ...]:
        """The names of these agents' policies."""
        return tuple(dict.fromkeys(policy_of(self.policy, role, agent) for agent in agents for role in Role))

    @property
    def voice(self) -> str:
        """Everything that changes what is said: all but the prices."""
        return self.model_copy(update={"price": 1.0, "prompt_price": 0.0}).model_dump_json()

    def of_agent(self, agent: int) -> "SpeakersConfig":
        """What an agent speaks with, as the settings of a team in which everybody does."""
        if not self.members:
            return self
        return self.model_copy(update={**self.members[agent].given(), "members": []})


def policy_of(scheme: PolicyScheme, role: Role, agent: int) -> str:
    """The name of the policy that an agent speaks with in a role."""
    return {"shared": "shared", "per_role": str(role), "per_agent_role": f"{role}_{agent}"}[scheme]


def _short(value: Any) -> str:
    """A value in a message; of an engine, its name and address."""
    if isinstance(value, BackendConfig):
        return " ".join(filter(None, (value.name, value.url)))
    return "not given" if value is None else repr(value)
