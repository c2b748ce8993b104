"""Statistics that decide nothing here: what is used is compared with them.

`golden_statistics.json` holds their reference values from R packages and papers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from lpca.stats.assessment import assess_counts
from lpca.stats.claims import Equivalence
from lpca.stats.normal import OneSided, upper_tail, z_value
from lpca.stats.planning import Counts
from lpca.stats.proportions import tango_test, wilson
from lpca.stats.scores import MeanDifference
from lpca.stats.sequential import log_betting_evalue
from lpca.stats.tables import Interval, PairedTable, check_counts

TwoSided = Literal["two-sided", "greater", "less"]
Array = npt.NDArray[np.float64]
SIGN_FLIP_SEED = 20260122
SIGN_FLIP_DRAWS = 19_999
SIGN_FLIP_EXACT = 20


def clopper_pearson(
    successes: int, n: int, confidence: float = 0.95, alternative: TwoSided = "two-sided"
) -> Interval:
    """Exact interval for a rate, from beta quantiles.

    "greater" spends all of 1 - confidence on the lower limit (the upper is 1), "less" all on the
    upper (the lower is 0); "two-sided" spends half on each. Raises ValueError as `wilson` does.
    Clopper and Pearson (1934), Biometrika 26:404.
    """
    from scipy.special import betaincinv

    check_counts(successes, n)
    z_value(confidence)
    if alternative not in ("two-sided", "greater", "less"):
        raise ValueError(f"unknown alternative {alternative!r}")
    tail = (1.0 - confidence) / (2.0 if alternative == "two-sided" else 1.0)
    low, high = 0.0, 1.0
    if alternative != "less" and successes > 0:
        low = float(betaincinv(successes, n - successes + 1, tail))
    if alternative != "greater" and successes < n:
        high = float(betaincinv(successes + 1, n - successes, 1.0 - tail))
    return Interval(low, high)


def mcnemar(table: PairedTable) -> float:
    """Two-sided p-value that the two rates differ: the exact sign test on the discordant counts.

    1 with no discordant pair. McNemar (1947), Psychometrika 12:153.
    """
    from scipy.special import betainc

    more, fewer = max(table.b, table.c), min(table.b, table.c)
    if more == 0:
        return 1.0
    # at b = c both tails hold the same middle point, which would count twice
    return min(2.0 * float(betainc(more, fewer + 1, 0.5)), 1.0)


def mcnemar_midp(table: PairedTable) -> float:
    """`mcnemar` less half the probability of each observed tail point; 1 with no discordant pair.

    Fagerland, Lydersen and Laake (2013), BMC Med. Res. Methodol. 13:91.
    """
    from scipy.special import betainc

    more, fewer = max(table.b, table.c), min(table.b, table.c)
    if more == 0:
        return 1.0
    tail = 2.0 * float(betainc(more, fewer + 1, 0.5))
    # at b = c both tails hold the same middle point, which would count twice
    return min(tail - math.comb(more + fewer, fewer) / 2 ** (more + fewer), 1.0)


def mcnemar_asymptotic(table: PairedTable) -> float:
    """Chi-squared on one degree of freedom without continuity correction."""
    discordant = table.b + table.c
    return 2.0 * upper_tail(abs(table.b - table.c) / math.sqrt(discordant)) if discordant else 1.0


def student(values: Sequence[float], confidence: float = 0.95) -> MeanDifference:
    """Student's interval for the mean of per-episode differences."""
    from scipy.special import stdtrit

    z_value(confidence)
    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if float(sample.min()) == float(sample.max()):
        return MeanDifference(-math.inf, math.inf, mean)
    error = float(sample.std(ddof=1)) / math.sqrt(len(sample))
    half = float(stdtrit(len(sample) - 1, (1.0 + confidence) / 2.0)) * error
    return MeanDifference(mean - half, mean + half, mean)


