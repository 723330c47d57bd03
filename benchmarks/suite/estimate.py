"""What a plan would cost, from closed formulas: nothing is loaded but the model's configuration, where it is local.

Every assumption is a constant below. Estimates are meant to be right within a factor of two or three: enough to tell
an hour from a week. What runs side by side in truth is added up here, no prompt is taken as cached, and every group
is taken to be trained on. Whether a model fits into a device's memory is not checked. What chat servers generate takes
no hours of a device, and costs what their prices say.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks.methods import METHODS, Cost
from benchmarks.suite.bench import Bench, Recipe
from benchmarks.suite.cells import Job
from tracer_agents.build import SHIPPED, prices_of
from tracer_agents.config import Config
from tracer_agents.rollout.tree import Tree, expand, play
from tracer_agents.speakers.model import view_of
from tracer_agents.speakers.prompts import Prompts, prompts_for
from tracer_agents.training.schedule import Schedule
from tracer_agents.types import Controller, Episode, SpeakRequest
from tracer_env.dialogue import Role, Rules, Utterance
from tracer_env.errors import ConfigError
from tracer_env.tasks.base import Grade, Question, Split

FILL = 0.5  # of the token limits that utterances use in the mean
QUESTION_TOKENS = 80  # of a question
CHARACTERS_PER_TOKEN = 4.0  # of the prompts' own text
BANDWIDTH_USE = 0.6  # of a device's memory bandwidth that decoding attains
GENERATION_USE = 0.4  # of its arithmetic, in prefilling and in decoding large batches
TRAINING_USE = 0.35  # the same in training
FORWARD_AND_BACKWARD = 3.0  # a backward pass is two forward passes
KV_BYTES_PER_PARAMETER = 1.6e-5  # of a token's keys and values in bfloat16, where only the model's size is known
STEP_SECONDS = {"transformers": 0.025, "sglang": 0.003}  # of a decoding step that no device is too fast for
TEST_QUESTIONS = {"gsm8k": 1319, "math500": 500, "gpqa_diamond": 198}  # in the official test sets
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
_SIZE_IN_NAME = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)([BM])(?![A-Za-z])", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Peak figures of a device from its vendor's data sheet, dense arithmetic.

    Args:
        half_flops: FLOP/s in bfloat16 or float16.
        full_flops: FLOP/s in float32 without tensor cores, which is how PyTorch multiplies by default.
        bandwidth: of its memory, bytes/s.
    """

    half_flops: float
    full_flops: float
    bandwidth: float

    def flops(self, dtype: str) -> float:
        """FLOP/s in a floating-point type."""
        return self.full_flops if dtype == "float32" else self.half_flops


