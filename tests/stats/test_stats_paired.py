"""Paired differences against slow definitions, at the edges, and under symmetry."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import (
    agresti_min,
    bonett_price,
    mcnemar,
    mcnemar_asymptotic,
    mcnemar_midp,
    newcombe,
    tost,
)
from scipy.optimize import brentq
from scipy.special import ndtr

from lpca.stats.normal import first_not, z_value
from lpca.stats.proportions import (
    min_n_equivalence,
    tango,
    tango_excess,
    tango_test,
    tango_variance,
)
from lpca.stats.tables import Interval, PairedTable

LOPSIDED = [
    (1, 1, 7, 12),
    (0, 0, 9, 1),
    (90, 0, 3, 1),
    (2, 57, 1, 300),
    (0, 1, 0, 0),
    (5, 0, 0, 7),
    (0, 4, 9, 0),
    (1, 2, 0, 997),
    (400, 399, 1, 0),
]
METHODS = [tango, newcombe, bonett_price, agresti_min]

cells = st.integers(0, 60)
tables = st.builds(
    lambda a, b, c, d: PairedTable(a, b, c, d), cells, cells, cells, cells.map(lambda d: d + 1)
)
confidences = st.floats(0.5, 0.999)
alternatives = st.sampled_from(["greater", "less"])


def slow_z(table: PairedTable, delta: float) -> float:
    """The score with the likelihood maximised numerically over q, the rate of c."""
    b, c, same, n = table.b, table.c, table.a + table.d, table.n
    low, high = max(0.0, -delta), (1.0 - delta) / 2.0

    def slope(q: float) -> float:
        parts = [(b, q + delta, 1.0), (c, q, 1.0), (same, 1.0 - delta - 2.0 * q, -2.0)]
        return sum(k * sign / p for k, p, sign in parts if k)

    inner = (low + 1e-11 * (high - low), high - 1e-11 * (high - low))
    if slope(inner[0]) <= 0.0:
        q = low
    elif slope(inner[1]) >= 0.0:
        q = high
    else:
        q = brentq(slope, *inner, xtol=1e-16, rtol=1e-14)
    return (b - c - n * delta) / math.sqrt(n * (2.0 * q + delta - delta * delta))


@pytest.mark.parametrize("cell", LOPSIDED)
@pytest.mark.parametrize("delta", [-0.9, -0.31, -0.05, 0.003, 0.2, 0.77])
def test_tango_test_is_the_score_at_the_numerical_maximum(cell, delta):
    table = PairedTable(*cell)
    expected = ndtr(-slow_z(table, delta))
    assert tango_test(table, delta, "greater") == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("cell", LOPSIDED)
def test_tango_limits_solve_the_slow_score(cell):
    table, z = PairedTable(*cell), 1.959963984540054
    interval = tango(table)
    for limit, sign in ((interval.low, 1.0), (interval.high, -1.0)):
        if abs(limit) < 1.0:
            assert slow_z(table, limit) == pytest.approx(sign * z, rel=1e-9)


@given(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))
def test_the_root_is_the_first_float_at_which_the_condition_fails(start, threshold):
    low, high = min(start, threshold), max(start, threshold)
    assert first_not(lambda x: x < threshold, low, high) == (
        threshold if start <= threshold else low
    )


@given(tables, confidences)
def test_tango_interval_decides_as_its_score_at_every_float(table, confidence):
    low, z = tango(table, confidence).low, z_value(confidence)

    def rejected(delta: float) -> bool:
        b, c, n = table.b, table.c, table.n
        return tango_excess(b, c, n, delta) > z * math.sqrt(tango_variance(b, c, n, delta))

    assert not rejected(low)
    assert low == -1.0 or rejected(math.nextafter(low, -1.0))


@given(tables, confidences)
def test_tango_limit_and_test_agree(table, confidence):
    alpha, interval = (1.0 - confidence) / 2.0, tango(table, confidence)
    if interval.low > -1.0:
        assert tango_test(table, interval.low, "greater") == pytest.approx(alpha, rel=1e-9)
    if interval.high < 1.0:
        assert tango_test(table, interval.high, "less") == pytest.approx(alpha, rel=1e-9)


@given(tables, st.sampled_from(METHODS), confidences)
def test_swapping_the_conditions_mirrors_the_interval(table, method, confidence):
    there, back = method(table, confidence), method(table.swapped, confidence)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-12)


@given(tables, st.floats(-1, 1))
def test_swapping_the_conditions_mirrors_the_test(table, margin):
    one, other = tango_test(table, margin, "greater"), tango_test(table.swapped, -margin, "less")
    assert one == other
    assert one + tango_test(table, margin, "less") == pytest.approx(1.0)


@given(tables, st.sampled_from(METHODS), confidences, confidences)
def test_intervals_nest_in_confidence(table, method, one, other):
    inner, outer = method(table, min(one, other)), method(table, max(one, other))
    assert outer.low <= inner.low + 1e-12
    assert inner.high <= outer.high + 1e-12
    assert -1.0 <= outer.low <= outer.high <= 1.0


@given(tables, confidences)
def test_score_interval_holds_the_estimate(table, confidence):
    interval = tango(table, confidence)
    assert interval.low <= table.difference <= interval.high


@given(tables, st.floats(-1, 1), st.floats(-1, 1))
def test_tango_p_rises_with_the_margin(table, one, other):
    low, high = sorted((one, other))
    assert tango_test(table, low, "greater") <= tango_test(table, high, "greater") + 1e-12


@pytest.mark.parametrize(
    ("cell", "margin", "greater", "less"),
    [
        ((3, 0, 0, 4), 0.0, 0.5, 0.5),
        ((0, 7, 0, 0), 1.0, 0.5, 0.5),
        ((0, 6, 1, 0), 1.0, 1.0, 0.0),
        ((0, 0, 7, 0), -1.0, 0.5, 0.5),
        ((1, 0, 6, 0), -1.0, 0.0, 1.0),
        ((0, 5, 5, 0), 0.0, 0.5, 0.5),
    ],
)
def test_tango_test_takes_its_limit_at_the_edges(cell, margin, greater, less):
    table = PairedTable(*cell)
    assert tango_test(table, margin, "greater") == greater
    assert tango_test(table, margin, "less") == less


@pytest.mark.parametrize("margin", [1e-176, 5e-324, -1e-176])
def test_a_margin_of_next_to_nothing_is_none(margin):
    table = PairedTable(0, 0, 0, 1)
    assert tango_test(table, margin, "greater") == pytest.approx(0.5)
    assert tango_test(table, margin, "less") == pytest.approx(0.5)


def test_tango_reaches_the_edges_only_when_every_pair_is_discordant():
    z2 = 1.959963984540054**2
    interval = tango(PairedTable(0, 9, 0, 0))
    assert interval.high == 1.0
    assert interval.low == pytest.approx((9 - z2) / (9 + z2), abs=1e-12)
    none = tango(PairedTable(4, 0, 0, 5))
    assert (none.low, none.high) == pytest.approx((-z2 / (9 + z2), z2 / (9 + z2)), abs=1e-12)


@pytest.mark.parametrize("margin", [-1.0001, 1.5, math.nan])
def test_margin_outside_its_range_is_refused(margin):
    with pytest.raises(ValueError, match="margin must lie in"):
        tango_test(PairedTable(1, 2, 3, 4), margin)


def test_other_alternatives_are_refused():
    with pytest.raises(ValueError, match="alternative"):
        tango_test(PairedTable(1, 2, 3, 4), 0.0, "two-sided")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("confidence", [0.0, 1.0, -1.0, 95, math.nan])
def test_confidence_outside_its_range_is_refused(method, confidence):
    with pytest.raises(ValueError, match="confidence"):
        method(PairedTable(1, 2, 3, 4), confidence)


def slow_mcnemar(b: int, c: int, mid: bool) -> float:
    n = b + c
    chance = [Fraction(math.comb(n, k), 2**n) for k in range(n + 1)]
    observed = chance[b]
    as_extreme = sum(p for k, p in enumerate(chance) if abs(2 * k - n) >= abs(b - c))
    return float(as_extreme - (observed if mid else 0))


@given(st.integers(0, 90), st.integers(0, 90))
def test_mcnemar_counts_sign_patterns(b, c):
    table = PairedTable(1, b, c, 0)
    assert mcnemar(table) == pytest.approx(slow_mcnemar(b, c, mid=False), rel=1e-10)
    if b != c:
        assert mcnemar_midp(table) == pytest.approx(slow_mcnemar(b, c, mid=True), rel=1e-10)
    assert mcnemar_midp(table) <= mcnemar(table)


@pytest.mark.parametrize("method", [mcnemar, mcnemar_midp, mcnemar_asymptotic])
@pytest.mark.parametrize("discordant", [0, 1, 6, 7])
def test_mcnemar_is_one_when_both_discordant_counts_are_equal(method, discordant):
    table = PairedTable(3, discordant, discordant, 5)
    assert method(table) == pytest.approx(1.0, abs=1e-12)


def test_mcnemar_asymptotic_is_tango_at_zero():
    table = PairedTable(2, 57, 31, 300)
    assert mcnemar_asymptotic(table) == pytest.approx(2 * tango_test(table), rel=1e-12)


@given(tables, st.floats(0.01, 1.0), st.floats(0.01, 0.2))
def test_tost_is_the_interval_inside_the_margin(table, margin, alpha):
    result = tost(table, margin, alpha)
    interval = tango(table, 1.0 - 2.0 * alpha)
    if abs(result.p_tost - alpha) > 1e-9:
        assert result.equivalent == (-margin < interval.low and interval.high < margin)
    assert result.p_tost == max(result.p_lower, result.p_upper)


@pytest.mark.parametrize("margin", [0.05, 0.11, 0.3, 0.5])
@pytest.mark.parametrize("alpha", [0.025, 0.05])
def test_min_n_equivalence_is_the_first_n_with_any_equivalent_table(margin, alpha):
    least = min_n_equivalence(margin, alpha)

    def attainable(n: int) -> bool:
        return any(
            tost(PairedTable(n - b - c, b, c, 0), margin, alpha).equivalent
            for b in range(min(n, 6) + 1)
            for c in range(min(n - b, 6) + 1)
        )

    assert attainable(least)
    assert least == 1 or not attainable(least - 1)


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.01])
def test_equivalence_margin_outside_its_range_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        tost(PairedTable(1, 1, 1, 1), margin)
    with pytest.raises(ValueError, match="margin"):
        min_n_equivalence(margin)


@pytest.mark.parametrize("cell", [(-1, 1, 1, 1), (1.5, 1, 1, 1), (True, 1, 1, 1), ("1", 1, 1, 1)])
def test_cells_that_are_no_counts_are_refused(cell):
    with pytest.raises(ValueError, match=r"^a must"):
        PairedTable(*cell)


def test_a_table_without_pairs_is_refused():
    with pytest.raises(ValueError, match="n = 0"):
        PairedTable(0, 0, 0, 0)
    with pytest.raises(ValueError, match="n = 0"):
        PairedTable.from_outcomes([], [])


def test_from_outcomes_counts_each_pair_once():
    first = [True, True, False, False, True, 1]
    second = [True, False, True, False, False, 0]
    table = PairedTable.from_outcomes(first, second)
    assert table == PairedTable(1, 3, 1, 1)
    assert (table.n, table.first, table.second, table.difference) == (6, 4, 2, pytest.approx(1 / 3))
    assert table.swapped == PairedTable.from_outcomes(second, first)


def test_from_outcomes_takes_numpy():
    import numpy as np

    first, second = np.array([True, False, True]), np.array([0, 1, 1])
    assert PairedTable.from_outcomes(first, second) == PairedTable(1, 1, 1, 0)


@pytest.mark.parametrize("bad", [2, -1, 0.5, math.nan, "1", None])
def test_from_outcomes_names_the_value_that_is_not_binary(bad):
    with pytest.raises(ValueError, match="outcome 1 must be"):
        PairedTable.from_outcomes([True, bad], [True, False])


def test_from_outcomes_refuses_unpaired_lengths():
    with pytest.raises(ValueError, match="3 first, 2 second"):
        PairedTable.from_outcomes([1, 0, 1], [1, 0])


def test_results_are_frozen():
    with pytest.raises(AttributeError):
        Interval(0.0, 1.0).low = 0.5
