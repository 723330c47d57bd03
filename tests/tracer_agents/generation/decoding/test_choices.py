"""One token out of a few: whose probabilities they are, and which one is sampled."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tracer_agents.build import load_policy
from tracer_agents.config import load_config
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.decoding import prompts
from tracer_agents.generation.decoding.choices import choose_among
from tracer_agents.generation.transformers import TransformersBackend
from tracer_env.dialogue import FinishReason

CHOICES = (5, 60)


@pytest.fixture(scope="module")
def policy(small_settings):
    return load_policy(load_config(overrides=small_settings))


def backend(policy, **settings):
    return TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id, **settings)


def asked(policy, row: int, **settings) -> GenerationRequest:
    text = f"<|user|>Ana has {row} pens{' and pencils' * (row % 4)}. How many?<|end|><|assistant|>"
    ids = tuple(policy.tokenizer.encode(text, add_special_tokens=False))
    return GenerationRequest(**{"prompt_ids": ids, "seed": row, "max_new_tokens": 9, "choices": CHOICES, **settings})


def by_hand(policy, request: GenerationRequest) -> list[float]:
    """Of the choices, from a plain forward pass of the prompt alone."""
    with torch.inference_mode():
        logits = policy.model(torch.tensor([request.prompt_ids])).logits[0, -1]
    return torch.log_softmax(logits.double(), -1)[list(request.choices)].tolist()


def test_choices_have_the_models_own_probabilities_in_any_company(policy):
    requests = [asked(policy, row) for row in range(12)]
    spoken = replace(asked(policy, 3), choices=(), max_new_tokens=6)
    mixed = backend(policy, batch_size=5).generate([*requests[:6], spoken, *requests[6:]])
    [alone] = backend(policy).generate([spoken])
    assert mixed.pop(6) == alone  # what speaks beside them is as it was
    for request, generation in zip(requests, mixed, strict=True):
        assert generation.choice_logps == pytest.approx(by_hand(policy, request), abs=1e-4)
        assert len(generation.output_ids) == 1
        assert generation.output_ids[0] in CHOICES
        assert generation.finish_reason is FinishReason.STOP
        assert generation.text == policy.tokenizer.decode(list(generation.output_ids), skip_special_tokens=True)
    assert alone.choice_logps == ()


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_the_token_is_sampled_among_the_choices(policy, temperature):
    requests = [replace(asked(policy, 1), seed=seed, temperature=temperature) for seed in range(400)]
    generations = backend(policy).generate(requests)
    logps = np.array(generations[0].choice_logps)
    assert {each.choice_logps for each in generations} == {tuple(logps)}  # one prompt, computed once
    scaled = logps / (temperature or 1.0)
    among = np.exp(scaled) / np.exp(scaled).sum()
    first = np.mean([each.output_ids[0] == CHOICES[0] for each in generations])
    if temperature == 0:
        assert first == (among[0] > among[1])
    else:
        assert first == pytest.approx(among[0], abs=4 * np.sqrt(among[0] * among[1] / 400) + 1e-9)
    for each in generations:
        assert each.logps == pytest.approx((np.log(among[CHOICES.index(each.output_ids[0])]),))


def test_a_choice_follows_from_the_seed_alone():
    logps = [-1.0, -2.0, -0.5]
    drawn = [choose_among(logps, seed, 1.0) for seed in range(50)]
    shifted = [choose_among([each - 7 for each in logps], seed, 1.0) for seed in range(50)]
    assert [place for place, _ in drawn] == [place for place, _ in shifted]  # a common constant changes nothing
    assert {place for place, _ in drawn} == {0, 1, 2}
    assert choose_among([-1.0, -1.0], 3, 0.0) == (0, pytest.approx(np.log(0.5)))


def test_one_token_is_all_the_room_that_a_choice_needs(policy):
    context = policy.model.config.max_position_embeddings
    ids = tuple([CHOICES[0]] * (context - 1))
    fits, longer = backend(policy).generate(
        [asked(policy, 0, prompt_ids=ids, max_new_tokens=99), asked(policy, 0, prompt_ids=(*ids, 5))]
    )
    assert len(fits.output_ids) == 1
    assert (longer.finish_reason, longer.output_ids, longer.choice_logps) == (FinishReason.TOO_LONG, (), ())


def test_a_model_without_movable_rows_gives_the_same_in_passes_of_bounded_size(policy, monkeypatch):
    requests = [asked(policy, row) for row in range(12)]
    expected = backend(policy).generate(requests)
    without = backend(policy)
    without._prefill = without._loop = None  # as for recurrent states
    longest, sizes = max(len(request.prompt_ids) for request in requests), []
    monkeypatch.setitem(prompts._TOKENS, "cpu", 3 * longest)
    watch = policy.model.register_forward_pre_hook(
        lambda model, inputs, named: sizes.append(tuple(named["input_ids"].shape)), with_kwargs=True
    )
    generations = without.generate(requests)
    watch.remove()
    for one, other in zip(generations, expected, strict=True):
        assert one.choice_logps == pytest.approx(other.choice_logps, abs=1e-4)
        assert one.output_ids == other.output_ids
    assert len(sizes) > 3
    assert max(rows * width for rows, width in sizes) <= 3 * longest
