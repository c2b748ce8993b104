"""Paired scores: one real difference per episode, such as of log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lpca.stats.normal import z_value
from lpca.stats.tables import Interval

BOOTSTRAP_SEED = 20260122
BOOTSTRAP_RESAMPLES = 9_999


@dataclass(frozen=True)
class MeanDifference(Interval):
    """A confidence interval for a mean difference, with the mean observed."""

    mean: float


def mean_difference(values: Sequence[float], confidence: float = 0.95) -> MeanDifference:
    """Two-sided interval for the mean of per-episode differences.

    The bias-corrected accelerated bootstrap with a fixed seed: Efron (1987), JASA 82:171.

    Args:
        values: one difference per episode.
        confidence: two-sided level in (0, 1).

    Returns:
        The interval, in the units of the values, and their mean. Values that do not vary, a
        single one included, tell nothing of the spread: the interval is then (-inf, inf), never
        of zero width.

    Raises:
        ValueError: no values, a value that is not finite, or a confidence outside (0, 1).

    Example:
        >>> seen = mean_difference([0.1, 0.4, 0.2, 0.3])
        >>> round(seen.low, 3), round(seen.mean, 3), round(seen.high, 3)
        (0.15, 0.25, 0.35)
    """
    import numpy as np
    from scipy.stats import bootstrap

    z_value(confidence)
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"values must be a non-empty sequence of numbers, got {values!r}")
    if not np.isfinite(sample).all():
        raise ValueError("every value must be finite")
    mean = float(sample.mean())
    if float(sample.min()) == float(sample.max()):
        return MeanDifference(-math.inf, math.inf, mean)
    found = bootstrap(
        (sample,),
        np.mean,
        confidence_level=confidence,
        n_resamples=BOOTSTRAP_RESAMPLES,
        method="BCa",
        random_state=np.random.default_rng(BOOTSTRAP_SEED),
    ).confidence_interval
    low, high = float(found.low), float(found.high)
    # nan, from resamples that did not vary, compares false
    return MeanDifference(*((low, high) if low <= high else (-math.inf, math.inf)), mean)
