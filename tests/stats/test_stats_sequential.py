"""Sequential rules: their definitions, their mean under the hypothesis, and false passes."""

import itertools
import math

import pytest
import simulate_sequential as simulate
from hypothesis import given
from hypothesis import strategies as st
from references import betting_evalue, log_sign_evalue, sign_evalue
from scipy.integrate import quad
from scipy.stats import beta, betabinom, binom, multinomial

from lpca.stats.claims import Approximate, Band, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.clusters import Clusters, codes_of
from lpca.stats.sequential import (
    EValues,
    anytime_mean,
    decide_anytime,
    evalues,
    log_betting_evalue,
    obrien_fleming,
    repeated_p,
)
from lpca.stats.verdicts import Verdict

counts = st.integers(0, 60)


@given(counts, counts)
def test_sign_evalue_is_the_mixture_integral(b, c):
    def ratio(p):
        return math.exp((b + c) * math.log(2) + b * math.log(p) + c * math.log1p(-p))

    points = sorted({0.5, min(max(b / (b + c), 1e-3), 1 - 1e-3)}) if b + c else [0.5]
    both = quad(ratio, 0, 1, points=points, epsabs=0, epsrel=1e-10)[0]
    assert sign_evalue(b, c) == pytest.approx(both, rel=1e-7)
    upper = beta(b + 1, c + 1).sf(0.5)
    assert sign_evalue(b, c, "greater") == pytest.approx(2 * both * upper, rel=1e-6)


@given(counts, counts)
def test_two_sides_average_to_the_two_sided_evalue(b, c):
    sides = sign_evalue(b, c, "greater") + sign_evalue(c, b, "greater")
    assert sides / 2 == pytest.approx(sign_evalue(b, c), rel=1e-9)
    assert sign_evalue(b, c) == pytest.approx(sign_evalue(c, b), rel=1e-12)


@pytest.mark.parametrize(("b", "c"), [(40_000, 39_000), (39_000, 40_000), (3_000, 2_900)])
def test_large_counts_stay_in_log_space(b, c):
    two_sided = betabinom(b + c, 1, 1).logpmf(b) - binom(b + c, 0.5).logpmf(b)
    assert log_sign_evalue(b, c) == pytest.approx(two_sided, abs=1e-6)
    upper = beta(b + 1, c + 1).logsf(0.5)
    expected = two_sided + math.log(2) + upper
    assert log_sign_evalue(b, c, "greater") == pytest.approx(expected, abs=1e-6)


def test_overflow_is_infinite_and_its_logarithm_is_not():
    assert sign_evalue(3_000, 0) == math.inf
    assert log_sign_evalue(3_000, 0) == pytest.approx(3_000 * math.log(2) - math.log(3_001))
    assert betting_evalue({1.0: 3_000}, 0.0) == math.inf


@pytest.mark.parametrize("rate", [0.5, 0.3, 0.45])
@pytest.mark.parametrize("direction", ["two-sided", "greater"])
def test_sign_evalue_has_mean_at_most_one(rate, direction):
    chance = binom(30, rate)
    mean = sum(chance.pmf(b) * sign_evalue(b, 30 - b, direction) for b in range(31))
    if rate == 0.5:
        assert mean == pytest.approx(1.0)
    elif direction == "greater":
        assert mean < 1.0


@pytest.mark.parametrize("direction", ["two-sided", "greater"])
@pytest.mark.parametrize("alpha", [0.025, 0.2])
def test_crossing_by_chance_is_at_most_alpha_exactly(direction, alpha):
    alive, crossed = {0: 1.0}, 0.0
    for n in range(1, 301):
        after: dict[int, float] = {}
        for b, mass in alive.items():
            for b_next in (b, b + 1):
                after[b_next] = after.get(b_next, 0.0) + mass / 2
        hit = {b for b in after if log_sign_evalue(b, n - b, direction) >= -math.log(alpha)}
        crossed += sum(after[b] for b in hit)
        alive = {b: mass for b, mass in after.items() if b not in hit}
    assert 0.2 * alpha < crossed <= alpha


