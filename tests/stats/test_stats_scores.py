"""Paired scores: exact enumeration, seeds, and samples without spread."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import sign_flip_test, student

from lpca.stats.scores import mean_difference

LOPSIDED = [0.01, 0.02, -0.5, 3.0, 0.0, 0.4, 0.4, -0.02, 7.5]


def slow_sign_flip(values, statistic):
    observed = statistic(sum(values))
    flips = itertools.product((1, -1), repeat=len(values))
    sums = [statistic(sum(s * v for s, v in zip(signs, values, strict=True))) for signs in flips]
    return sum(x >= observed - 1e-9 for x in sums) / len(sums)


@given(st.lists(st.sampled_from([-1.0, -0.3, 0.0, 0.1, 0.2, 0.3, 2.0]), min_size=1, max_size=9))
def test_sign_flips_are_counted_one_by_one(values):
    assert sign_flip_test(values) == pytest.approx(slow_sign_flip(values, abs))
    assert sign_flip_test(values, "greater") == pytest.approx(slow_sign_flip(values, lambda s: s))
    assert sign_flip_test(values, "less") == pytest.approx(slow_sign_flip(values, lambda s: -s))


def test_twenty_values_are_exact_and_zeros_do_not_count():
    values = [1.0] * 20
    assert sign_flip_test(values, "greater") == 2.0**-20
    assert sign_flip_test([*values, 0.0, 0.0], "greater") == 2.0**-20


def test_beyond_twenty_draws_are_seeded_and_never_zero():
    values = [1.0] * 60
    assert sign_flip_test(values) == 1 / 20_000
    mixed = list(np.random.default_rng(1).normal(0.2, 1.0, 300))
    assert sign_flip_test(mixed) == sign_flip_test(mixed)
    both = sign_flip_test(mixed, "greater") + sign_flip_test(mixed, "less")
    assert both == pytest.approx(1.0, abs=0.01)


def test_drawn_p_is_near_the_normal_limit():
    values = [1.0] * 130 + [-1.0] * 100
    z = 30 / math.sqrt(230)
    continuity = 1 / math.sqrt(230)
    expected = math.erfc((z - continuity) / math.sqrt(2)) / 2
    assert sign_flip_test(values, "greater") == pytest.approx(expected, abs=0.004)


@pytest.mark.parametrize("method", [mean_difference, student])
def test_interval_covers_its_mean_and_nests(method):
    narrow = method(LOPSIDED, 0.8)
    wide = method(LOPSIDED, 0.95)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high
    assert narrow.mean == pytest.approx(np.mean(LOPSIDED))


def test_bca_repeats_and_follows_the_skew():
    one, again = mean_difference(LOPSIDED), mean_difference(LOPSIDED)
    assert one == again
    assert one.high - one.mean > one.mean - one.low


def test_bca_is_near_t_on_a_symmetric_sample():
    values = list(np.random.default_rng(3).normal(1.0, 2.0, 400))
    bca, other = mean_difference(values), student(values)
    assert (bca.low, bca.high) == pytest.approx((other.low, other.high), abs=0.02)


@pytest.mark.parametrize("method", [mean_difference, student])
@pytest.mark.parametrize("values", [[0.0], [2.5], [0.3] * 40])
def test_no_spread_tells_nothing(method, values):
    interval = method(values)
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert interval.mean == pytest.approx(values[0])


@pytest.mark.parametrize("bad", [[], [1.0, math.nan], [math.inf], [[1.0], [2.0]]])
def test_values_that_are_none_are_refused(bad):
    with pytest.raises(ValueError, match="value"):
        mean_difference(bad)
    with pytest.raises(ValueError, match="value"):
        sign_flip_test(bad)


def test_other_sides_are_refused():
    with pytest.raises(ValueError, match="alternative"):
        sign_flip_test([1.0, 2.0], "both")
