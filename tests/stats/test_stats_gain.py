"""Preservation of gain: the multinomial score against its definition and its special cases."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import ndtri

from lpca.stats.assessment import assess_counts
from lpca.stats.claims import Gain
from lpca.stats.gain import ValueCounts, gain_counts, gain_interval, gain_support, gain_test
from lpca.stats.proportions import tango, tango_test, wilson
from lpca.stats.tables import PairedTable

fractions = st.sampled_from([0.0, 0.3, 0.5, 0.8, 1.0])
confidences = st.floats(0.5, 0.999)


@st.composite
def samples(draw):
    values = gain_support(draw(fractions))
    counts = draw(st.lists(st.integers(0, 30), min_size=len(values), max_size=len(values)))
    counts[draw(st.integers(0, len(values) - 1))] += 1
    return ValueCounts(values, tuple(counts))


def slow_z(sample: ValueCounts, mean: float) -> float:
    """Score with the variance of the multinomial found by a general optimiser."""
    values, counts = np.array(sample.values), np.array(sample.counts)
    start = np.full(len(values), 1 / len(values))

    def loss(p):
        return -np.sum(counts[counts > 0] * np.log(np.maximum(p[counts > 0], 1e-300)))

    def slope(p):
        return -counts / np.maximum(p, 1e-12)

    constraints = [
        {"type": "eq", "fun": lambda p: p.sum() - 1},
        {"type": "eq", "fun": lambda p: p @ values - mean},
    ]
    found = minimize(
        loss,
        start,
        jac=slope,
        method="SLSQP",
        bounds=[(0, 1)] * len(values),
        constraints=constraints,
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    variance = sample.n * float(found.x @ (values - mean) ** 2)
    return float(counts @ (values - mean)) / math.sqrt(variance)


@pytest.mark.parametrize("fraction", [0.3, 0.5])
@pytest.mark.parametrize("mean", [-0.4, 0.0, 0.25])
@pytest.mark.parametrize("shape", ["spread", "top", "gap"])
def test_gain_test_is_the_score_at_the_numerical_maximum(fraction, mean, shape):
    values = gain_support(fraction)
    pattern = {
        "spread": [3, 1, 4, 9, 2, 6, 5],
        "top": [0, 0, 0, 0, 7, 2, 3],
        "gap": [5, 0, 0, 8, 0, 0, 1],
    }
    sample = ValueCounts(values, tuple(pattern[shape][: len(values)]))
    got = -ndtri(gain_test(sample, mean))
    assert got == pytest.approx(slow_z(sample, mean), abs=2e-4)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(1, 40), st.floats(-1, 1), confidences)
def test_on_differences_it_is_tango(b, c, same, margin, confidence):
    sample, table = ValueCounts((-1.0, 0.0, 1.0), (c, same, b)), PairedTable(same, b, c, 0)
    for side in ("greater", "less"):
        assert gain_test(sample, margin, side) == pytest.approx(
            tango_test(table, margin, side), rel=1e-9, abs=1e-12
        )
    got, expected = gain_interval(sample, confidence), tango(table, confidence)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-11)


@given(st.integers(0, 60), st.integers(1, 60), confidences)
def test_on_one_rate_it_is_wilson(successes, failures, confidence):
    got = gain_interval(ValueCounts((0.0, 1.0), (failures, successes)), confidence)
    expected = wilson(successes, failures + successes, confidence)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-11)


@given(samples(), confidences)
def test_limit_and_test_agree(sample, confidence):
    alpha, interval = (1.0 - confidence) / 2.0, gain_interval(sample, confidence)
    if interval.low > -1.0:
        assert gain_test(sample, interval.low, "greater") == pytest.approx(alpha, rel=1e-7)
    if interval.high < 1.0:
        assert gain_test(sample, interval.high, "less") == pytest.approx(alpha, rel=1e-7)


@given(samples(), confidences, confidences)
def test_intervals_nest_in_confidence(sample, one, other):
    inner, outer = gain_interval(sample, min(one, other)), gain_interval(sample, max(one, other))
    assert outer.low <= inner.low <= sample.mean <= inner.high <= outer.high


@given(samples(), st.lists(st.floats(-1, 1), min_size=2, max_size=6))
def test_p_rises_with_the_margin(sample, margins):
    pvalues = [gain_test(sample, margin) for margin in sorted(margins)]
    assert all(one <= other + 1e-9 for one, other in itertools.pairwise(pvalues))


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_tiny_sample_without_spread_never_passes(n):
    for value in gain_support(0.5):
        counts = tuple(n if v == value else 0 for v in gain_support(0.5))
        assessment = assess_counts(Gain("x", "y", "z", 0.5), ValueCounts(gain_support(0.5), counts))
        assert assessment.interval.low < assessment.interval.high
        assert not assessment.holds


def test_gain_counts_follow_the_definition():
    condition, text, base = zip(*itertools.product((0, 1), repeat=3), strict=True)
    sample = gain_counts(condition, text, base, 0.3)
    expected = [x - 0.3 * t - 0.7 * b for x, t, b in zip(condition, text, base, strict=True)]
    assert sample.n == 8
    assert sample.mean == pytest.approx(sum(expected) / 8)
    assert sample.values == pytest.approx(sorted({round(v, 12) for v in expected}))


def test_gain_of_all_the_text_is_the_difference_from_it():
    assert gain_support(1.0) == (-1.0, 0.0, 1.0)


def test_input_that_is_none_is_refused():
    with pytest.raises(ValueError, match="unequal"):
        gain_counts([1], [1, 0], [0], 0.5)
    with pytest.raises(ValueError, match="fraction"):
        gain_counts([1], [1], [0], 1.2)
    with pytest.raises(ValueError, match="n = 0"):
        gain_counts([], [], [], 0.5)
    with pytest.raises(ValueError, match="range of values"):
        gain_test(ValueCounts((0.0, 1.0), (1, 2)), -0.1)
    with pytest.raises(ValueError, match="distinct"):
        ValueCounts((1.0, 1.0), (1, 2))