@given(counts, counts, counts)
def test_betting_on_a_difference_is_the_sign_evalue(b, c, same):
    got = log_betting_evalue({1.0: b, -1.0: c, 0.0: same}, 0.0)
    assert got == pytest.approx(log_sign_evalue(b, c, "greater"), abs=0.05)


@pytest.mark.parametrize(
    ("values", "chances", "low", "high"),
    [
        ((-1.0, 0.0, 1.0), (0.1, 0.6, 0.3), -1.0, 1.0),
        ((0.0, 1.0), (0.85, 0.15), 0.0, 1.0),
        ((-0.8, 0.2, 1.0), (0.3, 0.5, 0.2), -0.8, 1.0),
    ],
)
@pytest.mark.parametrize("side", ["greater", "less"])
def test_betting_has_mean_exactly_one_at_the_margin(values, chances, low, high, side):
    margin = sum(v * p for v, p in zip(values, chances, strict=True))
    mean, n = 0.0, 9
    for filled in itertools.product(range(n + 1), repeat=len(values)):
        if sum(filled) == n:
            capital = betting_evalue(
                dict(zip(values, filled, strict=True)), margin, low, high, side
            )
            mean += multinomial(n, chances).pmf(filled) * capital
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_betting_reads_values_in_any_order():
    values = [0.3, -0.2, 1.0, 0.3, -1.0]
    assert log_betting_evalue(values, 0.1) == pytest.approx(log_betting_evalue(values[::-1], 0.1))
    mirrored = [-v for v in values]
    other = log_betting_evalue(mirrored, -0.1, alternative="less")
    assert log_betting_evalue(values, 0.1) == pytest.approx(other)
    assert betting_evalue([], 0.0) == pytest.approx(1.0)


def test_betting_refuses_what_it_cannot_bet_on():
    with pytest.raises(ValueError, match="margin"):
        betting_evalue([0.5], -1.0)
    with pytest.raises(ValueError, match="every value"):
        betting_evalue([1.5], 0.0)
    with pytest.raises(ValueError, match="alternative"):
        betting_evalue([0.5], 0.0, alternative="two-sided")
    with pytest.raises(ValueError, match="must"):
        sign_evalue(-1, 2)
    with pytest.raises(ValueError, match="direction"):
        sign_evalue(1, 2, "less")


# Jennison and Turnbull (2000), Table 2.3: C_B(K, alpha), two-sided
PUBLISHED = {
    0.05: {1: 1.960, 2: 1.977, 3: 2.004, 4: 2.024, 5: 2.040, 10: 2.087},
    0.01: {1: 2.576, 2: 2.580, 3: 2.595, 4: 2.609, 5: 2.621, 10: 2.660},
}


@pytest.mark.parametrize(
    ("two_sided", "looks"), [(alpha, k) for alpha, row in PUBLISHED.items() for k in row]
)
def test_obrien_fleming_constants(two_sided, looks):
    schedule = obrien_fleming(looks, two_sided / 2)
    assert schedule.z[-1] == pytest.approx(PUBLISHED[two_sided][looks], abs=0.001)
    for k, (z, p) in enumerate(zip(schedule.z, schedule.p, strict=True), 1):
        assert z == pytest.approx(schedule.z[-1] * math.sqrt(looks / k))
        assert p == pytest.approx(math.erfc(z / math.sqrt(2)) / 2)


def test_two_looks_cross_with_the_stated_probability():
    from scipy.stats import multivariate_normal

    first, second = obrien_fleming(2, 0.025).z
    joint = multivariate_normal(cov=[[1, 0.5**0.5], [0.5**0.5, 1]])
    assert 1 - joint.cdf([first, second]) == pytest.approx(0.025, abs=1e-7)


