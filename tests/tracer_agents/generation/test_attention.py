"""Widths of padded batches."""

import pytest
import torch

from tracer_agents.generation.attention import safe_width


@pytest.mark.parametrize(("width", "on_a_gpu"), [(1, 8), (8, 8), (97, 104), (193, 200), (200, 200)])
def test_gpus_are_spared_the_widths_at_which_a_kernel_errs(width, on_a_gpu):
    assert safe_width(width, torch.device("cuda")) == on_a_gpu
    assert safe_width(width, torch.device("cpu")) == width


def test_no_width_is_one_more_than_a_multiple_of_32():
    assert not {safe_width(width, torch.device("cuda")) % 32 for width in range(1, 300)} & {1}
