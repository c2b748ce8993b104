"""Paired scores: one real difference per episode, such as of log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lpca.stats.normal import z_value
from lpca.stats.tables import Interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

BOOTSTRAP_SEED = 20260122
BOOTSTRAP_RESAMPLES = 9_999


@dataclass(frozen=True)
class MeanDifference(Interval):
    """A confidence interval for a mean difference, with the mean observed."""

    mean: float


def mean_difference(
    values: Sequence[float], confidence: float = 0.95, method: Literal["bca", "t"] = "bca"
) -> MeanDifference:
    """Two-sided interval for the mean of per-episode differences.

    "bca" is the bias-corrected accelerated bootstrap with a fixed seed (Efron 1987, JASA 82:171),
    "t" Student's.

    Args:
        values: one difference per episode.
        confidence: two-sided level in (0, 1).
        method: which of the two.

    Returns:
        The interval, in the units of the values, and their mean. Values that do not vary, a
        single one included, tell nothing of the spread: the interval is then (-inf, inf), never
        of zero width.

    Raises:
        ValueError: no values, a value that is not finite, confidence outside (0, 1) or another
            method.

    Example:
        >>> seen = mean_difference([0.1, 0.4, 0.2, 0.3], method="t")
        >>> round(seen.low, 3), round(seen.mean, 3), round(seen.high, 3)
        (0.045, 0.25, 0.455)
    """
    sample = _sample(values)
    z_value(confidence)
    if method not in ("bca", "t"):
        raise ValueError(f"method must be 'bca' or 't', got {method!r}")
    mean = float(sample.mean())
    if float(sample.min()) == float(sample.max()):
        return MeanDifference(-math.inf, math.inf, mean)
    limits = _t_interval(sample, confidence) if method == "t" else _bca(sample, confidence)
    return MeanDifference(limits.low, limits.high, mean)


def _t_interval(sample: Array, confidence: float) -> Interval:
    from scipy.special import stdtrit

    mean, error = float(sample.mean()), float(sample.std(ddof=1)) / math.sqrt(len(sample))
    half = float(stdtrit(len(sample) - 1, (1.0 + confidence) / 2.0)) * error
    return Interval(mean - half, mean + half)


def _bca(sample: Array, confidence: float) -> Interval:
    import numpy as np
    from scipy.stats import bootstrap

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
    return Interval(low, high) if low <= high else Interval(-math.inf, math.inf)


def _sample(values: Sequence[float]) -> Array:
    import numpy as np

    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"values must be a non-empty sequence of numbers, got {values!r}")
    if not np.isfinite(sample).all():
        raise ValueError("every value must be finite")
    return sample
