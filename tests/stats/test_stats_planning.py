"""Power against full enumeration with the very verdicts, and the n that reaches a target."""

import itertools
import math
import subprocess
import sys
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from references import power_mcnemar_exact_directional

from lpca.stats.assessment import assess
from lpca.stats.claims import Approximate, Band, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.planning import Counts, power, required_n
from lpca.stats.proportions import min_n_equivalence, wilson_threshold
from lpca.stats.truth import Truth, joint

TRUTH = Truth({"x": 0.8, "y": 0.3, "z": 0.25}, correlation=0.4)
CLAIMS = [
    Difference("x", "y", ">", 0.1),
    Difference("y", "x", "<", 0.0),
    Equivalence("y", "z", 0.6),
    Band("y", 0.05, 0.7),
    Rate("x", ">", 0.4),
    Rate("y", "<", 0.7),
    Gain("x", "y", "z", 0.5),
    Gain("x", "y", "z", 0.3),
    Ratio("x", "y", ">", 1.1),
    Ratio("y", "x", "<", 0.9),
]


def slow_joint(names, truth):
    """Integrate over the shared draw of difficulty on a fine grid, and over separate draws."""
    grid = (np.arange(20_000) + 0.5) / 20_000
    masses = {}
    for bits in itertools.product((0, 1), repeat=len(names)):
        alike = np.ones_like(grid, dtype=bool)
        apart = 1.0
        for x, name in zip(bits, names, strict=True):
            rate = truth.rates[name]
            alike &= (grid < rate) == bool(x)
            apart *= rate if x else 1 - rate
        share = truth.correlation
        masses[bits] = share * float(alike.mean()) + (1 - share) * apart
    return masses


def slow_power(claim, truth, n):
    """Go through every multiset of outcome patterns and assess each."""
    names = [v for v in vars(claim).values() if v in truth.rates]
    masses = slow_joint(names, truth)
    patterns, total = list(masses), 0.0
    for counts in itertools.product(range(n + 1), repeat=len(patterns) - 1):
        if sum(counts) > n:
            continue
        filled = [*counts, n - sum(counts)]
        chance = math.factorial(n) * math.prod(
            masses[p] ** k / math.factorial(k) for p, k in zip(patterns, filled, strict=True)
        )
        rows = [p for p, k in zip(patterns, filled, strict=True) for _ in range(k)]
        outcomes = dict(zip(names, zip(*rows, strict=True), strict=True))
        if chance > 1e-14 and assess(claim, outcomes).holds:
            total += chance
    return total


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_power_is_the_mass_of_the_samples_that_pass(claim):
    n = 5 if isinstance(claim, Gain) else 12
    assert power(claim, TRUTH, n) == pytest.approx(slow_power(claim, TRUTH, n), abs=1e-8)


def test_the_slow_power_is_not_always_zero_or_one():
    found = [slow_power(claim, TRUTH, 5 if isinstance(claim, Gain) else 12) for claim in CLAIMS]
    assert sum(0.02 < share < 0.98 for share in found) >= 7


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
def test_enumeration_and_draws_agree(claim, monkeypatch):
    n = 8 if isinstance(claim, Gain) else 25
    exact = power(claim, TRUTH, n)
    monkeypatch.setattr("lpca.stats.planning.ENUMERABLE", 0)
    assert power(claim, TRUTH, n) == pytest.approx(exact, abs=0.015)


def test_one_rate_is_a_binomial_tail():
    least = wilson_threshold(300, 0.3)
    tail = sum(comb(300, k) * 0.36**k * 0.64 ** (300 - k) for k in range(least, 301))
    assert power(Rate("y", ">", 0.3), Truth({"y": 0.36}), 300) == pytest.approx(tail, abs=1e-9)


