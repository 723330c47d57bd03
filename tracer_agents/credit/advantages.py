"""Turns rewards of sampled groups into advantages: pure functions on arrays."""

from collections.abc import Hashable, Iterable

import numpy as np

_ROUNDING = 1e-9  # rewards are of the order of 1; sums of a few of them are off by less than 1e-14


def group_ids(keys: Iterable[Hashable]) -> np.ndarray:
    """Numbers equal keys alike, in order of first appearance: int of shape (n,)."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(key, len(seen)) for key in keys], dtype=np.intp)


def group_advantages(
    reward: np.ndarray, group: np.ndarray, *, normalise_std: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Group-relative advantages (GSPO, arXiv 2507.18071, equation 6).

    Args:
        reward: (n,) float.
        group: (n,) int in [0, n_groups), every group non-empty.
        normalise_std: divide by the group's (population) standard deviation; off as in Dr. GRPO (2503.20783).

    Returns:
        (n,) advantages, and (n,) bool telling which samples carry a signal: those of groups whose rewards
        differ by more than rounding. Samples without a signal have advantage 0.
    """
    count = np.bincount(group)
    low = np.full(len(count), np.inf)
    high = np.full(len(count), -np.inf)
    np.minimum.at(low, group, reward)
    np.maximum.at(high, group, reward)
    signal = ~np.isclose(high, low, rtol=_ROUNDING, atol=_ROUNDING)[group]
    centred = reward - (np.bincount(group, weights=reward) / count)[group]
    centred = np.where(signal, centred, 0.0)
    if not normalise_std:
        return centred, signal
    std = np.sqrt(np.bincount(group, weights=centred**2) / count)[group]
    return np.divide(centred, std, out=np.zeros_like(centred), where=signal), signal
