"""Whose weights are whose: adapters leave the model and each other alone, and all of them can speak in one batch."""

import dataclasses
import shutil

import pytest
import torch
from torch import nn

from tracer_agents.build import load_policy
from tracer_agents.config import load_config
from tracer_agents.errors import GenerationFailed, RunError, TrainingDiverged
from tracer_agents.generation.adapters import LoraAdapters
from tracer_agents.generation.base import GenerationRequest
from tracer_agents.generation.transformers import TransformersBackend
from tracer_agents.generation.weights import Shelf, WholeModel
from tracer_env.errors import ConfigError

TEXT = "<|user|>Ana has 7 pens. How many pens does she have now?<|end|><|assistant|>"


@pytest.fixture
def policy(small_config):
    """A proposer and a reviewer that differ from each other and from the model."""
    return _moved(load_policy(small_config({"speakers.policy": "per_role", "speakers.lora_rank": 3})))


@pytest.fixture
def base(small_config):
    """The model that they are adapters of."""
    return load_policy(small_config())


def _moved(policy):
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name in policy.weights.names:
            for factor in policy.weights.parameters(name):
                factor.add_(0.1 * torch.randn(factor.shape, generator=generator))
    return policy


def _ids(policy) -> torch.Tensor:
    return torch.tensor([policy.tokenizer.encode(TEXT, add_special_tokens=False)])


def _logits(policy, name: str | None = None) -> torch.Tensor:
    with torch.no_grad(), policy.weights.active(name) if name else policy.weights.reference():
        return policy.model(_ids(policy)).logits


def _requests(policy, count: int = 24) -> list[GenerationRequest]:
    prompt = tuple(_ids(policy)[0].tolist())
    names = policy.weights.names
    return [
        GenerationRequest(prompt_ids=prompt, seed=row, max_new_tokens=16, policy=names[row % len(names)])
        for row in range(count)
    ]


def test_off_they_leave_the_model_bit_for_bit(policy, base):
    with torch.no_grad():
        expected = base.model(_ids(base)).logits
    assert torch.equal(_logits(policy), expected)
    for name in policy.weights.names:
        assert not torch.allclose(_logits(policy, name), expected, atol=1e-2)
    assert torch.equal(_logits(policy), expected)


def test_untrained_they_are_the_model(small_config, base):
    policy = load_policy(small_config({"speakers.lora_rank": 3}))
    assert policy.weights.names == ("shared",)
    assert torch.equal(_logits(policy, "shared"), _logits(policy))


def test_each_policy_has_factors_of_its_own_from_the_seed(small_config):
    def first_factors(seed: int) -> dict[str, torch.Tensor]:
        settings = {"speakers.policy": "per_agent_role", "speakers.lora_rank": 3, "seed": seed}
        torch.manual_seed(torch.seed() % 1000)  # the state of torch's own generator must not matter
        weights = load_policy(small_config(settings)).weights
        return {name: weights.parameters(name)[0] for name in weights.names}

    first, again, other = first_factors(0), first_factors(0), first_factors(1)
    assert list(first) == ["proposer_0", "reviewer_0", "proposer_1", "reviewer_1"]
    assert all(torch.equal(first[name], again[name]) for name in first)
    distinct = {tuple(factor.flatten().tolist()) for factor in [*first.values(), *other.values()]}
    assert len(distinct) == 8


def test_a_mixed_batch_says_what_separate_batches_say(policy):
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    requests = _requests(policy)
    mixed = backend.generate(requests)
    for name in policy.weights.names:
        rows = [row for row, request in enumerate(requests) if request.policy == name]
        alone = backend.generate([requests[row] for row in rows])
        assert [generation.output_ids for generation in alone] == [mixed[row].output_ids for row in rows]
        for generation, row in zip(alone, rows, strict=True):
            assert generation.logps == pytest.approx(mixed[row].logps, abs=3e-5)  # two single-precision passes
    swapped = [
        dataclasses.replace(request, policy=policy.weights.names[1 - row % 2]) for row, request in enumerate(requests)
    ]
    assert [row.output_ids for row in backend.generate(swapped)] != [row.output_ids for row in mixed]


def test_a_batch_leaves_the_policy_that_was_active_on(policy):
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    for count in (1, 4):
        with policy.weights.active("reviewer"):
            backend.generate(_requests(policy, count))
            assert torch.equal(policy.model(_ids(policy)).logits, _logits(policy, "reviewer"))
            trainable = [name for name, p in policy.model.named_parameters() if p.requires_grad]
        assert trainable
        assert all(".reviewer." in name for name in trainable)


def test_an_unknown_policy_is_named(policy):
    backend = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    request = dataclasses.replace(_requests(policy, 1)[0], policy="shared")
    with pytest.raises(
        GenerationFailed, match=r"no policy 'shared'; speakers\.policy makes \['proposer', 'reviewer'\]"
    ):
        backend.generate([request])


