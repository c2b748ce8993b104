"""Paired scores: one real difference per episode, such as of log-likelihoods."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lpca.stats._normal import TwoSided, z_value
from lpca.stats.tables import Interval

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

BOOTSTRAP_SEED = 20260122
BOOTSTRAP_RESAMPLES = 9_999
SIGN_FLIP_SEED = 20260122
SIGN_FLIP_DRAWS = 19_999
SIGN_FLIP_EXACT = 20


@dataclass(frozen=True)
class MeanDifference(Interval):
    """A confidence interval for a mean difference, with the mean observed."""

    mean: float


def mean_difference(
    values: Sequence[float], confidence: float = 0.95, method: Literal["bca", "t"] = "bca"
) -> MeanDifference:
    """Two-sided interval for the mean of per-episode differences, in their units.

    "bca" is the bias-corrected accelerated bootstrap with a fixed seed (Efron 1987, JASA 82:171),
    "t" Student's. Values that do not vary, a single one included, tell nothing of the spread: the
    interval is then (-inf, inf), never of zero width. Raises ValueError for no values, a value
    that is not finite, confidence outside (0, 1) or another method.
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
    return Interval(low, high) if low <= high else Interval(-math.inf, math.inf)


def sign_flip_test(values: Sequence[float], alternative: TwoSided = "two-sided") -> float:
    """P-value that the differences are not symmetric about 0, by flipping their signs.

    The statistic is the sum. Zeros change nothing and are left out. Up to 20 other values every
    sign pattern is counted; beyond, seeded draws give (r + 1) / (m + 1) with m = 19999, which is
    valid but no smaller than 1 / 20000. Assumes that under the hypothesis the differences are
    independent and each symmetric about 0. Raises ValueError as `mean_difference` does, or for
    another alternative. Fisher (1935), The Design of Experiments, section 21; Phipson and Smyth
    (2010), Stat. Appl. Genet. Mol. Biol. 9:39.
    """
    sample = _sample(values)
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"unknown alternative {alternative!r}")
    sample = -sample if alternative == "less" else sample
    sample = sample[sample != 0.0]
    exact = len(sample) <= SIGN_FLIP_EXACT
    sums = _all_sums(sample) if exact else _drawn_sums(sample)
    observed = float(sample.sum())
    if alternative == "two-sided":
        sums, observed = abs(sums), abs(observed)
    # equal sums may differ in their last bits when added in another order
    reached = int((sums >= observed - 1e-12 * float(abs(sample).sum())).sum())
    return reached / len(sums) if exact else (reached + 1) / (len(sums) + 1)


def _all_sums(sample: Array) -> Array:
    import numpy as np

    sums = np.zeros(1)
    for value in sample:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_sums(sample: Array) -> Array:
    import numpy as np

    generator = np.random.default_rng(SIGN_FLIP_SEED)
    sums = np.empty(SIGN_FLIP_DRAWS)
    rows = max(1, 4_000_000 // len(sample))
    for start in range(0, SIGN_FLIP_DRAWS, rows):
        block = sums[start : start + rows]
        kept = generator.integers(0, 2, (len(block), len(sample)), dtype=np.int8)
        block[:] = 2.0 * (kept @ sample) - sample.sum()
    return sums


def _sample(values: Sequence[float]) -> Array:
    import numpy as np

    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"values must be a non-empty sequence of numbers, got {values!r}")
    if not np.isfinite(sample).all():
        raise ValueError("every value must be finite")
    return sample
