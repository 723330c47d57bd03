"""Holm's adjustment of several tests."""

from collections.abc import Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Holm's step-down adjustment of a family of p-values, in their order."""
    return np.asarray(multipletests(p_values, method="holm")[1]) if len(p_values) else np.zeros(0)
