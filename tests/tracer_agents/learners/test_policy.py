"""The learner's gradient against a slow reference written from the equations of arXiv 2507.18071.

The reference works in float64, one sequence at a time and without padding, and never builds the clipped
objective: it sums the policy gradient of equation 10 over the sequences that the clip leaves alone.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_pre_hook
from transformers import GPT2Config, GPT2LMHeadModel

from tracer_agents.config import GSPOConfig
from tracer_agents.errors import TrainingDiverged
from tracer_agents.generation.weights import Shelf, WholeModel
from tracer_agents.learners.batches import Sample
from tracer_agents.learners.policy import GSPOLearner, GSPOStats
from tracer_env.dialogue import Role
from tracer_env.seeding import stream

PAD, END = 0, 1
CONFIG = GSPOConfig(
    learning_rate=0.02,
    clip_low=0.004,
    clip_high=0.006,
    optimiser_steps=3,
    max_gradient_norm=1e9,
    micro_batch_tokens=60,
)


@dataclass(frozen=True)
class Rules:
    """What the reference does; each other value is a mistake that must show."""

    mean_over_tokens: bool = True
    clip: bool = True
    padding_counts: bool = False
    end_token: bool = True
    per_role: bool = True


@dataclass
class Step:
    parameters: list[torch.Tensor]
    gradient: torch.Tensor  # all parameters' gradients, one vector


@pytest.fixture
def model() -> GPT2LMHeadModel:
    """Computes in float64 throughout (a Llama's norms would not) and knows absolute positions: padding could show."""
    torch.manual_seed(1)
    config = GPT2Config(
        vocab_size=23, n_embd=16, n_layer=2, n_head=2, n_positions=64, pad_token_id=PAD, bos_token_id=END,
        eos_token_id=END, attn_implementation="eager",
    )  # fmt: skip
    return GPT2LMHeadModel(config).double().eval()


@pytest.fixture
def samples() -> list[Sample]:
    """Three groups of unlike lengths: two of proposals, one of reviews."""
    rng = np.random.default_rng(5)
    made = []
    for prompt, role, size in ((7, Role.PROPOSER, 8), (3, Role.REVIEWER, 6), (12, Role.PROPOSER, 7)):
        prompt_ids = tuple(rng.integers(2, 23, prompt).tolist())
        advantages = rng.normal(size=size)
        for advantage in advantages - advantages.mean():
            output = (*rng.integers(2, 23, rng.integers(0, 9)).tolist(), END)
            made.append(
                Sample(
                    prompt_ids=prompt_ids,
                    output_ids=output,
                    logps_engine=tuple((-rng.random(len(output))).tolist()),
                    role=role,
                    advantage=float(advantage),
                )
            )
    return made


def taken_steps(model, samples, config=CONFIG, initial: Shelf | None = None) -> tuple[list[Step], GSPOStats]:
    """Lets the learner work, and keeps the weights and the gradient it had at every optimiser step."""
    steps: list[Step] = []

    def keep(optimiser, args, kwargs) -> None:
        parameters = [p for group in optimiser.param_groups for p in group["params"]]
        steps.append(Step([p.detach().clone() for p in parameters], torch.cat([p.grad.flatten() for p in parameters])))

    hook = register_optimizer_step_pre_hook(keep)
    try:
        stats = GSPOLearner(WholeModel(model, initial), pad_id=PAD, config=config).update(
            samples, stream(0, "minibatches")
        )
    finally:
        hook.remove()
    return steps, stats


def minibatches(samples, config=CONFIG) -> Iterator[list[Sample]]:
    for part in np.array_split(stream(0, "minibatches").permutation(len(samples)), config.optimiser_steps):
        yield [samples[row] for row in part]


def log_probabilities(model, sample: Sample) -> list[torch.Tensor]:
    """log π(y_t | x, y_<t), one token at a time, from equation 1 of softmax."""
    ids = sample.prompt_ids + sample.output_ids
    logits = model(input_ids=torch.tensor([ids])).logits[0]
    logps = []
    for t, token in enumerate(sample.output_ids):
        row = logits[len(sample.prompt_ids) + t - 1]
        logps.append(row[token] - torch.log(torch.exp(row).sum()))
    return logps


def reference_gradient(old, now, minibatch: list[Sample], rules: Rules, config=CONFIG) -> torch.Tensor:
    """−∇J, with J the sum over roles of the mean over the role's sequences of min(s·A, clip(s)·A)."""
    parameters = list(now.parameters())
    total = torch.zeros(sum(p.numel() for p in parameters), dtype=torch.float64)
    longest = max(len(sample.output_ids) for sample in minibatch)
    for sample in minibatch:
        if not rules.end_token:
            if len(sample.output_ids) == 1:
                continue
            sample = replace(sample, output_ids=sample.output_ids[:-1])
        logps = log_probabilities(now, sample)
        with torch.no_grad():
            olds = log_probabilities(old, sample)
        length = longest if rules.padding_counts else len(logps) if rules.mean_over_tokens else 1
        ratio = math.exp(sum(new.item() - before.item() for new, before in zip(logps, olds, strict=True)) / length)
        peers = sum(other.role is sample.role or not rules.per_role for other in minibatch)
        above = sample.advantage > 0 and ratio > 1 + config.clip_high
        below = sample.advantage < 0 and ratio < 1 - config.clip_low
        if rules.clip and (above or below):
            continue
        slopes = torch.autograd.grad(sum(logps), parameters, allow_unused=True)
        flat = torch.cat(
            [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(parameters, slopes, strict=True)]
        )
        total -= ratio * sample.advantage / length / peers * flat
    return total


def reference_gradients(model, steps, samples, rules: Rules = Rules(), config=CONFIG) -> list[torch.Tensor]:
    old, now = copy.deepcopy(model), copy.deepcopy(model)
    gradients = []
    for step, minibatch in zip(steps, minibatches(samples, config), strict=True):
        with torch.no_grad():
            for mine, learned in zip(now.parameters(), step.parameters, strict=True):
                mine.copy_(learned)
        gradients.append(reference_gradient(old, now, minibatch, rules, config))
    return gradients


def relative_error(gradient: torch.Tensor, reference: torch.Tensor) -> float:
    return float((gradient - reference).norm() / reference.norm())


def worst_error(steps: list[Step], references: list[torch.Tensor]) -> float:
    return max(relative_error(step.gradient, reference) for step, reference in zip(steps, references, strict=True))


def test_gradient_equals_the_reference(model, samples):
    before = copy.deepcopy(model)
    steps, stats = taken_steps(model, samples)
    assert 0.1 < stats.clip_fraction < 0.9  # clipped and unclipped sequences
    assert stats.sequences == len(samples)
    assert worst_error(steps, reference_gradients(before, steps, samples)) < 1e-6


@pytest.mark.parametrize(
    "mistake",
    [
        Rules(mean_over_tokens=False),
        Rules(clip=False),
        Rules(padding_counts=True),
        Rules(end_token=False),
        Rules(per_role=False),
    ],
    ids=["sum over tokens", "no clip", "padding counts", "no end token", "mean over all roles"],
)
def test_a_mistake_in_the_loss_would_show(model, samples, mistake):
    before = copy.deepcopy(model)
    steps, _ = taken_steps(model, samples)
    assert worst_error(steps, reference_gradients(before, steps, samples, mistake)) > 1e-2


@pytest.mark.parametrize("tokens", [1, 40, 100_000], ids=["alone", "a few together", "all together"])
def test_micro_batches_and_padding_change_nothing(model, samples, tokens):
    once = CONFIG.model_copy(update={"optimiser_steps": 1})
    [expected], _ = taken_steps(copy.deepcopy(model), samples, once)
    [step], _ = taken_steps(model, samples, once.model_copy(update={"micro_batch_tokens": tokens}))
    assert relative_error(step.gradient, expected.gradient) < 1e-12


def test_grpo_parts_from_gspo_when_ratios_part(model, samples):
    """At ratio 1 both have the gradient of the plain mean; afterwards GRPO weighs each token by its own ratio."""
    wide = CONFIG.model_copy(update={"clip_low": 0.99, "clip_high": 99.0})
    expected, _ = taken_steps(copy.deepcopy(model), samples, wide)
    steps, stats = taken_steps(model, samples, wide.model_copy(update={"loss": "grpo"}))
    assert relative_error(steps[0].gradient, expected[0].gradient) < 1e-9
    assert relative_error(steps[-1].gradient, expected[-1].gradient) > 1e-3
    assert stats.clip_fraction == 0


def test_grpo_reports_the_share_of_clipped_tokens(model, samples):
    _, sequences = taken_steps(copy.deepcopy(model), samples)
    _, tokens = taken_steps(model, samples, CONFIG.model_copy(update={"loss": "grpo"}))
    assert 0 < tokens.clip_fraction < 1
    assert tokens.clip_fraction != sequences.clip_fraction


def test_naming_grpo_is_enough_to_clip_as_grpo_does(model, samples):
    """Ratios that GSPO's range of 3e-4 would cut stay within GRPO's 0.2."""
    unset = CONFIG.model_copy(update={"clip_low": None, "clip_high": None, "learning_rate": 1e-3})
    _, gspo = taken_steps(copy.deepcopy(model), samples, unset)
    _, grpo = taken_steps(model, samples, unset.model_copy(update={"loss": "grpo"}))
    assert gspo.clip_fraction > 0.1
    assert grpo.clip_fraction == 0


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_first_ratio_is_one(model, samples, precision):
    _, stats = taken_steps(model.to(precision), samples)
    assert stats.ratio_first_deviation < 1e-6
    assert stats.ratio_max_deviation > 1e-3


def test_clipping_starts_only_when_the_ratio_has_moved(model, samples):
    _, stats = taken_steps(model, samples, CONFIG.model_copy(update={"optimiser_steps": 1}))
    assert stats.clip_fraction == 0
    assert stats.ratio_max_deviation < 1e-6


def test_each_role_has_a_mean_of_its_own(model, samples):
    """Twice the reviews, the same ones, leave the gradient where it was."""
    once = CONFIG.model_copy(update={"optimiser_steps": 1})
    reviews = [sample for sample in samples if sample.role is Role.REVIEWER]
    [expected], _ = taken_steps(copy.deepcopy(model), samples, once)
    [step], _ = taken_steps(model, samples + reviews, once)
    assert relative_error(step.gradient, expected.gradient) < 1e-9


def test_empty_minibatches_are_skipped_and_counted(model, samples):
    steps, stats = taken_steps(model, samples[:2], CONFIG.model_copy(update={"optimiser_steps": 5}))
    assert (len(steps), stats.optimiser_steps, stats.skipped_minibatches) == (2, 2, 3)
    assert stats.sequences == 2


def test_nothing_to_learn_from_leaves_the_weights_alone(model):
    before = copy.deepcopy(model)
    steps, stats = taken_steps(model, [])
    assert steps == []
    assert (stats.sequences, stats.optimiser_steps, stats.skipped_minibatches) == (0, 0, CONFIG.optimiser_steps)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), model.parameters(), strict=True))


