"""The in-process engine: what a row says depends on the row alone, and its log-probabilities are the learner's."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tracer_agents.build import load_policy
from tracer_agents.config import GSPOConfig, load_config
from tracer_agents.errors import GenerationFailed
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.learners.batches import Sample, micro_batches
from tracer_agents.learners.policy import GSPOLearner
from tracer_env.dialogue import FinishReason, Role

LIMIT = 24


@pytest.fixture(scope="module")
def policy(small_settings):
    return load_policy(load_config(overrides=small_settings))


@pytest.fixture
def backend(policy):
    return lambda batch_size=64: TransformersBackend(
        policy.weights, policy.tokenizer, pad_id=policy.pad_id, batch_size=batch_size
    )


@pytest.fixture(scope="module")
def requests(policy) -> list[GenerationRequest]:
    """64 requests, of unlike prompts and limits; every eighth is greedy."""
    made = []
    for row in range(64):
        pencils = " and pencils" * (row % 4)
        text = f"<|user|>Ana has {row} pens{pencils}. How many pens does she have now?<|end|><|assistant|>"
        made.append(
            GenerationRequest(
                prompt_ids=tuple(policy.tokenizer.encode(text, add_special_tokens=False)),
                seed=1000 + row,
                max_new_tokens=LIMIT if row % 3 else 6,
                temperature={0: 0.0, 1: 0.7}.get(row % 8, 1.0),
            )
        )
    return made


@pytest.fixture(scope="module")
def generations(policy, requests):
    return TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id).generate(requests)


@pytest.mark.parametrize("batch_size", [1, 16, 64])
@pytest.mark.parametrize("order", ["as given", "reversed", "shuffled"])
def test_tokens_do_not_depend_on_the_batch(backend, requests, generations, batch_size, order):
    rows = {
        "as given": np.arange(64),
        "reversed": np.arange(64)[::-1],
        "shuffled": np.random.default_rng(0).permutation(64),
    }[order]
    got = backend(batch_size).generate([requests[row] for row in rows])
    assert [row.output_ids for row in got] == [generations[row].output_ids for row in rows]
    assert [generation.text for generation in got] == [generations[row].text for row in rows]
    for generation, row in zip(got, rows, strict=True):
        assert generation.logps == pytest.approx(generations[row].logps, abs=3e-5)  # two single-precision passes


@pytest.fixture
def shapes(policy, monkeypatch):
    """The (rows, tokens) of every forward pass."""
    seen: list[tuple[int, ...]] = []
    forward = policy.model.forward

    def watched(input_ids, **kwargs):
        seen.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, **kwargs)

    monkeypatch.setattr(policy.model, "forward", watched)
    return seen


def test_a_prompt_is_computed_once_however_many_ask_it(backend, requests, shapes):
    asked = [replace(requests[row % 3], seed=row, temperature=1.0) for row in range(24)]
    backend(10).generate(asked)
    assert sum(rows for rows, tokens in shapes if tokens > 1) == 3


def test_rows_that_have_ended_leave_and_waiting_rows_take_their_place(backend, requests, shapes):
    """40 rows of 2 tokens and 8 of 24: the short ones fit beside the long ones, in few more steps than those take."""
    asked = [replace(requests[1], seed=row, max_new_tokens=24 if row % 6 == 0 else 2) for row in range(48)]
    made = backend(16).generate(asked)
    steps = [rows for rows, tokens in shapes if tokens == 1]
    assert max(steps) <= 16
    needed = sum(len(row.output_ids) - 1 for row in made)  # the first token needs no step
    assert needed <= sum(steps) <= 1.3 * needed
    assert len(steps) < 3 * 24  # a batch of 16 that runs to its longest row, three times


def test_different_seeds_say_different_things(backend, requests):
    same = [GenerationRequest(prompt_ids=requests[1].prompt_ids, seed=seed, max_new_tokens=LIMIT) for seed in range(32)]
    assert len({row.output_ids for row in backend().generate(same)}) > 16


def test_log_probabilities_are_those_of_a_teacher_forced_pass(policy, requests, generations):
    at_one = [row for row, request in enumerate(requests) if request.temperature in (0.0, 1.0)]
    samples = [
        Sample(
            prompt_ids=generations[row].prompt_ids,
            output_ids=generations[row].output_ids,
            logps_engine=generations[row].logps,
            role=Role.PROPOSER,
            advantage=0.0,
        )
        for row in at_one
    ]
    learner = GSPOLearner(policy.weights, pad_id=policy.pad_id, config=GSPOConfig())
    device = torch.device("cpu")
    [batch] = micro_batches(samples, np.arange(len(samples)), pad_id=policy.pad_id, max_tokens=10**6, device=device)
    with torch.no_grad():
        difference = (learner.logps(batch) - batch.logp_engine).abs() * batch.mask
    assert batch.mask.sum() > 200
    assert difference.max() < 1e-5


def test_log_probabilities_are_at_the_sampling_temperature(policy, requests, generations):
    row = next(row for row, request in enumerate(requests) if request.temperature == 0.7)
    ids = generations[row].prompt_ids + generations[row].output_ids
    with torch.no_grad():
        logp = torch.log_softmax(policy.model(torch.tensor([ids])).logits[0] / 0.7, dim=-1)
    start = len(generations[row].prompt_ids)
    expected = [logp[place - 1, ids[place]].item() for place in range(start, len(ids))]
    assert generations[row].logps == pytest.approx(expected, abs=1e-5)


def test_end_token_belongs_to_what_stopped_by_itself(policy, requests, generations):
    end = policy.tokenizer.eos_token_id
    reasons = {generation.finish_reason for generation in generations}
    assert reasons == {"stop", "length"}
    for request, generation in zip(requests, generations, strict=True):
        assert end not in generation.output_ids[:-1]
        assert (generation.output_ids[-1] == end) == (generation.finish_reason == "stop")
        assert len(generation.logps) == len(generation.output_ids) <= request.max_new_tokens
        if generation.finish_reason == "length":
            assert len(generation.output_ids) == request.max_new_tokens
        assert "<|end|>" not in generation.text


def test_greedy_rows_take_the_likeliest_token(policy, requests, generations):
    for row in range(0, 64, 8):
        ids = generations[row].prompt_ids + generations[row].output_ids
        with torch.no_grad():
            likeliest = policy.model(torch.tensor([ids])).logits[0].argmax(-1)
        start = len(requests[row].prompt_ids)
        assert list(ids[start:]) == likeliest[start - 1 : -1].tolist()


def test_greedy_rows_ignore_their_seed(backend, requests):
    both = [
        GenerationRequest(prompt_ids=requests[0].prompt_ids, seed=seed, max_new_tokens=9, temperature=0)
        for seed in (1, 2)
    ]
    first, second = backend().generate(both)
    assert first.output_ids == second.output_ids


def test_sampled_first_tokens_follow_the_model(policy, backend):
    """Pearson's statistic over the likely tokens of one prompt, 3,000 seeds, stays below its 99.99% quantile."""
    prompt = tuple(policy.tokenizer.encode("<|user|>Ana has 7 pens.<|end|><|assistant|>", add_special_tokens=False))
    asked = [GenerationRequest(prompt_ids=prompt, seed=seed, max_new_tokens=1) for seed in range(3000)]
    seen = np.bincount([row.output_ids[0] for row in backend(1000).generate(asked)], minlength=len(policy.tokenizer))
    with torch.no_grad():
        chance = torch.softmax(policy.model(torch.tensor([prompt])).logits[0, -1].double(), -1).numpy()
    likely = chance * 3000 >= 5
    expected = np.append(chance[likely], chance[~likely].sum()) * 3000
    observed = np.append(seen[likely], seen[~likely].sum())
    assert likely.sum() >= 3
    assert ((observed - expected) ** 2 / expected).sum() < likely.sum() + 6 * np.sqrt(2 * likely.sum()) + 8


