"""Paired ratios against the likelihood maximised numerically."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import ratio_bonett_price
from scipy.optimize import brentq
from scipy.special import ndtr

from lpca.stats.proportions import ratio_score, ratio_test
from lpca.stats.tables import PairedTable

cells = st.integers(0, 50)
tables = st.builds(lambda a, b, c, d: PairedTable(a, b, c, d + 1), cells, cells, cells, cells)
confidences = st.floats(0.5, 0.999)
METHODS = [ratio_score, ratio_bonett_price]


def slow_z(table: PairedTable, ratio: float) -> float:
    """Score with the rates of a, b, c maximised along a + b = ratio (a + c) numerically."""
    a, b, c, n = table.a, table.b, table.c, table.n
    share = (a + b + c) / n
    low, high = max(0.0, share * (1.0 - ratio)), share / (1.0 + ratio)

    def rates(q: float) -> tuple[float, float]:
        both = (share - (1.0 + ratio) * q) / ratio
        return both, share - both - q

    def slope(q: float) -> float:
        both, only = rates(q)
        parts = [(a, both, -(1 + ratio) / ratio), (b, only, 1 / ratio), (c, q, 1.0)]
        return sum(k * rise / p for k, p, rise in parts if k)

    inner = (low + 1e-11 * (high - low), high - 1e-11 * (high - low))
    if slope(inner[0]) <= 0.0:
        q = low
    elif slope(inner[1]) >= 0.0:
        q = high
    else:
        q = brentq(slope, *inner, xtol=1e-17, rtol=1e-14)
    both, only = rates(q)
    variance = n * (both * (1 - ratio) ** 2 + only + ratio * ratio * q)
    return ((a + b) - ratio * (a + c)) / math.sqrt(variance)


@pytest.mark.parametrize(
    "cell",
    [(1, 1, 7, 12), (18, 2, 12, 18), (90, 0, 3, 1), (2, 57, 1, 300), (0, 4, 9, 3), (9, 0, 0, 1)],
)
@pytest.mark.parametrize("ratio", [0.05, 0.5, 0.93, 1.2, 3.0, 40.0])
def test_ratio_test_is_the_score_at_the_numerical_maximum(cell, ratio):
    table = PairedTable(*cell)
    expected = ndtr(-slow_z(table, ratio))
    assert ratio_test(table, ratio) == pytest.approx(expected, rel=1e-7, abs=1e-12)


@given(tables, confidences)
def test_ratio_limit_and_test_agree(table, confidence):
    alpha, interval = (1.0 - confidence) / 2.0, ratio_score(table, confidence)
    if interval.low > 0.0:
        assert ratio_test(table, interval.low, "greater") == pytest.approx(alpha, rel=1e-8)
    if interval.high < math.inf:
        assert ratio_test(table, interval.high, "less") == pytest.approx(alpha, rel=1e-8)


@given(tables, st.sampled_from(METHODS), confidences)
def test_swapping_the_conditions_inverts_the_interval(table, method, confidence):
    there, back = method(table, confidence), method(table.swapped, confidence)
    expected = (1 / back.high, 1 / back.low if back.low else math.inf)
    assert (there.low, there.high) == pytest.approx(expected, rel=1e-9)


@given(tables, st.sampled_from(METHODS), confidences, confidences)
def test_intervals_nest_in_confidence(table, method, one, other):
    inner, outer = method(table, min(one, other)), method(table, max(one, other))
    assert outer.low <= inner.low * (1 + 1e-12)
    assert inner.high <= outer.high * (1 + 1e-12)


@given(cells, cells, cells, st.floats(0.1, 10))
def test_pairs_without_any_success_do_not_matter(a, b, c, ratio):
    few, many = PairedTable(a, b, c, 1), PairedTable(a, b, c, 900)
    assert ratio_test(few, ratio) == ratio_test(many, ratio)


@pytest.mark.parametrize("method", METHODS)
def test_ends_when_a_condition_never_succeeds(method):
    neither, no_first, no_second = ((0, 0, 0, 5), (0, 0, 6, 5), (0, 6, 0, 5))
    assert method(PairedTable(*neither)).low == 0.0
    assert method(PairedTable(*neither)).high == math.inf
    assert method(PairedTable(*no_first)).low == 0.0
    assert 0.0 < method(PairedTable(*no_first)).high < math.inf
    assert method(PairedTable(*no_second)).high == math.inf
    assert method(PairedTable(*no_second)).low > 0.0


def test_no_discordant_pair_has_the_closed_form():
    z2 = 1.959963984540054**2
    interval = ratio_score(PairedTable(12, 0, 0, 3))
    assert interval.high == pytest.approx(1 + z2 / 12, rel=1e-12)
    assert ratio_test(PairedTable(12, 0, 0, 3), 1.0) == 0.5
    assert ratio_test(PairedTable(0, 0, 0, 3), 2.0) == 0.5


@pytest.mark.parametrize("ratio", [0.0, -1.0, math.inf, math.nan])
def test_ratio_that_is_none_is_refused(ratio):
    with pytest.raises(ValueError, match="ratio"):
        ratio_test(PairedTable(1, 1, 1, 1), ratio)
