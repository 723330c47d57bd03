"""How a row's uniforms choose its tokens: the next-token distribution's CDF, inverted."""

from dataclasses import dataclass
from typing import cast

import torch
from transformers import LogitsProcessor

_DOUBT = 1e-5  # a target this near to a step of the single-precision CDF is looked up in double precision


def invert_cdf(logp: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token at which the CDF passes ``uniform``.

    The CDF is summed in double precision only for rows that single precision cannot decide; its rounding is some
    hundred times smaller than the distance at which a row counts as undecided, so that the tokens are the same.

    Args:
        logp: (B, V) log-probabilities.
        uniform: (B,) float64 in [0, 1).

    Returns:
        (B,) int64; never a token of probability 0.
    """
    cdf = logp.float().exp().cumsum(-1)  # (B, V)
    target = uniform * cdf[:, -1]  # (B,) float64
    wanted = target.to(cdf.dtype).unsqueeze(-1)
    token = torch.searchsorted(cdf, wanted, right=True).clamp_(max=logp.shape[-1] - 1)
    above = cdf.gather(-1, token) - wanted
    below = wanted - cdf.gather(-1, (token - 1).clamp_(min=0))
    doubtful = ((above < _DOUBT) | ((below < _DOUBT) & (token > 0))).squeeze(-1)
    token = token.squeeze(-1)
    rows = doubtful.nonzero().squeeze(-1)
    if len(rows):
        token[rows] = _invert_precisely(logp[rows], uniform[rows])
    return token


def _invert_precisely(logp: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    cdf = logp.double().exp().cumsum(-1)  # (B, V)
    target = (uniform * cdf[:, -1]).unsqueeze(-1)
    return torch.searchsorted(cdf, target, right=True).squeeze(-1).clamp_(max=logp.shape[-1] - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Temperatures:
    """At which temperature each row is sampled.

    Args:
        scale: (B, 1) by which logits are divided; None: by nothing.
        greedy: (B,) rows that take the most likely token; None: no row does.
    """

    scale: torch.Tensor | None
    greedy: torch.Tensor | None

    @classmethod
    def of(cls, temperature: torch.Tensor) -> "Temperatures":
        """From a (B,) tensor of temperatures ≥ 0; 0 takes the most likely token."""
        greedy = temperature == 0
        plain = bool((greedy | (temperature == 1)).all())
        scale = None if plain else torch.where(greedy, 1.0, temperature).unsqueeze(-1)
        return cls(scale=scale, greedy=greedy if bool(greedy.any()) else None)

    def of_rows(self, rows: slice) -> "Temperatures":
        """Those of some rows."""
        return Temperatures(
            scale=None if self.scale is None else self.scale[rows],
            greedy=None if self.greedy is None else self.greedy[rows],
        )


def choose(
    scores: torch.Tensor, uniform: torch.Tensor, temperatures: Temperatures
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each row's next token, and its log-probability at the row's temperature.

    Args:
        scores: (B, V) logits in any precision.
        uniform: (B,) float64 in [0, 1).
        temperatures: of the B rows.

    Returns:
        (B,) int64 and (B,) float32.
    """
    scaled = scores.float() if temperatures.scale is None else scores.float() / temperatures.scale
    logp = torch.log_softmax(scaled, dim=-1)
    token = invert_cdf(logp, uniform)
    if temperatures.greedy is not None:
        token = torch.where(temperatures.greedy, logp.argmax(-1), token)
    return token, logp.gather(-1, token.unsqueeze(-1)).squeeze(-1)


class RowNoise(LogitsProcessor):
    """Makes transformers' ``generate`` choose each row's next token with the row's own noise.

    Args:
        uniforms: (B, T) float64, one per row and step.
        temperature: (B,) ≥ 0; 0 takes the most likely token.
    """

    def __init__(self, uniforms: torch.Tensor, temperature: torch.Tensor) -> None:
        self._uniforms = uniforms
        self._temperatures = Temperatures.of(temperature)
        self.logps: list[torch.Tensor] = []  # a (B,) tensor each step

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """(B, V) scores in, (B, V) scores out, −inf everywhere but at the chosen tokens."""
        token, logp = choose(scores, self._uniforms[:, len(self.logps)], self._temperatures)
        self.logps.append(logp)
        return cast(torch.FloatTensor, torch.full_like(scores, float("-inf")).scatter_(-1, token.unsqueeze(-1), 0.0))
