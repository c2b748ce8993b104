"""A grid of two tiny recipes on the stub, run in processes of their own."""

from __future__ import annotations

import pytest
from lab_project import Lab


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path, tmp_path / "cache")


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """A grid that ran through, once for all tests: to be read, never changed."""
    folder = tmp_path_factory.mktemp("whole")
    made = Lab(folder, folder / "cache")
    made.ended = made.finish(made.start())
    return made
