"""Claims on marks in [0, 1]: against the definition, against binary outcomes, and at the margin."""

import math

import numpy as np
import pytest
from scipy.optimize import brentq

from lpca.stats.assessment import assess
from lpca.stats.claims import Band, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.gain import above, gain_z
from lpca.stats.graded import enough_marks, values_counted
from lpca.stats.sequential import evalues, log_betting_evalue

RNG = np.random.default_rng(20260122)
ABOVE = Difference("normal", "p0", ">", 0.1)
CLAIMS = (
    ABOVE,
    Difference("p0", "normal", "<", 0.0),
    Equivalence("normal", "p1", 0.3),
    Rate("normal", ">", 0.4),
    Band("p0", 0.1, 0.6),
    Gain("normal", "p1", "p0", 0.5),
    Ratio("normal", "p0", ">", 1.2),
)


def marks(n, rng=RNG):
    return {
        "normal": rng.beta(3, 2, n).tolist(),
        "p0": rng.beta(1, 3, n).tolist(),
        "p1": rng.beta(4, 2, n).tolist(),
    }


@pytest.mark.parametrize("n", [15, 90])
@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.25])
def test_the_score_is_pearsons_statistic_against_the_restricted_fit(n, margin):
    outcomes = marks(n)
    sample = values_counted(ABOVE, [outcomes["normal"], outcomes["p0"]])
    away = np.subtract(outcomes["normal"], outcomes["p0"]) - margin
    sign = 1.0 if away.sum() > 0 else -1.0
    away = sign * away
    end = 1.0 / (1.0 + sign * margin)
    slope = lambda m: (away / (1.0 + m * away)).sum()  # noqa: E731
    root = end if slope(end) > 0 else brentq(slope, 0.0, end, xtol=1e-15)
    fit = 1.0 / (n * (1.0 + root * away))
    rest = 1.0 - fit.sum()
    pearson = ((1.0 / n - fit) ** 2 / fit).sum() * n + n * max(rest, 0.0)
    assert gain_z(sample, margin) == pytest.approx(sign * math.sqrt(pearson), rel=1e-6)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: type(claim).__name__)
def test_interval_and_test_say_the_same_and_successes_are_marks_too(claim):
    outcomes = marks(70)
    seen = assess(claim, outcomes)
    assert seen.interval.low < seen.estimate < seen.interval.high
    assert seen.holds is (seen.p_pass < seen.alpha)
    assert seen.method.endswith("multinomial score")
    # marks that are all but successes come to what successes come to
    whole = {name: [round(mark) for mark in held] for name, held in outcomes.items()}
    nearly = {name: [abs(mark - 1e-9) for mark in held] for name, held in whole.items()}
    binary, close = assess(claim, whole), assess(claim, nearly)
    assert close.p_pass == pytest.approx(binary.p_pass, rel=1e-4, abs=1e-12)
    assert close.interval.low == pytest.approx(binary.interval.low, abs=1e-5)
    assert close.interval.high == pytest.approx(binary.interval.high, abs=1e-5)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: type(claim).__name__)
def test_equal_marks_leave_an_interval_of_some_width(claim):
    outcomes = {"normal": [0.6] * 20, "p0": [0.4] * 20, "p1": [0.6] * 20}
    interval = assess(claim, outcomes).interval
    assert interval.high - interval.low > 0.1


def test_a_ratio_without_marks_of_its_base_is_unbounded():
    seen = assess(Ratio("normal", "p0", ">", 2.0), {"normal": [0.5] * 60, "p0": [0] * 60})
    assert seen.interval.high == math.inf
    assert 1.0 < seen.interval.low < math.inf


def test_marks_are_paired_and_within_their_range():
    with pytest.raises(ValueError, match="unequal lengths: 2, 1"):
        assess(ABOVE, {"normal": [0.5, 1], "p0": [0.5]})
    for wrong in (1.5, -0.5, math.nan):
        with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
            assess(ABOVE, {"normal": [0.5, wrong], "p0": [0.5, 0]})


@pytest.mark.parametrize("n", [40, 200])
def test_false_passes_at_the_margin_are_rare_where_a_t_test_has_many(n):
    """Losses of .6 that one episode in twelve has; nothing else tells that they may come."""
    rng, draws, gained, lost = np.random.default_rng(7), 1500, 0.05, -0.55
    drawn = np.where(rng.random((draws, n)) < gained / (gained - lost), lost, gained)
    t = drawn.mean(1) * math.sqrt(n) / np.maximum(drawn.std(1, ddof=1), 1e-12)
    samples = (values_counted(Rate("x", ">", 0), [row / 2 + 0.5]) for row in drawn)
    passed = np.mean([above(sample, 0.5, 1.959964) for sample in samples])
    assert passed <= 0.03
    assert np.mean(t > 1.96) > 0.04


@pytest.mark.parametrize(("sd", "excess"), [(0.1, 0.05), (0.2, 0.05), (0.2, 0.1), (0.3, 0.1)])
def test_as_many_episodes_as_are_named_show_a_claim_with_about_that_power(sd, excess):
    rng = np.random.default_rng(11)

    def drawn(*shape):
        return 0.5 + excess + sd * math.sqrt(3.0) * rng.uniform(-1, 1, shape) / 2

    claim = Rate("x", ">", 0.5)
    n = enough_marks(claim, [drawn(4000).tolist()], 0.025)
    passed = [above(values_counted(claim, [row]), 0.5, 1.959964) for row in drawn(300, n)]
    assert 0.7 <= np.mean(passed) <= 0.95
    assert enough_marks(Rate("x", "<", 0.5), [drawn(100).tolist()], 0.025) is None


def test_marks_are_decided_while_they_arrive():
    outcomes = marks(120)
    plain = {name: [round(mark, 2) for mark in held] for name, held in outcomes.items()}
    seen = evalues(ABOVE, plain)
    value = [a - b for a, b in zip(plain["normal"], plain["p0"], strict=True)]
    assert seen.log_pass == pytest.approx(log_betting_evalue(value, 0.1), rel=1e-9)
    with pytest.raises(ValueError, match="outcomes must be paired"):
        evalues(ABOVE, {"normal": [0.5], "p0": [0.5, 0.1]})
