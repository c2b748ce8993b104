"""Verdicts: interval against margin, Holm for FAIL, gates, any of several k."""

import math
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpca.stats.assessment import Assessment, assess, assess_counts
from lpca.stats.claims import (
    Approximate,
    Band,
    BoundsComparison,
    Difference,
    Equivalence,
    Gain,
    Rate,
    Ratio,
)
from lpca.stats.tables import Interval, PairedTable, Proportion
from lpca.stats.verdicts import Verdict, any_of, decide, gate_verdict, holm

PASS, FAIL, INCONCLUSIVE, INVALID, NOT_MEASURED = (
    Verdict.PASS,
    Verdict.FAIL,
    Verdict.INCONCLUSIVE,
    Verdict.INVALID,
    Verdict.NOT_MEASURED,
)

cells = st.integers(0, 60)
tables = st.builds(lambda a, b, c, d: PairedTable(a, b, c, d + 1), cells, cells, cells, cells)
margins = st.floats(-0.4, 0.4)


def difference(table, margin, relation, confidence=0.95):
    return assess_counts(Difference("x", "y", relation, margin), table, confidence)


def equivalence(table, margin):
    return assess_counts(Equivalence("x", "y", margin), table)


def band(successes, n, low, high):
    return assess_counts(Band("x", low, high), Proportion(successes, n))


def rate(successes, n, bound, relation):
    return assess_counts(Rate("x", relation, bound), Proportion(successes, n))


def ratio(table, bound, relation):
    return assess_counts(Ratio("x", "y", relation, bound), table)


def claimed(p_pass: float, p_fail: float = 1.0, alpha: float = 0.025) -> Assessment:
    """A claim `parameter > 0` whose interval agrees with its two p-values."""
    low, high = (0.1, 0.2) if p_pass < alpha else (-0.1, 0.2)
    if p_fail < alpha:
        low, high = -0.2, -0.1
    region = Interval(0.0, math.inf)
    return Assessment((low + high) / 2, Interval(low, high), region, p_pass, p_fail, alpha, "made")


def test_the_value_of_not_measured_has_a_space():
    assert str(NOT_MEASURED) == "NOT MEASURED"


@pytest.mark.parametrize(
    ("table", "margin", "relation", "verdict"),
    [
        ((20, 60, 5, 15), 0.1, ">", PASS),
        ((20, 60, 5, 15), 0.1, "<", FAIL),
        ((20, 60, 5, 15), 0.5, ">", INCONCLUSIVE),
        ((20, 5, 60, 15), -0.1, "<", PASS),
        ((20, 0, 0, 15), 0.0, ">", INCONCLUSIVE),
    ],
)
def test_difference(table, margin, relation, verdict):
    assert decide([difference(PairedTable(*table), margin, relation)]) == [verdict]


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        ((200, 5, 5, 190), PASS),
        ((20, 60, 5, 15), FAIL),
        ((20, 5, 60, 15), FAIL),
        ((20, 4, 5, 15), INCONCLUSIVE),
    ],
)
def test_equivalence(table, verdict):
    assert decide([equivalence(PairedTable(*table), 0.05)]) == [verdict]


@pytest.mark.parametrize(
    ("successes", "verdict"), [(100, PASS), (20, FAIL), (250, FAIL), (70, INCONCLUSIVE)]
)
def test_band(successes, verdict):
    assert decide([band(successes, 400, 0.15, 0.35)]) == [verdict]


@pytest.mark.parametrize(
    ("successes", "relation", "verdict"),
    [(60, ">", PASS), (60, "<", FAIL), (31, ">", INCONCLUSIVE), (10, ">", FAIL), (10, "<", PASS)],
)
def test_rate(successes, relation, verdict):
    assert decide([rate(successes, 100, 0.3, relation)]) == [verdict]


