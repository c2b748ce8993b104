"""The pytest plugin: a gate spec becomes tests, and a run of them a verdict."""

from lpca.pytest_plugin.plugin import (
    criterion_result,
    gate_evidence,
    leak_result,
    lpca_runner,
    pytest_addoption,
    pytest_collection_finish,
    pytest_configure,
    pytest_configure_node,
    pytest_generate_tests,
)

__all__ = [
    "criterion_result",
    "gate_evidence",
    "leak_result",
    "lpca_runner",
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_generate_tests",
]
