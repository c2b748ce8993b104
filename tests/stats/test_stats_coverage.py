"""Coverage by enumeration of every sample; docs/lab/levels.md gives the larger table."""

import measure_coverage as measured
import pytest
from references import clopper_pearson, newcombe

from lpca.stats.claims import Difference, Equivalence
from lpca.stats.proportions import tango, wilson
from lpca.stats.tables import Interval


def test_samples_are_all_there():
    rows = measured.samples(6, 4)
    assert len(rows) == len({tuple(row) for row in rows}) == 84
    assert (rows.sum(axis=1) == 6).all()
    assert rows.min() == 0


@pytest.mark.parametrize(
    ("method", "n", "least"),
    [
        (wilson, 10, 0.838),
        (wilson, 30, 0.847),
        (clopper_pearson, 10, 0.95),
        (clopper_pearson, 30, 0.95),
    ],
)
def test_coverage_of_a_rate(method, n, least):
    found = measured.rates(n, method)
    assert found.least >= least
    assert found.mean >= 0.95


@pytest.mark.parametrize(
    ("method", "n", "least", "mean"),
    [(tango, 10, 0.913, 0.95), (tango, 30, 0.929, 0.95), (newcombe, 8, 0.85, 0.94)],
)
def test_coverage_of_a_difference(method, n, least, mean):
    found = measured.differences(n, method)
    assert found.least >= least
    assert found.mean >= mean


def test_coverage_of_a_gain():
    found = measured.gains(8, 0.5)
    assert found.least >= 0.84
    assert found.mean >= 0.95


def test_coverage_of_an_interval_that_is_too_narrow_is_seen():
    def halved(successes: int, n: int) -> Interval:
        whole = wilson(successes, n)
        middle, half = (whole.low + whole.high) / 2, (whole.high - whole.low) / 4
        return Interval(middle - half, middle + half)

    assert measured.rates(10, halved).mean < 0.85


@pytest.mark.parametrize(
    ("claim", "n", "most"),
    [
        (Difference("x", "y", ">", 0.0), 100, 0.029),
        (Difference("x", "y", ">", 0.1), 400, 0.032),
        (Difference("x", "y", ">", 0.02), 200, 0.053),
        (Difference("x", "y", ">", -0.1), 400, 0.026),
        (Equivalence("x", "y", 0.1), 100, 0.06),
    ],
    ids=str,
)
def test_false_passes_on_the_margin(claim, n, most):
    assert 0.5 * most < measured.false_pass_on_margin(claim, n) <= most


def test_false_passes_of_a_gain():
    assert 0.01 < measured.false_pass_of_gain(100, 0.5) < 0.032