def test_confidence_is_honoured():
    difference, equivalence = CLAIMS[0], CLAIMS[2]
    assert power(difference, TRUTH, 12, confidence=0.999) < power(difference, TRUTH, 12)
    assert power(difference, TRUTH, 12, equivalence_confidence=0.999) == power(
        difference, TRUTH, 12
    )
    strict = power(equivalence, TRUTH, 12, equivalence_confidence=0.999)
    assert strict < power(equivalence, TRUTH, 12)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_joint_keeps_every_rate_and_the_dependence(x, y, z, correlation):
    masses = joint(("x", "y", "z"), Truth({"x": x, "y": y, "z": z}, correlation), {})
    assert sum(masses.values()) == pytest.approx(1.0)
    for place, rate in enumerate((x, y, z)):
        assert sum(m for bits, m in masses.items() if bits[place]) == pytest.approx(rate, abs=1e-12)
    together = sum(m for bits, m in masses.items() if bits[0] and bits[1])
    expected = correlation * min(x, y) + (1 - correlation) * x * y
    assert together == pytest.approx(expected, abs=1e-12)


def test_equal_rates_have_the_stated_phi():
    both = joint(("x", "y"), Truth({"x": 0.3, "y": 0.3}, 0.6), {})[1, 1]
    assert (both - 0.09) / 0.21 == pytest.approx(0.6)


def test_stated_disagreement_sets_the_discordant_cells():
    truth = Truth({"x": 0.6, "y": 0.5})
    masses = joint(("x", "y"), truth, {"x": ("y", 0.16)})
    assert masses[1, 0] == pytest.approx(0.13)
    assert masses[0, 1] == pytest.approx(0.03)
    assert masses[1, 1] == pytest.approx(0.47)


@pytest.mark.parametrize("discordant", [0.05, 0.95])
def test_a_disagreement_its_rates_contradict_is_refused(discordant):
    with pytest.raises(ValueError, match="cannot differ"):
        power(Difference("x", "y", ">", 0), Truth({"x": 0.6, "y": 0.5}, discordant=discordant), 50)


def test_a_stated_disagreement_replaces_what_the_correlation_makes():
    claim, rates = Equivalence("x", "y", 0.1), {"x": 0.5, "y": 0.5}
    stated = power(claim, Truth(rates, discordant=0.05), 60)
    assert power(claim, Truth(rates, 0.4, discordant=0.05), 60) == stated
    assert stated > power(claim, Truth(rates), 60) + 0.1


@pytest.mark.parametrize(
    ("claim", "truth"),
    [
        (Rate("y", ">", 0.3), Truth({"y": 0.5})),
        (Rate("y", "<", 0.97), Truth({"y": 0.90})),
        (Band("y", 0.2, 0.6), Truth({"y": 0.42})),
        (Difference("x", "y", ">", 0.1), Truth({"x": 0.8, "y": 0.4})),
        (Difference("x", "y", "<", 0.15), Truth({"x": 0.3, "y": 0.3}, discordant=0.1)),
        (Equivalence("x", "y", 0.2), Truth({"x": 0.3, "y": 0.3}, 0.5)),
        (Ratio("x", "y", ">", 1.0), Truth({"x": 0.8, "y": 0.4})),
    ],
    ids=str,
)
def test_required_n_is_the_last_crossing_of_the_saw_tooth(claim, truth):
    needed = required_n(claim, truth, 0.8)
    below = [n for n in range(1, 3 * needed + 70) if power(claim, truth, n) < 0.8]
    assert needed == below[-1] + 1


def test_required_n_looks_past_the_first_tooth():
    claim, truth = Rate("y", "<", 0.97), Truth({"y": 0.90})
    first = next(n for n in range(1, 999) if power(claim, truth, n) >= 0.8)
    assert first < required_n(claim, truth, 0.8)


def test_required_n_without_disagreement_is_the_closed_form():
    truth = Truth({"x": 0.8, "y": 0.8}, discordant=0.0)
    assert required_n(Equivalence("x", "y", 0.02), truth, 0.8) == min_n_equivalence(0.02)


def test_required_n_of_a_gain_reaches_its_target():
    claim, truth = Gain("x", "y", "z", 0.5), Truth({"x": 0.55, "y": 0.7, "z": 0.25})
    needed = required_n(claim, truth, 0.8)
    assert power(claim, truth, needed) >= 0.8
    assert power(claim, truth, round(0.8 * needed)) < 0.8