DEVICES = {
    "cpu": Device(half_flops=2e11, full_flops=2e11, bandwidth=4e10),  # a few cores; no data sheet
    "rtx4090": Device(half_flops=165.2e12, full_flops=82.6e12, bandwidth=1.008e12),
    "l40s": Device(half_flops=362e12, full_flops=91.6e12, bandwidth=0.864e12),
    "a100": Device(half_flops=312e12, full_flops=19.5e12, bandwidth=2.039e12),
    "h100": Device(half_flops=989e12, full_flops=67e12, bandwidth=3.35e12),
    "h200": Device(half_flops=989e12, full_flops=67e12, bandwidth=4.8e12),
    "b200": Device(half_flops=2250e12, full_flops=75e12, bandwidth=8e12),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What of a model its speed depends on: ``kv_values`` are the numbers that a token's keys and values are."""

    parameters: float
    kv_values: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a job does.

    Args:
        generations: completions generated.
        generated_tokens: their tokens.
        prompt_tokens: of their prompts, shared prefixes counted each time.
        trained_tokens: prompt and completion tokens that a policy is updated on.
    """

    generations: float = 0.0
    generated_tokens: float = 0.0
    prompt_tokens: float = 0.0
    trained_tokens: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            generations=self.generations + other.generations,
            generated_tokens=self.generated_tokens + other.generated_tokens,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            trained_tokens=self.trained_tokens + other.trained_tokens,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A job's work, the hours it takes on a device, and what chat servers charge for it, in the prices' currency."""

    job: Job
    work: Work
    hours: float
    money: float = 0.0


def estimate(jobs: Iterable[Job], device: Device) -> list[Estimate]:
    """Work and hours of every job.

    Raises:
        ConfigError: the size of the plan's model is not known.
    """
    made = []
    for job in jobs:
        work = work_of(job)
        config = job.bench.config
        made.append(Estimate(job=job, work=work, hours=seconds(work, config, device) / 3600, money=money(work, config)))
    return made


def declared_size(bench: Bench, split: Split) -> int:
    """How many questions of a split a plan uses, without loading them: test sets of known size may hold fewer."""
    plan = bench.plan
    wanted = {"train": plan.fit_questions, "validation": plan.validation_questions, "test": plan.questions}[split]
    return min(wanted, TEST_QUESTIONS.get(bench.config.task.name, wanted)) if split == "test" else wanted


# work


def work_of(job: Job) -> Work:
    """What a job generates and trains on, at most."""
    config = job.bench.config
    if job.kind == "record":
        return generating(config, expansion(config.rules), job.size)
    if job.kind == "pool":
        models, plan = len(config.models), job.bench.plan
        reviewed = models * min(plan.reviewed_draws, plan.draws)
        return generating(config, Cost(proposals=models * plan.draws, reviews=reviewed * plan.reviews), job.size)
    if job.recipe is not None:
        return training(job.bench, job.recipe)
    return generating(config, METHODS[job.method].cost(job.bench.plan), job.size) if job.method else Work()


def generating(config: Config, cost: Cost, questions: float) -> Work:
    """Utterances of each kind at their expected lengths.

    An utterance has ``FILL`` of its role's limit. A prompt has ``QUESTION_TOKENS``, its own text at
    ``CHARACTERS_PER_TOKEN``, and the utterances that it shows.
    """
    prompts, limits = prompts_for(config.style, config.speakers.prompts, config.speakers.review), config.limits
    proposal, review = FILL * limits.proposer, FILL * limits.reviewer
    fresh = QUESTION_TOKENS + _own_text(prompts, Role.PROPOSER, None, None)
    reviewing = QUESTION_TOKENS + _own_text(prompts, Role.REVIEWER, "", None) + proposal
    revising = QUESTION_TOKENS + _own_text(prompts, Role.PROPOSER, "", "") + proposal + review
    return Work(
        generations=questions * (cost.proposals + cost.reviews + cost.revisions),
        generated_tokens=questions * ((cost.proposals + cost.revisions) * proposal + cost.reviews * review),
        prompt_tokens=questions * (cost.proposals * fresh + cost.reviews * reviewing + cost.revisions * revising),
    )


def training(bench: Bench, recipe: Recipe) -> Work:
    """Of every step: its questions expanded, and G − 1 further samples of every utterance on the played path.

    A path that learning controllers play speaks in half of its free rounds; the first ``answer_steps`` have dialogues
    of one round. Checkpoints expand validation questions of their own.
    """
    config = bench.training_config(recipe)
    schedule, credit, rules = Schedule.of(config), config.credit, config.rules
    checkpoints = sum(schedule.has_checkpoint(step) for step in range(1, schedule.steps + 1))
    work = generating(config, expansion(rules), checkpoints * config.evaluation.checkpoint_questions)
    for steps, own_rules, size in (
        (schedule.answer_steps, replace(rules, rounds=1), credit.answer_group_size or credit.group_size),
        (schedule.steps - schedule.answer_steps, rules, credit.group_size),
    ):
        questions, path = steps * schedule.questions_per_step, played(own_rules, recipe.behaviour)
        group = generating(config, path, questions * size)
        trained = Work(trained_tokens=group.prompt_tokens + group.generated_tokens)
        work += (
            generating(config, expansion(own_rules), questions)
            + generating(config, path, questions * (size - 1))
            + trained
        )
    return work


def expansion(rules: Rules) -> Cost:
    """Utterances of a fully expanded question: 2^(R−1) together."""
    tree = _silent_tree(rules)
    return _kinds(tree, [prefix for prefix, _ in tree.spoken()])


def played(rules: Rules, behaviour: Controller | None) -> Cost:
    """Utterances of a dialogue: a controller's, or the mean of those in which every free choice is a fair coin's."""
    tree = _silent_tree(rules)
    finals = tree.leaves() if behaviour is None else play([tree], behaviour)
    paths = [final.prefix for final in finals]
    spoken = [modes[:depth] for modes in paths for depth, mode in enumerate(modes) if mode == "1"]
    return _kinds(tree, spoken, dialogues=len(finals))


def _kinds(tree: Tree, prefixes: Sequence[str], *, dialogues: int = 1) -> Cost:
    """The utterances after each of the prefixes, by kind, per dialogue."""
    views = [view_of(tree.request(prefix).state, seed=0) for prefix in prefixes]
    reviews = sum(view.role is Role.REVIEWER for view in views)
    revisions = sum(view.role is Role.PROPOSER and view.review is not None for view in views)
    return Cost(
        proposals=(len(views) - reviews - revisions) / dialogues,
        reviews=reviews / dialogues,
        revisions=revisions / dialogues,
    )


def _silent_tree(rules: Rules) -> Tree:
    """A question expanded with speakers who all say the same nothing."""
    episode = Episode(question=Question(id="", text="", gold=""), seed=0)
    [tree] = expand([episode], rules, _Silent(), lambda answers, golds: [Grade.WRONG] * len(answers))
    return tree


class _Silent:
    def speak(self, requests: Sequence[SpeakRequest]) -> list[Utterance]:
        return [Utterance(text="", answer="", verdict=None) for _ in requests]


def _own_text(prompts: Prompts, role: Role, solution: str | None, review: str | None) -> float:
    """Tokens of a prompt without question, solution and review."""
    shown = prompts.messages(question="", role=role, solution=solution, review=review, answer_format="")
    return sum(len(message["content"]) for message in shown) / CHARACTERS_PER_TOKEN


# time


def seconds(work: Work, config: Config, device: Device) -> float:
    """How long work takes on a device, generating and training one after the other; 0 where only chat servers speak."""
    local = [(model_of(use.speakers.model), use.backend) for use in config.models if use.backend.trainable]
    if not local:
        return 0.0
    model, backend = max(local, key=lambda each: each[0].parameters)  # as if the team's largest spoke for everybody
    served = backend.served
    dtype = "bfloat16" if served else config.speakers.dtype
    generating = generation_seconds(
        work,
        model,
        device,
        dtype=dtype,
        batch=backend.under_way if served else backend.batch_size,
        step_seconds=STEP_SECONDS[backend.name],
    )
    references = 1.0 if config.gspo.kl else 0.0
    return generating + training_seconds(
        work.trained_tokens, model, device, dtype=config.speakers.dtype, references=references
    )


def money(work: Work, config: Config) -> float:
    """What chat servers charge for work: as if the dearest of the team's models there spoke for everybody."""
    remote = [prices_of(use.backend) for use in config.models if not use.backend.trainable]
    return max((prices.of(work.prompt_tokens, work.generated_tokens) for prices in remote), default=0.0)


def generation_seconds(
    work: Work, model: Model, device: Device, *, dtype: str, batch: int, step_seconds: float
) -> float:
    """Prefilling, then decoding in full batches of ``b`` rows with a mean context of ``c`` tokens.

    A forward pass takes 2 FLOP a parameter and token. Prefilling: ``2·P·prompt tokens / (FLOP/s · GENERATION_USE)``.
    A decoding step reads the weights once and every row's keys and values, ``bytes · (P + b·c·kv values)``, and takes
    the longest of: that over ``bandwidth · BANDWIDTH_USE``; ``2·P·b`` over ``FLOP/s · GENERATION_USE``; and
    ``step_seconds``. It gives ``b`` tokens.
    """
    if not work.generations:
        return 0.0
    flops = device.flops(dtype) * GENERATION_USE
    rows = min(float(batch), work.generations)
    context = (work.prompt_tokens + work.generated_tokens / 2) / work.generations
    read = _BYTES[dtype] * (model.parameters + rows * context * model.kv_values)
    step = max(read / (device.bandwidth * BANDWIDTH_USE), 2 * model.parameters * rows / flops, step_seconds)
    return 2 * model.parameters * work.prompt_tokens / flops + work.generated_tokens / rows * step


def training_seconds(tokens: float, model: Model, device: Device, *, dtype: str, references: float) -> float:
    """One pass to score, ``FORWARD_AND_BACKWARD`` to learn, and one more for each reference model.

    ``2·P·tokens·passes / (FLOP/s · TRAINING_USE)``; the optimiser's own steps are left out.
    """
    passes = 1 + FORWARD_AND_BACKWARD + references
    return 2 * model.parameters * tokens * passes / (device.flops(dtype) * TRAINING_USE)


@cache
def model_of(name: str) -> Model:
    """The size of a model: from its configuration where that is on this machine, else from its name.

    Raises:
        ConfigError: neither tells.
    """
    source = str(SHIPPED.get(name, name))
    try:
        config = AutoConfig.from_pretrained(source, local_files_only=True)
    except (OSError, ValueError):
        return _model_named(name)
    with torch.device("meta"):  # shapes without memory
        parameters = AutoModelForCausalLM.from_config(config).num_parameters()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Model(parameters=parameters, kv_values=2 * config.num_hidden_layers * heads * width)


def _model_named(name: str) -> Model:
    stated = _SIZE_IN_NAME.findall(Path(name).name)
    if not stated:
        raise ConfigError(
            f"speakers.model: the size of {name!r} is not known: its configuration is not on this machine and its name "
            "states none, as 7B would; give a local folder"
        )
    number, unit = stated[-1]
    parameters = float(number) * {"B": 1e9, "M": 1e6}[unit.upper()]
    return Model(parameters=parameters, kv_values=parameters * KV_BYTES_PER_PARAMETER / _BYTES["bfloat16"])