def _with_a_flaw(samples: list[Sample], rows: set[int]) -> list[Sample]:
    """In these rows the engine's log-probability of the first token is not a number, which the loss then is not."""
    return [
        replace(sample, logps_engine=(math.nan, *sample.logps_engine[1:])) if row in rows else sample
        for row, sample in enumerate(samples)
    ]


WEIGHTED = CONFIG.model_copy(update={"importance_cap": 2.0})


def test_a_minibatch_that_is_not_finite_is_refused_and_counted_and_the_others_are_learned_from(model, samples):
    steps, stats = taken_steps(model, _with_a_flaw(samples, {0}), WEIGHTED)
    assert (len(steps), stats.optimiser_steps, stats.refused_minibatches) == (2, 2, 1)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    figures = [value for value in asdict(stats).values() if value is not None]
    assert all(math.isfinite(figure) for figure in figures)
    assert 0 < stats.sequences < len(samples)


def test_training_stops_when_nothing_is_finite_any_more(model, samples):
    before = copy.deepcopy(model)
    with pytest.raises(TrainingDiverged, match=r"not finite in 3 minibatches.*float64.*gspo\.learning_rate"):
        taken_steps(model, _with_a_flaw(samples, set(range(len(samples)))), WEIGHTED)
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), model.parameters(), strict=True))