@pytest.mark.parametrize(
    ("table", "verdict"),
    [
        ((150, 20, 10, 20), PASS),
        ((20, 5, 150, 20), FAIL),
        ((1, 0, 0, 9), INCONCLUSIVE),
        ((0, 9, 0, 3), PASS),
    ],
)
def test_ratio(table, verdict):
    assert decide([ratio(PairedTable(*table), 0.8, ">")]) == [verdict]


@given(tables, margins, st.sampled_from([">", "<"]))
def test_pass_by_interval_is_pass_by_p(table, margin, relation):
    for one in (
        difference(table, margin, relation),
        equivalence(table, abs(margin) + 0.01),
        band(table.first, table.n, 0.2, 0.5 + abs(margin)),
        rate(table.first, table.n, abs(margin), relation),
        ratio(table, 1.0 + margin, relation),
    ):
        high = min(one.interval.high, 1e300)
        inside = one.region.low < one.interval.low and high < one.region.high
        if abs(one.p_pass - one.alpha) > 1e-9:
            assert inside == (one.p_pass < one.alpha) == one.holds
        if abs(one.p_fail - one.alpha) > 1e-9:
            assert one.outside == (one.p_fail < one.alpha)
        assert not (one.holds and one.outside)


@given(tables, st.floats(0.6, 0.99))
def test_at_its_own_limit_a_difference_does_not_pass(table, confidence):
    low = difference(table, 0.0, ">", confidence).interval.low
    if -1.0 < low < 1.0:
        assert not difference(table, low, ">", confidence).holds
        assert difference(table, low - 1e-6, ">", confidence).holds or low - 1e-6 < -1.0


@given(tables, margins)
def test_the_other_relation_is_the_swapped_claim(table, margin):
    one, other = (
        difference(table, margin, ">"),
        difference(table.swapped, -margin, "<"),
    )
    assert one.p_pass == pytest.approx(other.p_pass)
    assert decide([one]) == decide([other])


@given(st.lists(st.floats(0.0, 1.0) | st.sampled_from([0.0, 0.02, 1.0]), min_size=1, max_size=8))
def test_holm_is_the_closure_of_bonferroni(values):
    """Each is as large as the largest that Bonferroni gives a set of hypotheses which holds it."""
    sets = [
        (chosen, min(1.0, len(chosen) * min(values[i] for i in chosen)))
        for size in range(1, len(values) + 1)
        for chosen in combinations(range(len(values)), size)
    ]
    closed = [max(p for chosen, p in sets if i in chosen) for i in range(len(values))]
    assert holm(values) == pytest.approx(closed, abs=1e-15)


def test_no_pvalues_have_no_adjustment():
    assert holm([]) == []


@pytest.mark.parametrize("bad", [-0.1, 1.1, float("nan")])
def test_values_that_are_no_probability_are_refused(bad):
    with pytest.raises(ValueError, match="p-value"):
        holm([0.5, bad])


def test_many_criteria_do_not_manufacture_a_fail():
    lone, crowd = [claimed(0.9, 0.02)], [claimed(0.9, 0.02), *[claimed(0.5, 0.5)] * 5]
    assert decide(lone) == [FAIL]
    assert decide(crowd)[0] is INCONCLUSIVE
    assert decide([claimed(0.9, 0.002), *[claimed(0.5, 0.5)] * 5])[0] is FAIL


def test_pass_needs_no_adjustment():
    assert decide([claimed(0.02)] * 8) == [PASS] * 8


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([PASS, PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([PASS, INCONCLUSIVE, FAIL], FAIL),
        ([PASS, NOT_MEASURED], NOT_MEASURED),
        ([INCONCLUSIVE, NOT_MEASURED], NOT_MEASURED),
        ([FAIL, NOT_MEASURED], FAIL),
        ([FAIL, INVALID, PASS], INVALID),
        ([], NOT_MEASURED),
    ],
)
def test_gate_verdict(verdicts, expected):
    assert gate_verdict(verdicts) is expected


