"""The examples in docstrings are true, and what a user calls has one."""

import doctest
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CALLED = {
    "lpca.base.registry": ("Registry",),
    "lpca.checker.check": ("check_spec",),
    "lpca.gatespec.claims": ("in_words", "parse_claim"),
    "lpca.gatespec.keys": ("json_schema",),
    "lpca.gatespec.load": ("load_spec",),
    "lpca.stats.assessment": ("assess", "assess_counts"),
    "lpca.stats.gain": ("gain_counts", "gain_interval"),
    "lpca.stats.planning": ("power", "required_n"),
    "lpca.stats.proportions": (
        *("min_n_equivalence", "rate_test", "ratio_score", "ratio_test", "tango"),
        *("tango_test", "wilson", "wilson_threshold"),
    ),
    "lpca.stats.scores": ("mean_difference",),
    "lpca.judge.rows": ("table_of",),
    "lpca.stats.sequential": (
        *("anytime_mean", "evalues", "log_betting_evalue", "obrien_fleming", "repeated_p"),
    ),
    "lpca.stats.tables": ("PairedTable",),
    "lpca.stats.truth": ("Truth",),
    "lpca.stats.verdicts": ("any_of", "decide", "holm"),
}


@pytest.mark.parametrize("name", CALLED)
def test_the_examples_of_a_module_are_true(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in CALLED.items() for name in names]
)
def test_what_a_user_calls_says_how(module, name):
    assert "Example:" in getattr(importlib.import_module(module), name).__doc__