def test_the_remedy_in_half_precision_is_another_precision(model, samples):
    flawed = _with_a_flaw(samples, set(range(len(samples))))
    with pytest.raises(TrainingDiverged, match=r"float16.*speakers\.dtype: float32"):
        taken_steps(model.half(), flawed, WEIGHTED)


def test_gradient_norm_is_clipped(model, samples):
    steps, stats = taken_steps(model, samples, CONFIG.model_copy(update={"max_gradient_norm": 1e-3}))
    assert all(float(step.gradient.norm()) == pytest.approx(1e-3, rel=1e-2) for step in steps)
    assert stats.gradient_norm > 1e-2  # reported as it was before


def _engine_off_by(model, samples, shift: Callable[[int], float]) -> list[Sample]:
    """The samples as an engine would have recorded them that is ``shift(row)`` nats a token below the learner."""
    with torch.no_grad():
        return [
            replace(sample, logps_engine=tuple(float(logp) - shift(row) for logp in log_probabilities(model, sample)))
            for row, sample in enumerate(samples)
        ]


def test_difference_to_the_engine_is_reported(model, samples):
    _, stats = taken_steps(model, _engine_off_by(model, samples, lambda row: 0.25 if row == 3 else 0.0))
    tokens = sum(len(sample.output_ids) for sample in samples)
    assert stats.engine_logp_difference == pytest.approx(0.25 * len(samples[3].output_ids) / tokens, rel=1e-4)
    assert stats.engine_logp_difference_max == pytest.approx(0.25, rel=1e-4)