def test_merged_it_is_a_whole_model(policy, small_config, tmp_path):
    before = _logits(policy)
    policy.weights.export("reviewer", tmp_path)
    policy.tokenizer.save_pretrained(tmp_path)
    whole = load_policy(small_config({"speakers.model": str(tmp_path)}))
    with torch.no_grad():
        assert torch.allclose(whole.model(_ids(whole)).logits, _logits(policy, "reviewer"), atol=1e-4)
    assert torch.equal(_logits(policy), before)  # nothing was merged in place
    named = dict(policy.weights.merged("reviewer"))
    assert named.keys() == dict(whole.model.named_parameters()).keys()
    for name, parameter in whole.model.named_parameters():
        assert torch.equal(named[name], parameter)


def test_policies_share_no_prefix(policy, monkeypatch):
    """What several prompts of a policy begin with is computed once, with that policy's weights."""
    monkeypatch.setattr("tracer_agents.generation.decoding.prompts.LEAST_SHARED", 3)
    texts = [TEXT, TEXT.replace("7", "8"), TEXT.replace("now", "then"), TEXT.replace("Ana", "Bo")]
    requests = [
        GenerationRequest(
            prompt_ids=tuple(policy.tokenizer.encode(text, add_special_tokens=False)), seed=row, max_new_tokens=16,
            policy=name,
        )
        for row, text in enumerate(texts)
        for name in policy.weights.names
    ]  # fmt: skip
    engine = TransformersBackend(policy.weights, policy.tokenizer, pad_id=policy.pad_id)
    together = engine.generate(requests)
    alone = [engine.generate([request])[0] for request in requests]
    assert [each.output_ids for each in together] == [each.output_ids for each in alone]
    for one, other in zip(together, alone, strict=True):
        assert one.logps == pytest.approx(other.logps, abs=1e-4)


def test_a_checkpoint_holds_adapters_and_not_the_model(policy, small_config, tmp_path):
    policy.weights.save(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == [
        f"adapters/{name}/adapter_{file}"
        for name in policy.weights.names
        for file in ("config.json", "model.safetensors")
    ]
    again = load_policy(small_config({"speakers.policy": "per_role", "speakers.lora_rank": 3}), tmp_path)
    for name in policy.weights.names:
        assert torch.equal(_logits(again, name), _logits(policy, name))


def test_adapters_that_do_not_fit_are_refused(policy, small_config, tmp_path):
    policy.weights.save(tmp_path)
    for settings, message in (
        (
            {"speakers.policy": "per_role", "speakers.lora_rank": 4},
            r"proposer/.*lora_A.* has shape \[3, 64\], and \[4, 64\] under",
        ),
        ({"speakers.policy": "per_agent_role", "speakers.lora_rank": 3}, r"'proposer_0'"),
        (
            {"speakers.policy": "per_role", "speakers.lora_rank": 3, "speakers.lora_targets": ["q_proj"]},
            r"shape \[3, 64\], and None under",
        ),
    ):
        with pytest.raises(RunError, match=message):
            load_policy(small_config(settings), tmp_path)
    (tmp_path / "adapters" / "proposer" / "adapter_model.safetensors").write_bytes(b"torn")
    with pytest.raises(RunError, match="cannot be read as the adapter of 'proposer'"):
        load_policy(small_config({"speakers.policy": "per_role", "speakers.lora_rank": 3}), tmp_path)


def _of_roles(small_config, **settings):
    words = {"speakers.policy": "per_role", "speakers.lora_rank": 3, **settings}
    return load_policy(small_config({key.replace("__", "."): value for key, value in words.items()}))


def test_policies_begin_with_the_adapters_of_a_folder_and_the_others_as_the_model(policy, small_config, tmp_path):
    policy.weights.save(tmp_path)
    shutil.rmtree(tmp_path / "adapters" / "proposer")

    begun = _of_roles(small_config, speakers__adapters=str(tmp_path))
    by_agent = _of_roles(small_config, speakers__adapters=str(tmp_path), speakers__policy="per_agent_role")

    assert torch.equal(_logits(begun, "reviewer"), _logits(policy, "reviewer"))
    assert torch.equal(_logits(begun, "proposer"), _logits(policy))
    assert torch.equal(_logits(by_agent, "reviewer_1"), _logits(policy, "reviewer"))
    assert torch.equal(_logits(by_agent, "proposer_1"), _logits(policy))


def test_a_checkpoint_counts_more_than_what_adapters_began_with(policy, small_config, tmp_path):
    policy.weights.save(tmp_path / "begin")
    _moved(policy).weights.save(tmp_path / "checkpoint")
    settings = {"speakers.policy": "per_role", "speakers.lora_rank": 3, "speakers.adapters": str(tmp_path / "begin")}

    resumed = load_policy(small_config(settings), tmp_path / "checkpoint")

    assert torch.equal(_logits(resumed, "reviewer"), _logits(policy, "reviewer"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"speakers__lora_rank": 4, "speakers__lora_alpha": 6}, r"adapters: .*shape \[3, 64\], and \[4, 64\]"),
        ({"speakers__lora_alpha": 7}, r"speakers\.adapters: .*an alpha of 6, not 7"),
        ({"speakers__policy": "shared"}, r"speakers\.adapters: .*no adapter of shared"),
        ({"speakers__adapters": "nowhere"}, r"speakers\.adapters: nowhere has no adapter"),
        ({"speakers__lora_rank": None, "speakers__policy": "shared"}, r"adapters: without speakers\.lora_rank"),
    ],
)
def test_adapters_to_begin_with_that_cannot_be_had_are_refused(policy, small_config, tmp_path, settings, message):
    policy.weights.save(tmp_path)

    with pytest.raises(ConfigError, match=message):
        _of_roles(small_config, **{"speakers__adapters": str(tmp_path), **settings})


