"""One rate, against scipy and by going through every count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import clopper_pearson
from scipy.stats import binomtest, norm

from lpca.stats.proportions import rate_test, wilson, wilson_threshold

counts = st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.floats(0.5, 0.999)


@given(counts, confidences)
def test_wilson_is_scipys(count, confidence):
    expected = binomtest(*count).proportion_ci(confidence, method="wilson")
    got = wilson(*count, confidence)
    assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@given(counts, confidences)
def test_clopper_pearson_is_scipys(count, confidence):
    for side in ("two-sided", "greater", "less"):
        expected = binomtest(*count, alternative=side).proportion_ci(confidence, method="exact")
        got = clopper_pearson(*count, confidence, side)
        assert (got.low, got.high) == pytest.approx((expected.low, expected.high), abs=1e-10)


@given(counts, confidences)
def test_swapping_success_and_failure_mirrors_the_interval(count, confidence):
    successes, n = count
    for method in (wilson, clopper_pearson):
        there, back = method(successes, n, confidence), method(n - successes, n, confidence)
        assert (there.low, there.high) == pytest.approx((1 - back.high, 1 - back.low), abs=1e-12)


def test_wilson_is_exact_at_the_ends():
    assert wilson(0, 7).low == 0.0
    assert wilson(7, 7).high == 1.0


@given(counts, confidences)
def test_wilson_limit_and_rate_test_agree(count, confidence):
    alpha, interval = (1.0 - confidence) / 2.0, wilson(*count, confidence)
    if interval.low > 0.0:
        assert rate_test(*count, interval.low, "greater") == pytest.approx(alpha, rel=1e-8)
    if interval.high < 1.0:
        assert rate_test(*count, interval.high, "less") == pytest.approx(alpha, rel=1e-8)


def test_rate_test_is_the_score():
    assert rate_test(31, 90, 0.25) == pytest.approx(norm.sf((31 - 22.5) / (90 * 0.1875) ** 0.5))


@pytest.mark.parametrize(
    ("successes", "bound", "greater"), [(0, 0.0, 0.5), (1, 0.0, 0.0), (5, 1.0, 0.5), (4, 1.0, 1.0)]
)
def test_rate_test_takes_its_limit_at_bounds_zero_and_one(successes, bound, greater):
    assert rate_test(successes, 5, bound, "greater") == greater


@given(st.integers(1, 120), st.floats(0.0, 1.0), confidences)
def test_wilson_threshold_is_the_first_count_that_reaches_it(n, bound, confidence):
    reaching = [k for k in range(n + 1) if wilson(k, n, confidence).low >= bound]
    assert wilson_threshold(n, bound, confidence) == (reaching[0] if reaching else None)


@pytest.mark.parametrize("method", [wilson, clopper_pearson])
@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 5), (6, 5), (1.5, 5), (1, 5.0)])
def test_counts_that_are_none_are_refused(method, successes, n):
    with pytest.raises(ValueError, match="must"):
        method(successes, n)


def test_bounds_and_sides_outside_their_range_are_refused():
    with pytest.raises(ValueError, match="bound"):
        rate_test(1, 5, 1.2)
    with pytest.raises(ValueError, match="alternative"):
        clopper_pearson(1, 5, 0.95, "upper")