def newcombe(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Square-and-add interval for the difference from two Wilson intervals: method 10.

    The correlation of the two rates enters through phi with Newcombe's correction: ad - bc is
    reduced by n/2, not below zero, when positive. Raises ValueError for confidence outside
    (0, 1). Newcombe (1998), Stat. Med. 17:2635.
    """
    n, phi = table.n, _corrected_phi(table)
    p1, p2 = table.first / n, table.second / n
    one, two = wilson(table.first, n, confidence), wilson(table.second, n, confidence)
    below = _add_squares(p1 - one.low, two.high - p2, phi)
    above = _add_squares(one.high - p1, p2 - two.low, phi)
    return Interval(max(table.difference - below, -1.0), min(table.difference + above, 1.0))


def _corrected_phi(table: PairedTable) -> float:
    a, b, c, d = table.a, table.b, table.c, table.d
    product = (a + b) * (c + d) * (a + c) * (b + d)
    if product == 0:
        return 0.0
    cross = float(a * d - b * c)
    if cross > 0.0:
        cross = max(cross - table.n / 2.0, 0.0)
    return cross / math.sqrt(product)


def _add_squares(x: float, y: float, phi: float) -> float:
    return math.sqrt(max(x * x - 2.0 * phi * x * y + y * y, 0.0))


def bonett_price(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Wald interval for the difference after adding one to each of b and c, cut to [-1, 1].

    Raises ValueError for confidence outside (0, 1). Bonett and Price (2012), J. Educ. Behav.
    Stat. 37:479.
    """
    return _adjusted_wald(table, 1.0, confidence)


def agresti_min(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Wald interval for the difference after adding 1/2 to every cell, cut to [-1, 1].

    Raises ValueError for confidence outside (0, 1). Agresti and Min (2005), Stat. Med. 24:729.
    """
    return _adjusted_wald(table, 0.5, confidence)


def _adjusted_wald(table: PairedTable, added: float, confidence: float) -> Interval:
    n = table.n + 2.0
    p12, p21 = (table.b + added) / n, (table.c + added) / n
    estimate = p12 - p21
    half = z_value(confidence) * math.sqrt((p12 + p21 - estimate * estimate) / n)
    return Interval(max(estimate - half, -1.0), min(estimate + half, 1.0))


def ratio_bonett_price(table: PairedTable, confidence: float = 0.95) -> Interval:
    """Hybrid interval for p1 / p2 from two Wilson intervals on the m = a + b + c informative pairs.

    The quantile is shrunk so that the two limits combine to the requested level. In [0, inf],
    with the same ends as `ratio_score` when a condition never succeeds. Raises ValueError for
    confidence outside (0, 1). Bonett and Price (2006), Stat. Med. 25:3039.
    """
    z = z_value(confidence)
    m = table.a + table.b + table.c
    if m == 0:
        return Interval(0.0, math.inf)
    x1, x2 = table.first, table.second
    joint = math.sqrt((table.b + table.c + 2) / ((x1 + 1) * (x2 + 1)))
    shrunk = z * joint / (_log_se(x1, m) + _log_se(x2, m))
    one, two = wilson_at(x1, m, shrunk), wilson_at(x2, m, shrunk)
    return Interval(one.low / two.high, one.high / two.low if two.low > 0.0 else math.inf)


def wilson_at(s: float, n: float, z: float) -> Interval:
    """The Wilson interval at a normal quantile z."""
    middle, half = s + z * z / 2.0, z * math.sqrt(s * (n - s) / n + z * z / 4.0)
    return Interval((middle - half) / (n + z * z), (middle + half) / (n + z * z))


def _log_se(successes: int, m: int) -> float:
    return math.sqrt((1.0 - (successes + 1) / (m + 2)) / (successes + 1))


@dataclass(frozen=True)
class Tost:
    """Two one-sided tests of equivalence; `p_tost` is the larger of the two p-values."""

    p_lower: float
    p_upper: float
    p_tost: float
    equivalent: bool


def tost(table: PairedTable, margin: float, alpha: float = 0.05) -> Tost:
    """Equivalence of the two rates within ±margin as a claim is decided, with both p-values.

    `p_lower` tests difference > -margin, `p_upper` difference < margin. Schuirmann (1987), J.
    Pharmacokinet. Biopharm. 15:657.
    """
    claim = Equivalence("first", "second", margin)
    seen = assess_counts(claim, table, equivalence_confidence=1.0 - 2.0 * alpha)
    p_lower, p_upper = tango_test(table, -margin, "greater"), tango_test(table, margin, "less")
    return Tost(p_lower, p_upper, seen.p_pass, seen.p_pass < alpha)


def power_mcnemar_exact_directional(pb: float, pc: float, n: int, alpha: float = 0.05) -> float:
    """Power of the two-sided exact McNemar test, counting only rejections with b > c.

    `pb` and `pc` are the probabilities that only the first, only the second succeeds; n pairs.
    Exact to 1e-10, or simulated as in `power`. Raises ValueError for n < 1, probabilities that
    are negative or sum to more than 1, or alpha outside (0, 1). McNemar (1947), Psychometrika
    12:153.
    """
    if min(pb, pc) < 0.0 or pb + pc > 1.0:
        raise ValueError(f"pb and pc must be probabilities of distinct events, got {pb} and {pc}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha must lie strictly between 0 and 1, got {alpha}")

    def passes(counts: Sequence[Array], _: int) -> npt.NDArray[np.bool_]:
        from scipy.special import betainc

        b, c = counts[0], counts[1]
        tail = betainc(np.maximum(b, 1.0), c + 1.0, 0.5)
        rejected: npt.NDArray[np.bool_] = (b > c) & (2.0 * tail <= alpha)
        return rejected

    return Counts((pb, pc, max(0.0, 1.0 - pb - pc)), n).probability(passes)


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
    sums = np.zeros(1)
    for value in sample:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _drawn_sums(sample: Array) -> Array:
    generator = np.random.default_rng(SIGN_FLIP_SEED)
    sums = np.empty(SIGN_FLIP_DRAWS)
    rows = max(1, 4_000_000 // len(sample))
    for start in range(0, SIGN_FLIP_DRAWS, rows):
        block = sums[start : start + rows]
        kept = generator.integers(0, 2, (len(block), len(sample)), dtype=np.int8)
        block[:] = 2.0 * (kept @ sample) - sample.sum()
    return sums


def _sample(values: Sequence[float]) -> Array:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1 or len(sample) == 0:
        raise ValueError(f"values must be a non-empty sequence of numbers, got {values!r}")
    if not np.isfinite(sample).all():
        raise ValueError("every value must be finite")
    return sample


def sign_evalue(b: int, c: int, direction: Literal["two-sided", "greater"] = "two-sided") -> float:
    """E-value against an even split of discordant pairs; inf where a float overflows.

    Exponential of `log_sign_evalue`, which says what is assumed and raised.
    """
    return _exp(log_sign_evalue(b, c, direction))


def log_sign_evalue(
    b: int, c: int, direction: Literal["two-sided", "greater"] = "two-sided"
) -> float:
    """Natural logarithm of the uniform mixture likelihood ratio for b of b + c discordant pairs.

    "two-sided" averages over p in (0, 1): 2^(b+c) B(b+1, c+1), against p = 1/2. "greater" averages
    over p in (1/2, 1), against p <= 1/2. Assumes that each discordant pair, given all before it,
    is a b with the same bound on its probability; any stopping rule is then allowed. Raises
    ValueError for counts that are negative or no integers, or another direction. Ville (1939);
    Robbins (1970), Ann. Math. Stat. 41:1397.
    """
    check_counts(b, max(b, 1))
    check_counts(c, max(c, 1))
    if direction not in ("two-sided", "greater"):
        raise ValueError(f"direction must be 'two-sided' or 'greater', got {direction!r}")
    mixture = (b + c) * math.log(2.0) + math.lgamma(b + 1) + math.lgamma(c + 1)
    mixture -= math.lgamma(b + c + 2)
    if direction == "two-sided":
        return mixture
    # The share of Beta(b+1, c+1) above 1/2 is a binomial tail; the smaller tail is summed.
    if b <= c:
        return math.log(_tail_over_edge(b, c + 1) / (c + 1))
    below = math.exp(-mixture - math.log(2.0)) * _tail_over_edge(c, b + 1) / (b + 1)
    return mixture + math.log(2.0) + math.log1p(-below)


def _tail_over_edge(k: int, rest: int) -> float:
    """Sum over i <= k of C(k + rest, i) / C(k + rest, k), for k < rest."""
    total = term = 1.0
    for step in range(k):
        term *= (k - step) / (rest + 1 + step)
        total += term
        if term < 1e-18 * total:
            break
    return total


def betting_evalue(
    values: Iterable[float] | Mapping[float, int],
    margin: float,
    low: float = -1.0,
    high: float = 1.0,
    alternative: OneSided = "greater",
) -> float:
    """E-value that a bounded mean is above the margin; inf where a float overflows.

    Exponential of `log_betting_evalue`, which says what is assumed and raised.
    """
    return _exp(log_betting_evalue(values, margin, low, high, alternative))


def _exp(logarithm: float) -> float:
    try:
        return math.exp(logarithm)
    except OverflowError:
        return math.inf