def test_the_models_own_sampling_settings_change_nothing(small_config, requests, generations):
    """Chat models ship with repetition penalties and the like: the policy that is trained has none."""
    policy = load_policy(small_config())
    settings = policy.model.generation_config
    assert settings is not None
    settings.repetition_penalty, settings.no_repeat_ngram_size, settings.suppress_tokens = 1.8, 2, [5, 6]
    settings.temperature, settings.top_k, settings.top_p, settings.min_new_tokens = 0.3, 2, 0.5, 5
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    assert [row.output_ids for row in backend.generate(requests)] == [row.output_ids for row in generations]


def test_every_end_token_of_the_model_ends_a_completion(small_config, policy, requests, generations):
    """Chat models may have several end tokens; the completion is cut at whichever comes first."""
    other = load_policy(small_config())
    eight = policy.tokenizer.encode("8", add_special_tokens=False)[0]
    other.model.generation_config.eos_token_id = [policy.tokenizer.eos_token_id, eight]
    backend = TransformersBackend(other.weights, other.tokenizer, pad_id=other.pad_id)
    cut = 0
    for generation, whole in zip(backend.generate(requests), generations, strict=True):
        end = whole.output_ids.index(eight) + 1 if eight in whole.output_ids else len(whole.output_ids)
        assert generation.output_ids == whole.output_ids[:end]
        cut += end < len(whole.output_ids)
    assert cut > 0