def test_kl_term_has_its_gradient(model, samples, tmp_path):
    """Towards the weights before training, which are not those before this batch."""
    config = CONFIG.model_copy(update={"kl": 0.5, "clip_low": 0.99, "clip_high": 99.0})
    first = copy.deepcopy(model)
    initial = Shelf(list(model.parameters()), tmp_path)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.02)
    before = copy.deepcopy(model)
    steps, stats = taken_steps(model, samples, config, initial)
    references = reference_gradients(before, steps, samples, config=config)
    now = copy.deepcopy(before)
    terms = []
    for step, minibatch in zip(steps, minibatches(samples, config), strict=True):
        with torch.no_grad():
            for mine, learned in zip(now.parameters(), step.parameters, strict=True):
                mine.copy_(learned)
        terms.append(_kl_gradient(first, now, minibatch))
    expected = [reference + config.kl * term for reference, term in zip(references, terms, strict=True)]
    assert worst_error(steps, expected) < 1e-6
    assert worst_error(steps, references) > 1e-3  # without the term it would show
    assert stats.kl is not None
    assert stats.kl > 0


def _kl_gradient(first, now, minibatch: list[Sample]) -> torch.Tensor:
    """Of Σ over roles of the mean over the role's sequences of the mean of r − log r − 1, one sequence at a time."""
    total = torch.zeros((), dtype=torch.float64)
    for sample in minibatch:
        with torch.no_grad():
            initial = log_probabilities(first, sample)
        ratios = [before - new for before, new in zip(initial, log_probabilities(now, sample), strict=True)]
        peers = sum(other.role is sample.role for other in minibatch)
        total = total + sum(r.exp() - r - 1 for r in ratios) / len(ratios) / peers
    slopes = torch.autograd.grad(total, list(now.parameters()), allow_unused=True)
    return torch.cat(
        [torch.zeros(p.numel()) if g is None else g.flatten() for p, g in zip(now.parameters(), slopes, strict=True)]
    )