def test_obrien_fleming_refuses_what_is_no_schedule():
    with pytest.raises(ValueError, match="look"):
        obrien_fleming(0)
    with pytest.raises(ValueError, match="alpha"):
        obrien_fleming(3, 0.5)


OUTCOMES = {
    "x": [True] * 80 + [False] * 20,
    "y": [True] * 30 + [False] * 70,
    "z": [False] * 70 + [True] * 30,
}


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        (Difference("x", "y", ">", 0.1), Verdict.PASS),
        (Difference("x", "y", "<", 0.1), Verdict.FAIL),
        (Difference("y", "z", ">", 0.0), Verdict.INCONCLUSIVE),
        (Rate("x", ">", 0.5), Verdict.PASS),
        (Rate("y", ">", 0.7), Verdict.FAIL),
        (Band("y", 0.1, 0.55), Verdict.PASS),
        (Band("x", 0.1, 0.5), Verdict.FAIL),
        (Band("x", 0.85, 0.99), Verdict.INCONCLUSIVE),
        (Band("y", 0.6, 0.9), Verdict.FAIL),
        (Gain("x", "y", "z", 0.5), Verdict.PASS),
        (Gain("z", "x", "y", 0.9), Verdict.FAIL),
        (Ratio("x", "y", ">", 1.2), Verdict.PASS),
        (Ratio("x", "y", "<", 1.2), Verdict.FAIL),
    ],
    ids=str,
)
def test_evidence_decides_each_kind(claim, verdict):
    assert decide_anytime([evalues(claim, OUTCOMES)]) == [verdict]


def test_evidence_of_a_difference_is_its_bet():
    found = evalues(Difference("x", "y", ">", 0.1), OUTCOMES)
    assert found.log_pass == pytest.approx(log_betting_evalue({1.0: 50, 0.0: 50}, 0.1))
    other = log_betting_evalue({1.0: 50, 0.0: 50}, 0.1, alternative="less")
    assert found.log_fail == pytest.approx(other)


def test_a_fail_pays_for_the_number_of_criteria():
    one = EValues(log_pass=-5.0, log_fail=math.log(41))
    assert decide_anytime([one], 0.025) == [Verdict.FAIL]
    assert decide_anytime([one, EValues(math.log(41), -9.0)], 0.025) == [
        Verdict.INCONCLUSIVE,
        Verdict.PASS,
    ]


def test_a_vague_equivalence_is_not_decided():
    with pytest.raises(TypeError, match="is not decided"):
        evalues(Approximate("y", "z"), OUTCOMES)


def test_evidence_of_an_equivalence_is_that_of_its_weaker_side():
    alike = {"x": [1, 0] * 60, "y": [1, 0] * 60}
    found = evalues(Equivalence("x", "y", 0.1), alike)
    sides = [
        log_betting_evalue({0.0: 120}, margin, alternative=side)
        for margin, side in ((-0.1, "greater"), (0.1, "less"))
    ]
    assert found.log_pass == pytest.approx(min(sides))
    assert decide_anytime([found], 0.05) == [Verdict.PASS]
    assert decide_anytime([evalues(Equivalence("x", "y", 0.1), OUTCOMES)]) == [Verdict.FAIL]


def test_evidence_refuses_unpaired_outcomes():
    with pytest.raises(ValueError, match="paired"):
        evalues(Difference("x", "y", ">", 0.1), {**OUTCOMES, "y": [True]})
    with pytest.raises(ValueError, match="alpha"):
        decide_anytime([], 0.0)


@pytest.mark.parametrize("name", simulate.BOUNDARY)
@pytest.mark.parametrize("rule", ["anytime", "group_sequential"])
def test_false_passes_at_the_boundary(name, rule):
    looks, block = (16, 25) if rule == "anytime" else (4, 100)
    found = getattr(simulate, rule)(*simulate.BOUNDARY[name], 600, looks, block)
    alpha = 0.05 if name == "band" and rule == "group_sequential" else simulate.ALPHA
    assert found.passed <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 600)


