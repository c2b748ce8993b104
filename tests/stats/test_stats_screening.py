"""Choosing episodes by an outcome: the naive subset claims gain for noise, a replicate none."""

from __future__ import annotations

import doctest
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from lpca.stats.proportions import tango
from lpca.stats.tables import PairedTable

sys.path.append(str(Path(__file__).parents[2] / "tools"))
screening = import_module("screening")
screen = screening.screen
sys.path.pop()


def _runs(seed: int, n: int, gain: float = 0.0) -> tuple[list[bool], list[bool], list[bool]]:
    """Each episode has its own rate in [0, 0.5]; three independent runs, the first raised."""
    generator = np.random.default_rng(seed)
    rate = generator.uniform(0.0, 0.5, n)
    raised, same, again = (generator.random(n) < r for r in (rate + gain, rate, rate))
    return raised.tolist(), same.tolist(), again.tolist()


def test_tables_against_a_count_by_hand() -> None:
    result = screen(
        condition=[True, True, False, False, True],
        baseline=[True, False, True, False, False],
        screening=[False, True, False, False, True],
    )
    assert result.whole == PairedTable(a=1, b=2, c=1, d=1)
    assert result.naive == PairedTable(a=0, b=2, c=0, d=1)
    assert result.screened == PairedTable(a=1, b=0, c=1, d=1)


def test_the_naive_subset_claims_a_gain_for_a_condition_that_equals_the_baseline() -> None:
    result = screen(*_runs(seed=5, n=4000))
    assert result.naive is not None
    assert result.screened is not None
    assert tango(result.naive, 0.99).low > 0.10
    for honest in (result.whole, result.screened):
        interval = tango(honest, 0.99)
        assert interval.low < 0.0 < interval.high


def test_the_screened_subset_keeps_a_gain_that_is_there() -> None:
    result = screen(*_runs(seed=6, n=4000, gain=0.3))
    assert result.screened is not None
    interval = tango(result.screened, 0.99)
    assert interval.low < 0.3 < interval.high
    assert interval.low > 0.2


def test_nothing_chosen_is_no_table() -> None:
    result = screen([True, False], [True, True], [True, True])
    assert result.naive is None
    assert result.screened is None
    assert result.whole.n == 2


@pytest.mark.parametrize("sizes", [(0, 0, 0), (2, 1, 2), (2, 2, 3)])
def test_runs_of_other_sizes_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="same episodes in each run"):
        screen(*([True] * size for size in sizes))


def test_its_example_is_true() -> None:
    found = doctest.testmod(screening)
    assert found.attempted > 0
    assert found.failed == 0
