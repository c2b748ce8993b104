"""A grid of two tiny recipes on the stub, run in processes of their own."""

from __future__ import annotations

import pytest
from lab_project import Lab, whole_lab


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, tmp_path / "cache")


@pytest.fixture(scope="session")
def whole(lpca_cache):
    """A grid that ran through, once for all tests and workers: to be read, never changed."""
    return whole_lab(lpca_cache)
