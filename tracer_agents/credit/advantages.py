"""Turns rewards of sampled groups into advantages: pure functions on arrays."""

from collections.abc import Hashable, Iterable

import numpy as np


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
        are not all equal. Samples without a signal have advantage 0.
    """
    count = np.bincount(group)
    low = np.full(len(count), np.inf)
    high = np.full(len(count), -np.inf)
    np.minimum.at(low, group, reward)
    np.maximum.at(high, group, reward)
    signal = (high > low)[group]
    centred = reward - (np.bincount(group, weights=reward) / count)[group]
    if not normalise_std:
        return np.where(signal, centred, 0.0), signal
    std = np.sqrt(np.bincount(group, weights=centred**2) / count)[group]
    return np.divide(centred, std, out=np.zeros_like(centred), where=signal), signal