def test_a_clear_effect_stops_well_before_half_of_two_hundred():
    found = simulate.anytime(*simulate.CLEAR, 500, 20, 10)
    assert found.passed > 0.99
    assert found.episodes < 80


def test_the_simulation_would_notice_a_rule_that_ignores_its_looks(monkeypatch):
    monkeypatch.setattr(
        simulate, "obrien_fleming", lambda looks, alpha: obrien_fleming(1, alpha * 4)
    )
    monkeypatch.setattr(simulate, "decide_anytime", lambda found, alpha: decide_anytime(found, 0.9))
    found = simulate.anytime(*simulate.BOUNDARY["rate"], 500, 16, 25)
    assert found.passed > 0.1


GROUPS = st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=4), min_size=1)


@given(GROUPS, st.floats(0.5, 0.99))
def test_a_confidence_sequence_excludes_zero_exactly_when_its_p_is_below_the_level(groups, level):
    values = [value for group in groups for value in group]
    clusters = Clusters(codes_of([i for i, group in enumerate(groups) for _ in group]))
    seen = anytime_mean(values, clusters, confidence=level)
    assert (not seen.interval.low <= 0.0 <= seen.interval.high) == (seen.p < 1.0 - level)
    turned = anytime_mean([-one for one in values], clusters, confidence=level)
    ends = (-turned.interval.high, -turned.interval.low)
    assert ends == pytest.approx((seen.interval.low, seen.interval.high), abs=1e-12)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_a_confidence_sequence_of_single_values_is_the_inverted_bet(more, same, fewer):
    values = [1.0] * more + [0.0] * same + [-1.0] * fewer
    if values:
        seen = anytime_mean(values, Clusters(codes_of(range(len(values)))))
        assert seen.interval.low <= (more - fewer) / len(values) <= seen.interval.high
        for end, side in ((seen.interval.low, "greater"), (seen.interval.high, "less")):
            if -1.0 < end < 1.0:
                won = log_betting_evalue({1.0: more, 0.0: same, -1.0: fewer}, end, -1, 1, side)
                assert won == pytest.approx(math.log(40.0), abs=1e-6)


def test_groups_that_copy_one_draw_leave_a_confidence_sequence_as_wide_as_their_number():
    values = [1.0] * 12 + [0.0] * 8
    once, often = (
        anytime_mean(
            [one for one in values for _ in range(size)],
            Clusters(codes_of([index for index in range(20) for _ in range(size)])),
        )
        for size in (1, 5)
    )
    assert often.interval.low == pytest.approx(once.interval.low, abs=1e-9)
    assert often.p == pytest.approx(once.p, rel=1e-9)


@pytest.mark.parametrize(("values", "level"), [([], 0.95), ([1.0], 1.0)])
def test_a_confidence_sequence_needs_values_and_a_level(values, level):
    with pytest.raises(ValueError, match=r"at least one value|confidence"):
        anytime_mean(values, Clusters(codes_of(range(1))), confidence=level)


@given(st.floats(1e-6, 0.4), st.integers(1, 5), st.sampled_from([0.01, 0.025, 0.05]))
def test_a_repeated_p_is_below_alpha_exactly_within_the_boundary(p, look, alpha):
    boundary = obrien_fleming(5, alpha).p[look - 1]
    if abs(p - boundary) > 1e-8:
        assert (repeated_p(p, look, 5) < alpha) == (p < boundary)


def test_a_repeated_p_at_the_boundary_is_the_level_and_alone_it_is_the_p():
    for look, boundary in enumerate(obrien_fleming(4).p, start=1):
        assert repeated_p(boundary, look, 4) == pytest.approx(0.025, abs=1e-7)
    assert repeated_p(0.013, 1, 1) == pytest.approx(0.013, rel=1e-9)
    assert (repeated_p(0.0, 1, 4), repeated_p(0.9, 1, 4)) == (0.0, 0.5)
    with pytest.raises(ValueError, match="from 1 to 4"):
        repeated_p(0.01, 5, 4)