def test_the_shipped_reviewer_ranks_solutions_and_its_proposer_is_the_model():
    settings = {"speakers.policy": "per_role", "speakers.lora_rank": 8, "speakers.review": "verdict"}
    taught = load_policy(load_config(preset="demo", overrides={**settings, "speakers.adapters": "verdicts"}))
    plain = load_policy(load_config(preset="demo", overrides=settings))
    asked = (
        "<|user|>Finn has 95 shells. He buys 51 more. How many shells does he have now?<|end|><|assistant|>{}<|end|>"
    )

    def margin(policy, solution: str) -> float:
        text = asked.format(solution) + "<|user|>Verdict.<|end|><|assistant|>"
        ids = policy.tokenizer.encode(text, add_special_tokens=False)
        right, wrong = (policy.tokenizer.encode(word, add_special_tokens=False)[0] for word in ("RIGHT", "WRONG"))
        with torch.no_grad(), policy.weights.active("reviewer"):
            logits = policy.model(torch.tensor([ids])).logits[0, -1]
        return float(logits[right] - logits[wrong])

    worked, bare = "95+51=146\n#### 146", "#### 117"
    assert margin(taught, worked) > 1 > -1 > margin(taught, bare)  # bare answers are next to never right
    assert abs(margin(plain, worked) - margin(plain, bare)) < 1
    assert torch.equal(_logits(taught, "proposer"), _logits(plain, "proposer"))


def test_targets_that_the_model_does_not_have_are_named(small_config):
    with pytest.raises(ConfigError, match=r"speakers\.lora_targets: .*nowhere"):
        load_policy(small_config({"speakers.lora_rank": 3, "speakers.lora_targets": ["nowhere"]}))


def test_adapters_of_a_half_precision_model_are_in_single_precision(small_config):
    policy = load_policy(small_config({"speakers.lora_rank": 3, "speakers.dtype": "bfloat16"}))
    assert {factor.dtype for factor in policy.weights.parameters("shared")} == {torch.float32}
    assert isinstance(policy.weights, LoraAdapters)
    assert _logits(policy, "shared").dtype == torch.bfloat16


def test_a_shelf_gives_back_the_bits_it_took(tmp_path):
    parameters = [nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.randn(7).to(torch.bfloat16))]
    first = [parameter.detach().clone() for parameter in parameters]
    shelf = Shelf(parameters, tmp_path)
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) == 3 * 5 * 4 + 7 * 2
    with torch.no_grad():
        for parameter in parameters:
            parameter.mul_(2)
    second = [parameter.detach().clone() for parameter in parameters]
    for expected in (first, second, first, second):
        shelf.exchange(parameters)
        assert all(torch.equal(*pair) for pair in zip(parameters, expected, strict=True))


def test_a_whole_model_finds_back_to_its_beginnings_and_forth(base, tmp_path):
    weights = WholeModel(base.model, Shelf(list(base.model.parameters()), tmp_path))
    policy = dataclasses.replace(base, weights=weights)
    first = _logits(policy, "shared")
    with torch.no_grad():
        for parameter in base.model.parameters():
            parameter.mul_(1.1)
    second = _logits(policy, "shared")
    assert torch.equal(_logits(policy), first)
    assert torch.equal(_logits(policy, "shared"), second)
    assert not torch.equal(first, second)


def test_beginnings_that_were_not_kept_are_not_made_up(base):
    with pytest.raises(ValueError, match="the initial weights were not kept"):
        _logits(base)


@pytest.mark.parametrize("settings", [{}, {"speakers.lora_rank": 3}], ids=["whole", "adapters"])
@pytest.mark.parametrize("flaw", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_not_kept(small_config, tmp_path, settings, flaw):
    weights = load_policy(small_config(settings)).weights
    with torch.no_grad():
        weights.parameters("shared")[-1].flatten()[0] = flaw
    with pytest.raises(TrainingDiverged, match=r"are not finite.*speakers\.dtype: float32"):
        weights.save(tmp_path)
    assert list(tmp_path.iterdir()) == []
