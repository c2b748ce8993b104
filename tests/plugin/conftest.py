"""One project per test, one cache for all of them: a codec is trained once."""

from __future__ import annotations

import pytest
from gate_project import ROOT, Project


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def project(pytester, monkeypatch, shared_cache):
    monkeypatch.setenv("LPCA_CACHE", str(shared_cache))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Project(pytester)
