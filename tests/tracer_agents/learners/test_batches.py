"""The layout of samples: what is padded, masked and kept together."""

import numpy as np
import pytest
import torch

from tracer_agents.learners.batches import Sample, micro_batches
from tracer_env.dialogue import Role

CPU = torch.device("cpu")


def sample(prompt: int, output: int, first: int = 10) -> Sample:
    ids = tuple(range(first, first + prompt + output))
    return Sample(
        prompt_ids=ids[:prompt],
        output_ids=ids[prompt:],
        logps_engine=tuple(-0.1 * t for t in range(output)),
        role=Role.PROPOSER,
        advantage=1.0,
    )


def test_prompts_are_padded_left_and_completions_right():
    [batch] = micro_batches([sample(2, 1), sample(1, 3, 50)], np.array([0, 1]), pad_id=0, max_tokens=99, device=CPU)
    assert batch.rows.tolist() == [0, 1]
    assert batch.input_ids.tolist() == [[10, 11, 12, 0, 0], [0, 50, 51, 52, 53]]
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0, 0], [0, 1, 1, 1, 1]]
    assert batch.mask.tolist() == [[1, 0, 0], [1, 1, 1]]
    assert batch.targets.tolist() == [[12, 0, 0], [51, 52, 53]]
    assert batch.logp_engine[1].tolist() == pytest.approx([0.0, -0.1, -0.2])


def test_every_row_is_laid_out_once_within_the_limit():
    rng = np.random.default_rng(0)
    samples = [sample(int(p), int(o)) for p, o in rng.integers(1, 30, (40, 2))]
    rows = np.arange(3, 40)
    batches = micro_batches(samples, rows, pad_id=0, max_tokens=120, device=CPU)
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == rows.tolist()
    assert all(batch.input_ids.numel() <= 120 for batch in batches)
    assert len(batches) < len(rows)


def test_a_sample_longer_than_the_limit_travels_alone():
    batches = micro_batches(
        [sample(9, 9), sample(1, 1), sample(1, 1)], np.arange(3), pad_id=0, max_tokens=8, device=CPU
    )
    assert [batch.rows.tolist() for batch in batches] == [[1, 2], [0]]


def test_no_rows_no_batches():
    assert micro_batches([], np.arange(0), pad_id=0, max_tokens=8, device=CPU) == []


def test_on_a_gpu_prompts_are_padded_further():
    meta = torch.device("meta")  # laid out like a GPU's, without one
    batches = micro_batches([sample(20, 13), sample(9, 4)], np.arange(2), pad_id=0, max_tokens=80, device=meta)
    assert [tuple(batch.input_ids.shape) for batch in batches] == [(2, 40)]
    assert tuple(batches[0].mask.shape) == (2, 13)
    alone = micro_batches([sample(20, 13), sample(9, 4)], np.arange(2), pad_id=0, max_tokens=79, device=meta)
    assert [tuple(batch.input_ids.shape) for batch in alone] == [(1, 16), (1, 40)]