def test_generations_carry_the_label_of_their_weights(backend, requests):
    engine = backend()
    assert engine.generate(requests[:1])[0].policy_version == 0
    engine.sync(7)
    assert engine.generate(requests[:1])[0].policy_version == 7


def test_nothing_asked_nothing_generated(backend):
    assert backend().generate([]) == []


def test_a_row_that_does_not_fit_is_told_apart_and_the_others_are_generated(backend, requests, generations):
    long = GenerationRequest(prompt_ids=(5,) * 500, seed=0, max_new_tokens=13)
    first, second, third = backend().generate([requests[0], long, requests[1]])
    assert (second.finish_reason, second.output_ids, second.logps, second.text) == (FinishReason.TOO_LONG, (), (), "")
    assert [first.output_ids, third.output_ids] == [row.output_ids for row in generations[:2]]
    [fits] = backend().generate([replace(long, max_new_tokens=12)])
    assert fits.finish_reason is not FinishReason.TOO_LONG


def test_log_probabilities_that_are_no_numbers_are_refused(small_config, requests):
    broken = load_policy(small_config())
    with torch.no_grad():
        next(broken.model.parameters()).fill_(float("nan"))
    backend = TransformersBackend(broken.weights, broken.tokenizer, pad_id=broken.pad_id)
    with pytest.raises(GenerationFailed, match=r"not finite in float32.*speakers\.dtype"):
        backend.generate(requests[:2])


def test_tokens_do_not_depend_on_what_prompts_share(policy, backend, requests, generations, monkeypatch):
    """The template, the name and the number are computed once for many; choices, too."""
    monkeypatch.setattr("tracer_agents.generation.decoding.prompts.LEAST_SHARED", 3)
    shared = backend(16).generate(requests)
    assert [each.output_ids for each in shared] == [each.output_ids for each in generations]
    for one, other in zip(shared, generations, strict=True):
        assert one.logps == pytest.approx(other.logps, abs=1e-4)
    choosing = [replace(request, choices=(5, 60)) for request in requests]
    chosen = backend(16).generate(choosing)
    monkeypatch.setattr("tracer_agents.generation.decoding.prompts.LEAST_SHARED", 10**6)
    whole = backend(16).generate(choosing)
    for one, other in zip(chosen, whole, strict=True):
        assert one.choice_logps == pytest.approx(other.choice_logps, abs=1e-4)
    assert chosen != whole  # the last bits: it was another computation