@pytest.mark.parametrize(
    ("claim", "rate"),
    [(Rate("y", ">", 0.3), 0.3), (Rate("y", ">", 0.3), 0.2), (Band("y", 0.1, 0.3), 0.3)],
)
def test_a_claim_that_is_not_true_has_no_n(claim, rate):
    assert required_n(claim, Truth({"y": rate})) is None


@given(st.integers(1, 60), st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4))
def test_enumeration_omits_almost_nothing(n, weights):
    probabilities = tuple(w / sum(weights) for w in weights)
    everything = Counts(probabilities, n).probability(lambda counts, _: np.ones((), dtype=bool))
    assert everything == pytest.approx(1.0, abs=1e-9)


def slow_mcnemar_power(pb, pc, n, alpha):
    total = 0.0
    for b in range(n + 1):
        for c in range(min(b, n - b + 1)):
            if b > c and b + c <= n:
                tail = sum(comb(b + c, k) for k in range(b, b + c + 1)) / 2 ** (b + c)
                if 2 * tail <= alpha:
                    ways = comb(n, b) * comb(n - b, c)
                    total += ways * pb**b * pc**c * (1 - pb - pc) ** (n - b - c)
    return total


@pytest.mark.parametrize(("pb", "pc", "n"), [(0.26, 0.06, 50), (0.9, 0.1, 9), (0.1, 0.3, 33)])
def test_mcnemar_power_goes_through_every_table(pb, pc, n):
    expected = slow_mcnemar_power(pb, pc, n, 0.05)
    assert power_mcnemar_exact_directional(pb, pc, n) == pytest.approx(expected, abs=1e-9)


def test_input_that_is_none_is_refused():
    with pytest.raises(ValueError, match="n must"):
        power(CLAIMS[0], TRUTH, 0)
    with pytest.raises(ValueError, match="no success rate"):
        power(Rate("absent", ">", 0.1), TRUTH, 10)
    with pytest.raises(TypeError, match="no sound method"):
        power(Approximate("x", "y"), TRUTH, 10)
    with pytest.raises(ValueError, match="target power"):
        required_n(CLAIMS[0], TRUTH, 1.0)
    with pytest.raises(ValueError, match="x must lie"):
        Truth({"x": 1.2})
    with pytest.raises(ValueError, match="pb and pc"):
        power_mcnemar_exact_directional(0.7, 0.4, 10)


CHECK_PATH = """
import sys
from lpca.stats import gain, scores, sequential
from lpca.stats.assessment import assess_counts
from lpca.stats.claims import Band, Difference, Equivalence, Gain, Rate, Ratio
from lpca.stats.planning import power, required_n
from lpca.stats.proportions import min_n_equivalence, tango, tango_test, wilson, wilson_threshold
from lpca.stats.tables import PairedTable
from lpca.stats.truth import Truth
from lpca.stats.verdicts import holm
assert "numpy" not in sys.modules, "importing lpca.stats must not load numpy"
table = PairedTable(10, 6, 2, 12)
wilson(3, 9), tango(table), tango_test(table)
assess_counts(Equivalence("x", "y", 0.1), table)
min_n_equivalence(0.1), wilson_threshold(50, 0.3), holm([0.1, 0.2])
assert "numpy" not in sys.modules, "closed forms must not load numpy"
truth = Truth({"x": 0.8, "y": 0.3, "z": 0.25})
for claim in (Difference("x", "y", ">", 0.1), Equivalence("y", "z", 0.3), Band("y", 0.1, 0.5),
              Rate("x", ">", 0.5), Gain("x", "y", "z", 0.5), Ratio("x", "y", ">", 1.0)):
    power(claim, truth, 40)
    required_n(claim, truth)
heavy = {"scipy", "statsmodels", "torch"} & set(sys.modules)
assert not heavy, heavy
"""


def test_what_the_checker_needs_loads_neither_scipy_nor_torch():
    subprocess.run([sys.executable, "-c", CHECK_PATH], check=True, timeout=60)