def test_importance_weights_scale_sequences_up_to_the_cap(model, samples):
    """An engine that is off by log 2 doubles every weight; by log 8, it meets the cap."""
    once = CONFIG.model_copy(update={"optimiser_steps": 1, "importance_cap": 3.0})
    exact = _engine_off_by(model, samples, lambda row: 0.0)
    [expected], _ = taken_steps(copy.deepcopy(model), exact, once)
    for nats, factor in ((math.log(2), 2.0), (math.log(8), 3.0)):
        shifted = _engine_off_by(model, samples, lambda row, nats=nats: nats)
        [step], _ = taken_steps(copy.deepcopy(model), shifted, once)
        assert relative_error(step.gradient, factor * expected.gradient) < 1e-6


def test_a_sequence_that_the_engine_did_not_sample_so_is_masked_and_counted(model, samples):
    """Too likely and too unlikely alike, beside the truncated weight; the others' share stays what it was."""
    once = CONFIG.model_copy(update={"optimiser_steps": 1})
    bound = once.model_copy(update={"sequence_mask": 2.0, "importance_cap": 1.5})
    [whole], _ = taken_steps(copy.deepcopy(model), _engine_off_by(model, samples, lambda row: 0.0), once)
    off = {3: math.log(2.1), 7: -math.log(2.1), 9: math.log(1.9), 10: -math.log(1.9)}
    shifted = _engine_off_by(model, samples, lambda row: off.get(row, 0.0))
    [step], stats = taken_steps(copy.deepcopy(model), shifted, bound)
    assert (stats.masked_sequences, stats.sequences) == (2, len(samples))
    weights = {3: 0.0, 7: 0.0, 9: 1.5, 10: 1 / 1.9}
    # A sequence's part of the gradient is proportional to its advantage.
    weighted = [
        replace(sample, advantage=sample.advantage * weights.get(row, 1.0)) for row, sample in enumerate(samples)
    ]
    [expected], _ = taken_steps(copy.deepcopy(model), weighted, once)
    assert relative_error(step.gradient, expected.gradient) < 1e-6
    assert relative_error(step.gradient, whole.gradient) > 1e-2  # it would show


def test_a_batch_of_a_single_step_is_scored_by_the_pass_that_learns(model, samples):
    """Its ratio is 1 whatever was scored before; with several steps all minibatches are scored first."""
    for steps, passes in ((1, 1), (3, 2)):
        calls: list[int] = []
        once = CONFIG.model_copy(update={"optimiser_steps": steps, "micro_batch_tokens": 10**6})
        twin = copy.deepcopy(model)
        twin.register_forward_pre_hook(
            lambda module, inputs, named, calls=calls: calls.append(len(named["input_ids"])), with_kwargs=True
        )
        _, stats = taken_steps(twin, _engine_off_by(model, samples, lambda row: 0.1), once)
        assert sum(calls) == passes * len(samples)
        assert stats.engine_logp_difference == pytest.approx(0.1, rel=1e-4)
        assert stats.ratio_first_deviation < 1e-12


def test_optimiser_state_survives_a_round_trip(model, samples, tmp_path):
    config = CONFIG.model_copy(update={"optimiser_steps": 2})
    whole = GSPOLearner(WholeModel(model), pad_id=PAD, config=config)
    whole.update(samples, stream(0, 1))
    whole.save(tmp_path)
    twin = copy.deepcopy(model)
    again = GSPOLearner(WholeModel(twin), pad_id=PAD, config=config)
    again.load(tmp_path)
    for learner in (whole, again):
        learner.update(samples, stream(0, 2))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), twin.parameters(), strict=True))
