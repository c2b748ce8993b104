"""The examples in docstrings are true, and what a user calls has one."""

import doctest
import importlib

import pytest

from lpca import stats

MODULES = ("assessment", "planning", "proportions", "scores", "sequential", "tables")
CALLED = (
    *("assess", "evidence", "mcnemar", "mean_difference", "min_n_equivalence", "obrien_fleming"),
    *("power", "ratio_score", "required_n", "tango", "tango_test", "wilson", "wilson_threshold"),
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name):
    found = doctest.testmod(importlib.import_module(f"lpca.stats.{name}"))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("name", CALLED)
def test_what_a_user_calls_says_how(name):
    text = getattr(stats, name).__doc__
    assert all(part in text for part in ("Args:", "Returns:", "Raises:", "Example:"))
