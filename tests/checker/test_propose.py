"""A proposed spec is the strictest that the checker accepts, for rates as they were measured."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lpca.checker.propose import SMALLEST, Proposal, Rates, proposed
from lpca.stats.claims import Band

REAL = Rates.counted(20, 45, 16, 50)
"""What SmolLM2 came to on SQuAD's sentences: .40 and .89."""


def proposal(rates: Rates, most: int = 400) -> Proposal:
    return proposed(Proposal(rates, most, 8), most)


@pytest.mark.parametrize(
    "rates",
    [REAL, Rates.counted(12, 49, 3, 50), Rates.counted(2, 45, 1, 50), Rates(0.25, 0.85, 0.12)],
)
def test_the_checker_accepts_it(rates: Rates) -> None:
    found = proposal(rates)
    assert found.findings == []
    assert SMALLEST <= found.n <= 400
    low, high = found.band
    assert low < rates.p0 < high


def test_a_guess_that_is_often_right_has_its_own_band() -> None:
    gates = proposal(REAL).spec.gates
    [band] = [one.claim for one in gates["gate0"].criteria if isinstance(one.claim, Band)]
    assert band.low < 0.4 < 0.5 < band.high
    assert (gates["gate1"].expect["p0"], gates["gate1"].expect["p1"]) == (0.4, 0.89)


def test_what_misleads_is_claimed_to_and_what_does_not_is_not() -> None:
    assert proposal(Rates.counted(14, 48, 2, 50)).helps == 0.0
    assert proposal(Rates.counted(14, 48, 16, 50)).helps > 0.0


def test_a_small_gain_has_a_small_margin_and_takes_more_episodes() -> None:
    large, small = proposal(REAL, 2000), proposal(Rates.counted(20, 31, 16, 50), 2000)
    assert small.sound
    assert small.margin < large.margin
    assert small.n > large.n


def test_no_more_episodes_than_the_power_needs_and_half_as_many() -> None:
    found = proposal(REAL, 2000)
    assert found.sound
    assert found.n <= 400
    assert not replace(found, n=found.n // 3).sound


def test_too_few_episodes_or_no_gain_is_not_made_to_look_sound() -> None:
    assert not proposal(REAL, 40).sound
    assert not proposal(Rates.counted(20, 20, 20, 50)).sound


def test_groups_of_several_are_expected_to_be_alike() -> None:
    one = proposed(Proposal(REAL, 400, 8, grouped=True), 400)
    assert one.spec.gates["gate1"].icc == 0.1
    assert proposal(REAL).spec.gates["gate1"].icc == 0.0


def test_counts_of_none_and_all_are_no_certainty() -> None:
    rates = Rates.counted(0, 50, 0, 50)
    assert 0.0 < rates.p0 < 0.05
    assert 0.95 < rates.p1 < 1.0
