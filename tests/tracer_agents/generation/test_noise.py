"""How a row's uniforms choose its tokens."""

import numpy as np
import pytest
import torch

from tracer_agents.generation.decoding.sampling import RowNoise, invert_cdf

ALMOST_ONE = 1 - 2.0**-53


def choose(probabilities: list[float], *uniforms: float) -> list[int]:
    logp = torch.tensor(probabilities, dtype=torch.float32).log().expand(len(uniforms), -1)
    return invert_cdf(logp, torch.tensor(uniforms, dtype=torch.float64)).tolist()


def test_tokens_own_half_open_intervals():
    assert choose([0.25, 0.5, 0.25], 0.0, 0.2499, 0.2501, 0.7499, 0.7501, ALMOST_ONE) == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("probabilities", "possible"),
    [([0, 0, 1, 0, 0], {2}), ([0, 0.5, 0, 0.5, 0], {1, 3}), ([1, 0, 0], {0}), ([0, 0, 1], {2})],
)
def test_never_a_token_of_probability_zero(probabilities, possible):
    uniforms = (0.0, 2.0**-53, 0.25, np.nextafter(0.5, 0), 0.5, np.nextafter(0.5, 1), 0.75, ALMOST_ONE)
    assert set(choose(probabilities, *uniforms)) == possible


@pytest.mark.parametrize("vocabulary", [7, 50_000])
def test_never_beyond_the_last_token_when_rounding_eats_the_tail(vocabulary):
    """Single-precision probabilities do not add up to one; the last ones may be too small to move the sum."""
    generator = torch.Generator().manual_seed(0)
    logp = torch.log_softmax(torch.randn(16, vocabulary, generator=generator) * 40, dim=-1)
    token = invert_cdf(logp, torch.full((16,), ALMOST_ONE, dtype=torch.float64))
    assert (logp.gather(-1, token.unsqueeze(-1)) > -np.inf).all()
    assert logp.gather(-1, token.unsqueeze(-1)).exp().min() > 0


def test_frequencies_match_probabilities():
    """Pearson's statistic of 200,000 draws stays below its 99.99% quantile."""
    probabilities = np.array([0.5, 0.2, 0.15, 0.1, 0.04, 0.01])
    uniforms = np.random.default_rng(0).random(200_000)
    logp = torch.from_numpy(probabilities).float().log().expand(len(uniforms), -1)
    seen = np.bincount(invert_cdf(logp, torch.from_numpy(uniforms)).numpy(), minlength=6)
    expected = probabilities * len(uniforms)
    assert ((seen - expected) ** 2 / expected).sum() < 25.7  # chi-squared, 5 degrees of freedom


@pytest.mark.parametrize("vocabulary", [9, 447, 30_000])
@pytest.mark.parametrize("sharpness", [0.0, 1.0, 6.0])
def test_single_precision_chooses_what_double_precision_does(vocabulary, sharpness):
    """Also where uniforms fall on or next to the CDF's steps."""
    generator = torch.Generator().manual_seed(vocabulary)
    logp = torch.log_softmax(torch.randn(64, vocabulary, generator=generator) * sharpness, dim=-1)
    cdf = logp.double().exp().cumsum(-1)
    steps = cdf[torch.arange(64), torch.randint(vocabulary - 1, (64,), generator=generator)] / cdf[:, -1]
    anywhere = torch.rand(64, dtype=torch.float64, generator=generator)
    for uniform in (anywhere, steps, steps + 1e-9, steps - 1e-9, steps + 1e-6, steps - 1e-6, steps * 0):
        target = (uniform.clamp(0, ALMOST_ONE) * cdf[:, -1]).unsqueeze(-1)
        expected = torch.searchsorted(cdf, target, right=True).squeeze(-1).clamp(max=vocabulary - 1)
        assert torch.equal(invert_cdf(logp, uniform.clamp(0, ALMOST_ONE)), expected)


def test_rows_choose_apart_and_keep_the_log_probability_at_their_temperature():
    scores = torch.tensor([[0.0, 1.0, 3.0]] * 3)
    noise = RowNoise(torch.tensor([[0.0], [0.0], [0.0]], dtype=torch.float64), torch.tensor([0.0, 1.0, 2.0]))
    chosen = noise(torch.zeros(3, 1, dtype=torch.long), scores)
    assert chosen.argmax(-1).tolist() == [2, 0, 0]  # greedy takes the likeliest; a uniform of 0 the first
    assert (chosen > -np.inf).sum(-1).tolist() == [1, 1, 1]
    plain, flat = torch.log_softmax(scores[0], -1), torch.log_softmax(scores[0] / 2, -1)
    assert noise.logps[0].tolist() == pytest.approx([plain[2].item(), plain[0].item(), flat[0].item()])


def test_each_step_uses_the_next_uniform():
    noise = RowNoise(torch.tensor([[0.1, 0.9]], dtype=torch.float64), torch.tensor([1.0]))
    tokens = [noise(torch.zeros(1, 1, dtype=torch.long), torch.zeros(1, 2)).argmax(-1).item() for _ in range(2)]
    assert tokens == [0, 1]
