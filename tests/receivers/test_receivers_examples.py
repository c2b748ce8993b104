"""The examples in docstrings are true."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize("name", ["load", "model"])
def test_the_examples_of_a_module_are_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"lpca.receivers.{name}"))
    assert found.attempted > 0
    assert found.failed == 0
