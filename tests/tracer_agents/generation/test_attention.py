"""Widths of padded batches; attention of single tokens."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tracer_agents.generation.attention import grouped_queries, safe_width


@pytest.mark.parametrize(("width", "on_a_gpu"), [(1, 8), (8, 8), (97, 104), (193, 200), (200, 200)])
def test_gpus_are_spared_the_widths_at_which_a_kernel_errs(width, on_a_gpu):
    assert safe_width(width, torch.device("cuda")) == on_a_gpu
    assert safe_width(width, torch.device("cpu")) == width


def test_no_width_is_one_more_than_a_multiple_of_32():
    assert not {safe_width(width, torch.device("cuda")) % 32 for width in range(1, 300)} & {1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@torch.no_grad()
def test_heads_that_share_a_key_say_the_same_as_so_many_queries(kind, dtype):
    shape = {
        "vocab_size": 40,
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "intermediate_size": 32,
    }
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **shape), attn_implementation="sdpa")
    model = model.eval().to(dtype)
    ids = torch.randint(1, 40, (3, 9))
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[2, :1] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)

    def step() -> torch.Tensor:
        before = model(input_ids=ids[:, :8], attention_mask=mask[:, :8], position_ids=positions[:, :8], use_cache=True)
        cache, last = before.past_key_values, positions[:, 8:]
        return model(input_ids=ids[:, 8:], attention_mask=mask, position_ids=last, past_key_values=cache).logits

    plain, widths = step(), []
    sdpa = torch.nn.functional.scaled_dot_product_attention

    def watched(query, *args, **kwargs):
        widths.append(tuple(query.shape[1:3]))
        return sdpa(query, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch, grouped_queries(torch.device("cpu")):
        patch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
        grouped = step()
    assert widths == [(6, 8), (6, 8), (2, 3), (2, 3)]  # (heads, queries) of two layers: a prompt, then one token
    torch.testing.assert_close(grouped, plain, atol=1e-5 if dtype == torch.float32 else 2e-2, rtol=0)
    torch.testing.assert_close(step(), plain, atol=0, rtol=0)  # and sdpa is as it was
