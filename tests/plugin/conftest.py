"""One project per test, one cache for all of them: a codec is trained once."""

from __future__ import annotations

import pytest
from gate_project import ROOT, Project


@pytest.fixture
def project(pytester, monkeypatch, lpca_cache):
    monkeypatch.setenv("LPCA_CACHE", str(lpca_cache))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return Project(pytester)