def test_any_of_one_k_is_the_gate_itself():
    for criteria in (
        [claimed(0.024), claimed(0.04, alpha=0.05)],
        [claimed(0.026)],
        [claimed(1.0, 0.01)],
    ):
        assert any_of({4: criteria}, [4]).verdict is gate_verdict(decide(criteria))


def test_any_of_takes_the_largest_p_and_the_whole_family():
    criteria = [claimed(0.001), claimed(0.01)]
    few, many = any_of({4: criteria}, [4, 8]), any_of({4: criteria}, [4, 8, 16])
    assert few.pvalues == {4: pytest.approx(0.02), 8: 1.0}
    assert few.adjusted[4] == pytest.approx(0.04)
    assert (few.verdict, few.verdicts[4], few.verdicts[8]) == (PASS, PASS, NOT_MEASURED)
    assert many.adjusted[4] == pytest.approx(0.06)
    assert (many.verdict, many.verdicts[4]) == (INCONCLUSIVE, INCONCLUSIVE)


def test_any_of_fails_only_when_the_whole_family_does():
    bad = [claimed(1.0, 0.001)]
    assert any_of({4: bad}, [4, 8]).verdict is INCONCLUSIVE
    assert any_of({4: bad, 8: bad}, [4, 8]).verdict is FAIL
    assert any_of({4: bad, 8: [claimed(0.0001)]}, [4, 8]).verdict is PASS


def test_any_of_refuses_what_was_not_declared():
    with pytest.raises(ValueError, match="declared"):
        any_of({4: [claimed(0.1)]}, [8])
    with pytest.raises(ValueError, match="declared"):
        any_of({4: [claimed(0.1)]}, [4, 4])
    with pytest.raises(ValueError, match="criterion"):
        any_of({4: []}, [4])


OUTCOMES = {
    "x": [True] * 80 + [False] * 20,
    "y": [True] * 30 + [False] * 70,
    "z": [False] * 70 + [True] * 30,
}


@pytest.mark.parametrize(
    ("claim", "estimate", "verdict"),
    [
        (Difference("x", "y", ">", 0.1), 0.5, PASS),
        (Equivalence("y", "z", 0.05), 0.0, INCONCLUSIVE),
        (Band("y", 0.2, 0.4), 0.3, PASS),
        (Rate("x", "<", 0.7), 0.8, FAIL),
        (Gain("x", "x", "y", 0.5), 0.25, PASS),
        (Ratio("y", "x", "<", 0.5), 0.375, PASS),
    ],
)
def test_assess_reads_the_claim(claim, estimate, verdict):
    assert assess(claim, OUTCOMES).estimate == pytest.approx(estimate)
    assert decide([assess(claim, OUTCOMES)]) == [verdict]


def test_assess_uses_the_confidence_of_its_kind():
    above, inside = Difference("x", "y", ">", 0.1), Band("y", 0.2, 0.4)
    assert assess(above, OUTCOMES, 0.99, 0.8).alpha == pytest.approx(0.005)
    assert assess(inside, OUTCOMES, 0.99, 0.8).alpha == pytest.approx(0.1)


@pytest.mark.parametrize("claim", [BoundsComparison("x", "y", ">"), Approximate("x", "y")])
def test_unsound_claims_are_never_decided(claim):
    with pytest.raises(TypeError, match="no sound method"):
        assess(claim, OUTCOMES)


def test_unpaired_outcomes_are_refused():
    short = {**OUTCOMES, "y": [True]}
    with pytest.raises(ValueError, match="paired"):
        assess(Difference("x", "y", ">", 0.1), short)
    with pytest.raises(KeyError):
        assess(Rate("absent", ">", 0.1), OUTCOMES)


def test_claims_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="low < high"):
        band(3, 10, 0.5, 0.5)
    with pytest.raises(ValueError, match="relation"):
        rate(3, 10, 0.5, ">=")
